# SPDX-License-Identifier: Apache-2.0
"""Readers of specs, saved models, trained optimizers and checkpoints.

What a file says is fuzzed apart from what is made of it: `WHOLE` has readers
that build a model's shapes or open a store of orbax for each input.
"""

import functools
import json
import pathlib

import jax
import numpy as np
from safetensors import numpy as safetensors_numpy

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import optimizers
from ng_jax import pretrained
from ng_jax import specs
from ng_jax.models.official import recordings
from ng_jax.optimizers import saving
from ng_jax.pretrained import conversion
from ng_jax.pretrained import folders
from ng_jax.train import checkpoint_trees
from ng_jax.train import checkpoints
from tests.fuzz import mutations
from tests.fuzz import set_targets
from tests.fuzz import target
from tests.train import linear_task

_JSON = mutations.mutate_json


def _spec(folder: pathlib.Path, mutate=_JSON) -> target.Target:
  path = folder / 'spec.json'
  path.write_text(set_targets.network()[0].spec.to_json())

  def read():
    text = path.read_bytes().decode('utf-8', 'replace')
    return specs.NetworkSpec.from_json(text)

  tokens = (b'[', b'null', b'1e9')
  return target.Target(path, read, tokens, mutate, names_file=False)


def _saved_model(folder: pathlib.Path) -> pathlib.Path:
  siren = networks.Siren((2, 3, 1))
  model = models.create('statnn', spec=siren.spec, hidden_size=3)
  weights = jax.tree.map(lambda x: x[None], siren.init(jax.random.key(0)))
  graph = graphs.encode(graphs.topology(siren.spec), weights)
  variables = jax.jit(model.init)({'params': jax.random.key(0)}, graph)
  path = folder / 'saved'
  pretrained.save_pretrained(path, model, variables, spec=siren.spec)
  return path


def _saved_config(folder: pathlib.Path) -> target.Target:
  path = _saved_model(folder) / 'config.json'
  read = functools.partial(folders._read_model, path)
  return target.Target(path, read, mutate=_JSON)


def _saved_params(folder: pathlib.Path) -> target.Target:
  path = _saved_model(folder)
  found = folders._read_model(path / 'config.json')
  expected = folders._expected(found.model, found.spec, found.kernel)
  path /= 'params.safetensors'
  read = functools.partial(folders._read_variables, path, expected)
  return target.Target(path, read, (b'BF16', b'params/'))


def _saved(folder: pathlib.Path) -> target.Target:
  path = _saved_model(folder)
  read = functools.partial(pretrained.load_pretrained, path)
  # What does not fit is told of the arrays.
  path /= 'config.json'
  return target.Target(path, read, mutate=_JSON, names_file=False)


def _write_official(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
  golden = pathlib.Path(__file__).parents[1] / 'golden' / 'stat_net.npz'
  recording = recordings.read(golden)
  config, state = folder / 'config.json', folder / 'state.safetensors'
  config.write_text(json.dumps(recording.config))
  safetensors_numpy.save_file(recording.state, state)
  return config, state


def _official_config(folder: pathlib.Path) -> target.Target:
  config, _ = _write_official(folder)
  read = functools.partial(conversion._read_config, config)
  return target.Target(config, read, mutate=_JSON)


def _official_state(folder: pathlib.Path) -> target.Target:
  config, state = _write_official(folder)
  name, model, spec = conversion._read_config(config)
  expected = conversion._expected(model, spec)
  read = functools.partial(conversion._read_variables, state, name, expected)
  # What lacks or has too much is told of the state, not of its file.
  return target.Target(state, read, (b'BF16', b'F16'), names_file=False)


def _official(folder: pathlib.Path) -> target.Target:
  config, state = _write_official(folder)
  out = folder / 'converted'
  read = functools.partial(pretrained.convert_official, config, state, out)
  return target.Target(config, read, mutate=_JSON, names_file=False)


def _write_theta(folder: pathlib.Path) -> pathlib.Path:
  path = folder / 'trained.safetensors'
  optimizer = optimizers.create('ff', hidden_sizes=(3,))
  theta = jax.jit(optimizer.init)(jax.random.key(0))
  optimizers.save(path, optimizer, theta, {'loss': [1.0, 0.5]})
  return path


def _theta_file(folder: pathlib.Path) -> target.Target:
  path = _write_theta(folder)
  read = functools.partial(saving._read_file, path)
  tokens = (b'{}', b'\\"', b'BF16', b'null', b'[[', b'a/b')
  return target.Target(path, read, tokens)


def _mutate_theta(rng, content, tokens=()):
  """Damages the JSON in the header of a safetensors file, which is whole."""
  tensors = safetensors_numpy.load(content)
  size = int.from_bytes(content[:8], 'little')
  texts = json.loads(content[8 : 8 + size])['__metadata__']
  key = saving._HEADER
  return safetensors_numpy.save(
    tensors, {key: _JSON(rng, texts[key].encode(), tokens).decode()}
  )


def _theta_header(folder: pathlib.Path) -> target.Target:
  path = _write_theta(folder)
  read = functools.partial(saving._read_file, path)
  return target.Target(path, read, mutate=_mutate_theta)


def _theta(folder: pathlib.Path) -> target.Target:
  path = _write_theta(folder)
  read = functools.partial(optimizers.read, path)
  return target.Target(path, read, mutate=_mutate_theta)


def _write_checkpoint(folder: pathlib.Path) -> None:
  state, _ = linear_task.make_state()
  window = [{'loss': np.float32(0.5), 'count': np.int32(3)}]
  with checkpoints.CheckpointStore(folder / 'store') as store:
    metrics = {'validation_accuracy': 0.5}
    store.save(state, metrics=metrics, config={'a': 1}, window=window)


def _checkpoint(folder: pathlib.Path, *, file: str) -> target.Target:
  _write_checkpoint(folder)
  state, _ = linear_task.make_state()

  def read():
    with checkpoints.CheckpointStore(folder / 'store') as store:
      store.check_whole(0)
      return store.restore(state, step=0)

  path = folder / 'store' / '0' / file
  return target.Target(path, read, names_file=False)


def _checkpoint_progress(folder: pathlib.Path) -> target.Target:
  """What is ours of a checkpoint, besides the arrays of orbax."""
  _write_checkpoint(folder)
  path = folder / 'store' / '0' / 'progress' / 'metadata'
  state, _ = linear_task.make_state()
  tree = jax.tree.map(np.asarray, checkpoint_trees.to_tree(state))
  store = checkpoints.CheckpointStore(folder / 'store')
  store._progress = lambda step: json.loads(path.read_bytes())

  def read():
    store.window(0)
    store._check(0, tree)

  return target.Target(path, read, mutate=_JSON, names_file=False)


TARGETS: dict[str, target.Make] = {
  'spec': _spec,
  'spec_text': functools.partial(_spec, mutate=mutations.mutate),
  'saved_config': _saved_config,
  'saved_params': _saved_params,
  'official_config': _official_config,
  'official_state': _official_state,
  'theta_file': _theta_file,
  'theta_header': _theta_header,
  'checkpoint_progress': _checkpoint_progress,
}
WHOLE: dict[str, target.Make] = {
  'saved': _saved,
  'official': _official,
  'theta': _theta,
  **{
    f'checkpoint_{name}': functools.partial(_checkpoint, file=file)
    for name, file in (
      ('window', 'progress/metadata'),
      ('config', 'config/metadata'),
      ('index', 'state/manifest.ocdbt'),
      ('shapes', 'state/_METADATA'),
    )
  },
}
