# SPDX-License-Identifier: Apache-2.0
"""Readers of data sets of networks: zoos of CNNs, sets of INRs.

What is fuzzed of a set is the reader of one of its files, so that an input
costs a tenth of a millisecond. `WHOLE` reads a whole set for each input.
"""

import csv
import functools
import gzip
import json
import pathlib

import jax
import numpy as np
from safetensors import numpy as safetensors_numpy

from ng_jax import networks
from ng_jax import specs
from ng_jax.data import inr
from ng_jax.data.cnn_zoo import folder as own_zoo
from ng_jax.data.cnn_zoo import labels
from ng_jax.data.cnn_zoo import small_zoo
from ng_jax.data.cnn_zoo import wild_park
from ng_jax.data.inr_files import dws
from tests.fuzz import mutations
from tests.fuzz import target

_TEXTS = (
  *(b'../../x', b'/etc/passwd', b'link', b'nan', b'1e999', b'9' * 5000),
  *(b',' * 99, b'\r', b'\x00', b'(' * 99),
)
_ENTRIES = ('train', 'val', 'test')


def network() -> tuple[networks.Cnn, specs.Weights]:
  """A tiny CNN and its weights."""
  cnn = networks.Cnn((1, 2, 2), (3, 3), num_classes=3)
  return cnn, jax.tree.map(np.asarray, cnn.init(jax.random.key(0)))


def _write_own(folder: pathlib.Path) -> None:
  """A zoo of one's own: three tiny CNNs in both formats."""
  cnn, weights = network()
  flat = specs.leaf_arrays(weights)
  (folder / 'spec.json').write_text(cnn.spec.to_json())
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
  (folder / 'link').symlink_to('/etc/passwd')


def _own_labels(folder: pathlib.Path) -> target.Target:
  _write_own(folder)
  path = folder / 'labels.csv'
  there = own_zoo._list_files(folder)

  def read():
    lines = labels.read(path, len(there) + 100).lines
    own_zoo._check_files(folder, lines, there)

  return target.Target(path, read, _TEXTS, names_file=False)


def _own_spec(folder: pathlib.Path) -> target.Target:
  _write_own(folder)
  path = folder / 'spec.json'
  read = functools.partial(own_zoo._read_spec.__wrapped__, path)
  return target.Target(path, read, mutate=mutations.mutate_json)


def _own_npz(folder: pathlib.Path) -> target.Target:
  _write_own(folder)
  read = functools.partial(own_zoo._read_network, folder, 'net_1.npz', None)
  return target.Target(folder / 'net_1.npz', read)


def _own(folder: pathlib.Path) -> target.Target:
  _write_own(folder)
  read = functools.partial(own_zoo.read, folder)
  return target.Target(folder / 'labels.csv', read, _TEXTS, names_file=False)


def _write_small_zoo(folder: pathlib.Path) -> int:
  """Ten checkpoints; returns the weights of each."""
  cnn = networks.Cnn((1, 2, 2, 2), ((3, 3),) * 3, num_classes=3)
  names = ('conv2d', 'conv2d_1', 'conv2d_2', 'dense')
  start, lines = 0, []
  for leaf in cnn.spec.leaves:
    layer, kind = leaf.path.split('/')
    number = 4 if layer == 'linear' else int(layer[-1])
    shape = cnn.spec.leaf_shape(leaf)
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
  (folder / 'order.txt').write_text('\n'.join(map(str, range(10))))
  return start


def _small_metrics(folder: pathlib.Path) -> target.Target:
  _write_small_zoo(folder)
  path = folder / 'metrics.csv.gz'
  read = functools.partial(small_zoo._read_metrics, path)
  return target.Target(path, read, _TEXTS, packed=True)


def _small_layout(folder: pathlib.Path) -> target.Target:
  num_weights = _write_small_zoo(folder)
  path = folder / 'layout.csv'
  read = functools.partial(small_zoo._read_layout, path, num_weights)
  return target.Target(path, read, _TEXTS)


def _small_weights(folder: pathlib.Path) -> target.Target:
  _write_small_zoo(folder)
  path = folder / 'weights.npy'
  read = functools.partial(small_zoo._read_weights, path, 10)
  return target.Target(path, read, (b'|O', b'<f8', b'True'))


def _small_order(folder: pathlib.Path) -> target.Target:
  _write_small_zoo(folder)
  path = folder / 'order.txt'
  read = functools.partial(small_zoo._order, path, 10)
  return target.Target(path, read, _TEXTS)


def _small_zoo(folder: pathlib.Path) -> target.Target:
  _write_small_zoo(folder)
  read = functools.partial(small_zoo.read, folder)
  path = folder / 'metrics.csv.gz'
  return target.Target(path, read, _TEXTS, packed=True, names_file=False)


def _park_splits(folder: pathlib.Path) -> target.Target:
  path, table = folder / wild_park.SPLITS, {}
  for i, name in enumerate(_ENTRIES):
    file = f'run_{i}/a/checkpoint.pt'
    (folder / file).parent.mkdir(parents=True)
    (folder / file).touch()
    table[name] = {'path': [file], 'score': [0.5], 'step': [1]}
  path.write_text(json.dumps(table))
  read = functools.partial(wild_park.list_checkpoints, folder)
  mutate = mutations.mutate_json
  return target.Target(path, read, _TEXTS, mutate, names_file=False)


def _mnist_splits(folder: pathlib.Path) -> target.Target:
  path, table = folder / 'mnist_splits.json', {}
  for i, name in enumerate(_ENTRIES):
    file = f'mnist-inrs/mnist_png_training_{i}_{i}/checkpoints/model_final.pth'
    (folder / file).parent.mkdir(parents=True)
    (folder / file).touch()
    table[name] = {'path': [file], 'label': [str(i)]}
  path.write_text(json.dumps(table))
  read = functools.partial(dws.list_mnist, folder)
  mutate = mutations.mutate_json
  return target.Target(path, read, _TEXTS, mutate, names_file=False)


def _fashion_splits(folder: pathlib.Path) -> target.Target:
  path, table = folder / 'fmnist_inrs' / 'splits.json', {}
  (folder / 'fmnist_inrs' / 'train').mkdir(parents=True)
  for i, name in enumerate(_ENTRIES):
    file = f'fmnist_inrs/train/model_{i}.pth'
    (folder / file).touch()
    table[name] = [f'/home/someone/{file}']
  path.write_text(json.dumps(table))
  read = functools.partial(dws.list_fashion_mnist, folder)
  mutate = mutations.mutate_json
  return target.Target(path, read, _TEXTS, mutate, names_file=False)


def _write_made(folder: pathlib.Path) -> None:
  """A made set of one INR a split."""
  settings = inr.InrSettings(hidden_sizes=(2,))
  siren = settings.network(1)
  weights = jax.tree.map(
    lambda x: np.asarray(x)[None], siren.init(jax.random.key(0))
  )
  flat = {f'weights/{k}': x for k, x in specs.leaf_arrays(weights).items()}
  flat |= {k: np.zeros(1, np.int32) for k in ('label', 'image_index', 'view')}
  (folder / 'arrays').mkdir()
  for name in inr.SPLITS:
    safetensors_numpy.save_file(flat, folder / 'arrays' / f'{name}.safetensors')
  card = {
    'settings': settings.to_dict(),
    'images': {'shape': [2, 2, 1], 'class_names': ['a'], 'max_value': 255},
    'num_networks': dict.fromkeys(inr.SPLITS, 1),
  }
  (folder / 'card.json').write_text(json.dumps(card))


def _made(folder: pathlib.Path, *, file: str) -> target.Target:
  _write_made(folder)
  read = functools.partial(inr.load, folder)
  is_json = file.endswith('.json')
  mutate = mutations.mutate_json if is_json else mutations.mutate
  return target.Target(folder / file, read, mutate=mutate, names_file=False)


TARGETS: dict[str, target.Make] = {
  'own_labels': _own_labels,
  'own_spec': _own_spec,
  'own_npz': _own_npz,
  'small_metrics': _small_metrics,
  'small_layout': _small_layout,
  'small_weights': _small_weights,
  'small_order': _small_order,
  'park_splits': _park_splits,
  'mnist_splits': _mnist_splits,
  'fashion_splits': _fashion_splits,
  'made_card': functools.partial(_made, file='card.json'),
  'made_arrays': functools.partial(_made, file='arrays/train.safetensors'),
}
WHOLE: dict[str, target.Make] = {'own': _own, 'small_zoo': _small_zoo}
