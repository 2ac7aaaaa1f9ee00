# SPDX-License-Identifier: Apache-2.0
"""Reads the published CNN Wild Park (Zenodo 12797219); needs the extra `torch`.

    <folder>/cnn_park_splits.json  {split: {'path', 'score', 'step'}}
    <folder>/cifar10_zooV2/<run>/checkpoint_XXXXXX/checkpoint.pt

A checkpoint holds 'model', a state_dict with layers.<i>.weight, .bias and
fc.weight, .bias, and 'config': channels, kernel_size, stride, padding,
residual, activation, n_classes. Files are opened with weights_only=True, so
nothing in them is run; a config that is more than a dict of numbers, texts and
lists is refused with the name of what it is.
"""

from collections.abc import Mapping
import pathlib
from typing import Any

import jax
import numpy as np

from ng_jax import networks
from ng_jax import specs
from ng_jax.data.cnn_zoo import loading
from ng_jax.files import limits
from ng_jax.files import texts

SPLITS = 'cnn_park_splits.json'
_NAMES = {'train': 'train', 'validation': 'val', 'test': 'test'}
_FIELDS = (
  *('channels', 'kernel_size', 'stride', 'padding'),
  *('residual', 'activation', 'n_classes'),
)
_COLUMNS = ('path', 'score', 'step')
_FILE = 'checkpoint.pt'


def read(folder: str | pathlib.Path) -> loading.CnnZoo:
  """Reads all checkpoints that the splits name.

  Args:
    folder: see the module's docstring.

  Returns:
    The zoo. Jit: no.

  Raises:
    ValueError: missing or damaged files, a checkpoint whose arrays contradict
      its config, bad accuracies, splits that share a run.
    ImportError: without torch.
  """
  folder = pathlib.Path(folder)
  table = _read_splits(folder / SPLITS)
  runs: dict[str, int] = {}
  splits = {}
  for name, entry in table.items():
    paths = [_file(path) for path in entry['path']]
    found = [_read_checkpoint(folder / path) for path in paths]
    members = [str(path.parent.parent) for path in paths]
    for run in members:
      runs.setdefault(run, len(runs))
    splits[name] = loading.ZooSplit(
      network_specs=tuple(spec for spec, _ in found),
      weights=tuple(weights for _, weights in found),
      accuracy=np.asarray(entry['score'], np.float32),
      run=np.array([runs[run] for run in members], np.int32),
      epoch=np.asarray(entry['step'], np.int32),
      names=tuple(map(str, paths)),
    )
  return loading.CnnZoo('CNN Wild Park', splits, {}, folder)


def _file(path: str) -> pathlib.PurePosixPath:
  found = pathlib.PurePosixPath(path)
  return found if found.suffix else found / _FILE


def _read_splits(path: pathlib.Path) -> dict[str, dict[str, list[Any]]]:
  try:
    content = texts.read_json(path)
    table = {
      name: {
        key: list(content[there][key]) for key in ('path', 'score', 'step')
      }
      for name, there in _NAMES.items()
    }
    lengths = {
      name: {key: len(column) for key, column in entry.items()}
      for name, entry in table.items()
    }
    for entry in table.values():
      for file in entry['path']:
        limits.inside(path.parent, file)
    uneven = [name for name, x in lengths.items() if len(set(x.values())) > 1]
    if uneven:
      raise ValueError(f'lists of different lengths, {lengths}')
  except (OSError, LookupError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path} must have the entries 'train', 'val' and 'test', each with "
      f'equally long lists {list(_COLUMNS)}, but cannot be read ({error!r}); '
      'fetch it again.'
    ) from error
  return table


def _read_checkpoint(
  path: pathlib.Path,
) -> tuple[specs.NetworkSpec, specs.Weights]:
  try:
    import torch
  except ImportError as error:
    raise ImportError(
      'checkpoints of the CNN Wild Park are read with torch, which is not '
      "installed; install it with pip install 'ng_jax[torch]'."
    ) from error
  try:
    content = torch.load(path, map_location='cpu', weights_only=True)
    config, model = content['config'], content['model']
    fields = {name: config[name] for name in _FIELDS}
  except Exception as error:  # torch raises its own, by what it met.
    lines = str(error).strip().splitlines() or ['']
    raise ValueError(
      f"{path} must be a checkpoint with 'model' and 'config', a plain dict "
      f'with {list(_FIELDS)}, but cannot be read ({type(error).__name__}: '
      f'{lines[0]}); save the config of such a file as a plain dict first.'
    ) from error
  try:
    return to_weights(fields, {k: x.numpy() for k, x in model.items()})
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f'{path}: the arrays contradict the config ({error}); fetch the file '
      'again or leave it out of the splits.'
    ) from error


def to_weights(
  config: Mapping[str, Any], model: Mapping[str, np.ndarray]
) -> tuple[specs.NetworkSpec, specs.Weights]:
  """Spec and weights of a checkpoint.

  Args:
    config: of the network, as the checkpoint has it.
    model: its state_dict, as numpy arrays.

  Returns:
    The spec and the weights, numpy. Jit: no.

  Raises:
    ValueError: arrays of other shapes than the config says, and so
    KeyError: missing ones.
  """
  network = networks.Cnn(
    tuple(config['channels']),
    tuple(config['kernel_size']),
    tuple(str(name or 'none').lower() for name in config['activation']),
    num_classes=int(config['n_classes']),
    residual=tuple(config['residual']),
    strides=tuple(config['stride']),
    paddings=tuple(config['padding']),
  )
  names = [f'layers.{i}' for i in range(network.num_convolutions)] + ['fc']
  expected = {f'{n}.{kind}' for n in names for kind in ('weight', 'bias')}
  if set(model) != expected:
    raise ValueError(
      f'by its config it has the layers {names}, but the arrays are '
      f'{sorted(model)}'
    )
  weights = network.read_torch(
    [model[f'{name}.weight'] for name in names],
    [model[f'{name}.bias'] for name in names],
  )
  return network.spec, jax.tree.map(np.asarray, weights)
