# SPDX-License-Identifier: Apache-2.0
"""Every reader of files, with a small valid file to damage."""

import csv
import dataclasses
import functools
import gzip
import json
import pathlib
import pickle
from typing import Any

import jax
import numpy as np
from safetensors import numpy as safetensors_numpy

from ng_jax import models
from ng_jax import networks
from ng_jax import pretrained
from ng_jax import specs
from ng_jax.data import cifar
from ng_jax.data import idx
from ng_jax.data import shards
from ng_jax.data.cnn_zoo import folder as own_zoo
from ng_jax.data.cnn_zoo import small_zoo
from ng_jax.data.cnn_zoo import wild_park
from ng_jax.models.official import recordings
from ng_jax.pretrained import arrays
from ng_jax.train import checkpoints
from tests.fuzz import mutations
from tests.train import linear_task

# What an attacker would put into a pickle; the file must never appear.
_EXPLOITS = (
  b"cos\nsystem\n(S'touch hacked'\ntR",
  b'cbuiltins\nexec\n(S\'open("hacked", "w")\'\ntR',
  b'\x8c\x02os\x8c\x06system\x93',
  b'cnumpy\nload\n',
)
_TEXTS = (
  b'../../x',
  b'nan',
  b'1e999',
  b'9' * 5000,
  b',' * 99,
  b'\r',
  b'(' * 99,
)


@dataclasses.dataclass(frozen=True)
class Target:
  """A reader.

  Attributes:
    path: of the valid file, which is damaged.
    read: reads it.
    tokens: that damage it most.
    mutate: how it is damaged.
    packed: whether it is gzipped, so that what is inside is damaged too.
  """

  path: pathlib.Path
  read: Any
  tokens: tuple[bytes, ...] = ()
  mutate: Any = mutations.mutate
  packed: bool = False


def _network():
  network = networks.Cnn((1, 2, 2), (3, 3), num_classes=3)
  return network, jax.tree.map(np.asarray, network.init(jax.random.key(0)))


def _own(folder):
  """A zoo of one's own, with ten tiny CNNs in both formats."""
  network, weights = _network()
  flat = specs.leaf_arrays(weights)
  (folder / 'spec.json').write_text(network.spec.to_json())
  with (folder / 'labels.csv').open('w', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(['file', 'accuracy', 'split', 'run', 'epoch'])
    for i, split in enumerate(('train', 'validation', 'test')):
      name = f'net_{i}.{"npz" if i == 1 else "safetensors"}'
      writer.writerow([name, 0.25 * i, split, f'run_{i}', i])
      if i == 1:
        np.savez_compressed(folder / name, **flat)
      else:
        safetensors_numpy.save_file(flat, folder / name)

  def read():
    own_zoo._read_spec.cache_clear()
    return own_zoo.read(folder)

  return read


def _small_zoo(folder):
  network = networks.Cnn((1, 2, 2, 2), ((3, 3),) * 3, num_classes=3)
  names = ('conv2d', 'conv2d_1', 'conv2d_2', 'dense')
  start, lines = 0, []
  for leaf in network.spec.leaves:
    layer, kind = leaf.path.split('/')
    number = 4 if layer == 'linear' else int(layer[-1])
    shape = network.spec.leaf_shape(leaf)
    end = start + int(np.prod(shape))
    name = f'sequential/{names[number - 1]}/{kind}:0'
    lines.append([name, start, end, str(shape)])
    start = end
  with (folder / 'layout.csv').open('w', newline='') as file:
    csv.writer(file).writerows(
      [['varname', 'start_idx', 'end_idx', 'shape'], *lines]
    )
  rows = ['step,test_accuracy', *(f'86,0.{i}' for i in range(10))]
  with gzip.open(folder / 'metrics.csv.gz', 'wt') as file:
    file.write('\n'.join(rows))
  np.save(folder / 'weights.npy', np.ones((10, start), np.float32))
  return functools.partial(small_zoo.read, folder)


def _park(folder):
  column = {'path': ['a/b/c'], 'score': [0.5], 'step': [1]}
  path = folder / 'cnn_park_splits.json'
  path.write_text(json.dumps(dict.fromkeys(('train', 'val', 'test'), column)))
  return path


def _idx_bytes():
  return bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + bytes(24)


def _cifar_batch(path):
  data = np.zeros((2, 3072), np.uint8)
  path.write_bytes(pickle.dumps({b'data': data, b'labels': [3, 9]}, protocol=2))
  return path


def _saved_model(folder):
  siren = networks.Siren((2, 3, 1))
  model = models.create('statnn', spec=siren.spec, num_outputs=2)
  weights = jax.tree.map(lambda x: x[None], siren.init(jax.random.key(0)))
  from ng_jax import graphs

  graph = graphs.encode(graphs.topology(siren.spec), weights)
  variables = jax.jit(model.init)({'params': jax.random.key(0)}, graph)
  pretrained.save_pretrained(
    folder / 'saved', model, variables, spec=siren.spec
  )
  return folder / 'saved'


def _official(folder):
  golden = pathlib.Path(__file__).parents[1] / 'golden' / 'stat_net.npz'
  recording = recordings.read(golden)
  config, state = folder / 'config.json', folder / 'state.safetensors'
  config.write_text(json.dumps(recording.config))
  safetensors_numpy.save_file(recording.state, state)

  def read():
    return pretrained.convert_official(config, state, folder / 'converted')

  return config, state, read


def _checkpoint(folder):
  state, _ = linear_task.make_state()
  with checkpoints.CheckpointStore(folder / 'store') as store:
    store.save(state, metrics={'validation_accuracy': 0.5}, config={})

  def read():
    with checkpoints.CheckpointStore(folder / 'store') as store:
      store.check_whole(0)
      return store.restore(state, step=0)

  return folder / 'store' / '0', read


def make(name, folder):
  """Makes the valid file of a reader.

  Args:
    name: of `NAMES`.
    folder: empty.

  Returns:
    A Target.
  """
  flat = {'param/a': np.ones((2, 3), np.float32), 'param/b': np.arange(4)}
  if name in ('npz', 'npz_packed'):
    path = folder / 'state.npz'
    (np.savez if name == 'npz' else np.savez_compressed)(path, **flat)
    return Target(path, lambda: arrays.read_state(path), (b'../', b'|O', b'f8'))
  if name == 'safetensors':
    path = folder / 'state.safetensors'
    safetensors_numpy.save_file(flat, path)
    return Target(path, lambda: arrays.read_safetensors(path), (b'BF16', b'-1'))
  if name == 'shard':
    path = folder / 'shard.safetensors'
    shards.write(path, {'x': np.ones(3), 'y': np.ones((3, 2))})
    return Target(path, lambda: shards.read(path, num_rows=3), (b'F8_E4M3',))
  if name == 'recording':
    path = folder / 'case.npz'
    config = json.dumps({'model': {'_target_': 'x'}})
    np.savez(path, config=np.array(config), **flat)
    return Target(path, lambda: recordings.read(path), (b'<U9', b'config'))
  if name.startswith('own_'):
    read = _own(folder)
    file, mutate = {
      'own_labels': ('labels.csv', mutations.mutate),
      'own_spec': ('spec.json', mutations.mutate_json),
      'own_npz': ('net_1.npz', mutations.mutate),
    }[name]
    return Target(folder / file, read, _TEXTS, mutate)
  if name.startswith('small_zoo_'):
    read = _small_zoo(folder)
    file = {
      'small_zoo_metrics': 'metrics.csv.gz',
      'small_zoo_layout': 'layout.csv',
      'small_zoo_weights': 'weights.npy',
    }[name]
    return Target(folder / file, read, _TEXTS, packed=file.endswith('.gz'))
  if name == 'park_splits':
    path = _park(folder)
    read = functools.partial(wild_park._read_splits, path)
    return Target(path, read, mutate=mutations.mutate_json)
  if name in ('idx', 'idx_packed'):
    path = folder / ('images.gz' if name == 'idx_packed' else 'images')
    opened = gzip.open if name == 'idx_packed' else open
    with opened(path, 'wb') as file:
      file.write(_idx_bytes())
    read = functools.partial(idx.read, path, num_axes=3)
    return Target(path, read, packed=name == 'idx_packed')
  if name == 'cifar_binary':
    path = folder / 'data_batch_1.bin'
    path.write_bytes(bytes(3073 * 2))
    return Target(path, functools.partial(cifar.read_binary, path))
  if name == 'cifar_pickle':
    path = _cifar_batch(folder / 'data_batch_1')
    return Target(path, functools.partial(cifar.read_python, path), _EXPLOITS)
  if name in ('spec', 'spec_text'):
    path = folder / 'spec.json'
    path.write_text(_network()[0].spec.to_json())
    read = lambda: specs.NetworkSpec.from_json(  # noqa: E731
      path.read_bytes().decode('utf-8', 'replace')
    )
    json_mutate = mutations.mutate_json
    mutate = json_mutate if name == 'spec' else mutations.mutate
    return Target(path, read, (b'[', b'null', b'1e9'), mutate)
  if name in ('saved_config', 'saved_params'):
    saved = _saved_model(folder)
    read = functools.partial(pretrained.load_pretrained, saved)
    if name == 'saved_config':
      return Target(saved / 'config.json', read, mutate=mutations.mutate_json)
    return Target(saved / 'params.safetensors', read)
  if name in ('official_config', 'official_state'):
    config, state, read = _official(folder)
    if name == 'official_config':
      return Target(config, read, mutate=mutations.mutate_json)
    return Target(state, read)
  folder, read = _checkpoint(folder)
  file = {
    'checkpoint_progress': 'progress/metadata',
    'checkpoint_config': 'config/metadata',
    'checkpoint_index': 'state/manifest.ocdbt',
    'checkpoint_shapes': 'state/_METADATA',
  }[name]
  return Target(folder / file, read)


# A tenth of a millisecond each.
FAST = (
  *('npz', 'npz_packed', 'safetensors', 'shard', 'recording'),
  *('idx', 'idx_packed', 'cifar_binary', 'cifar_pickle'),
  *('park_splits', 'spec', 'spec_text'),
)
# Each input reads a whole zoo: milliseconds.
ZOOS = (
  *('own_labels', 'own_spec', 'own_npz'),
  *('small_zoo_metrics', 'small_zoo_layout', 'small_zoo_weights'),
)
# Each input builds a model's shapes or opens a store: up to 100 ms.
SLOW = (
  *('saved_config', 'saved_params', 'official_config', 'official_state'),
  *('checkpoint_progress', 'checkpoint_config'),
  *('checkpoint_index', 'checkpoint_shapes'),
)
NAMES = (*FAST, *ZOOS, *SLOW)
