# SPDX-License-Identifier: Apache-2.0
"""Reads the published CNN Wild Park (Zenodo 12797219); needs the extra `torch`.

    <folder>/cnn_park_splits.json  {split: {'path', 'score', 'step'}}
    <folder>/cifar10_zooV2/<run>/checkpoint_XXXXXX/checkpoint.pt

A checkpoint holds 'model', a state_dict with layers.<i>.weight, .bias and
fc.weight, .bias, and 'config': channels, kernel_size, stride, padding,
residual, activation, n_classes. The published config is an object of OmegaConf
that holds a dataclass of the project; neither is needed. Files are opened with
weights_only=True, and the objects of a config are replaced by inert ones, so
nothing in a file is run; what else it asks for is refused by name.
"""

from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from ng_jax import networks
from ng_jax import specs
from ng_jax.data.cnn_zoo import checks
from ng_jax.data.cnn_zoo import loading
from ng_jax.files import limits
from ng_jax.files import texts
from ng_jax.files import torch_configs
from ng_jax.files import torch_files

SPLITS = 'cnn_park_splits.json'
_NAMES = {'train': 'train', 'validation': 'val', 'test': 'test'}
_FIELDS = (
  *('channels', 'kernel_size', 'stride', 'padding'),
  *('residual', 'activation', 'n_classes'),
)
_COLUMNS = ('path', 'score', 'step')
_FILE = 'checkpoint.pt'


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """What the splits say of one checkpoint.

  Attributes:
    path: of its file, relative to the folder.
    run: number of its run.
    accuracy: on the test images, in [0, 1].
    step: epoch.
  """

  path: str
  run: int
  accuracy: float
  step: int


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
  splits = {}
  for name, members in list_checkpoints(folder).items():
    found = [read_checkpoint(folder / member.path) for member in members]
    splits[name] = loading.ZooSplit(
      network_specs=tuple(network.spec for network, _ in found),
      weights=tuple(weights for _, weights in found),
      accuracy=np.array([m.accuracy for m in members], np.float32),
      run=np.array([m.run for m in members], np.int32),
      epoch=np.array([m.step for m in members], np.int32),
      names=tuple(m.path for m in members),
    )
  return loading.CnnZoo('CNN Wild Park', splits, {}, folder)


def list_checkpoints(
  folder: str | pathlib.Path,
) -> dict[str, tuple[Checkpoint, ...]]:
  """Lists all checkpoints that the splits name, without opening them.

  Args:
    folder: see the module's docstring.

  Returns:
    {split: checkpoints}. Jit: no.

  Raises:
    ValueError: bad splits, files that are missing, all of which are listed, bad
      accuracies, splits that share a run.
  """
  folder = pathlib.Path(folder)
  runs: dict[str, int] = {}
  splits = {}
  for name, lines in _read_splits(folder / SPLITS).items():
    found = []
    for path, score, step in lines:
      file = _file(path)
      run = runs.setdefault(str(file.parent.parent), len(runs))
      found.append(Checkpoint(str(file), run, score, step))
    splits[name] = tuple(found)
  members = [member for split in splits.values() for member in split]
  paths = [member.path for member in members]
  checks.check_files(folder, paths, folder / SPLITS)
  checks.check_accuracies(np.array([m.accuracy for m in members]), paths)
  checks.check_runs(
    {name: np.array([m.run for m in x]) for name, x in splits.items()}, folder
  )
  return splits


def _file(path: str) -> pathlib.PurePosixPath:
  found = pathlib.PurePosixPath(path)
  return found if found.suffix else found / _FILE


def _read_splits(path: pathlib.Path) -> dict[str, list[tuple[str, float, int]]]:
  """Path, score and step of every checkpoint of a split."""
  try:
    content = texts.read_json(path)
    columns = {
      name: [list(content[there][key]) for key in _COLUMNS]
      for name, there in _NAMES.items()
    }
    lengths = {name: [len(x) for x in entry] for name, entry in columns.items()}
    uneven = [name for name, x in lengths.items() if len(set(x)) > 1]
    if uneven:
      raise ValueError(f'lists of different lengths, {lengths}')
    limits.check_lines(path, sum(x[0] for x in lengths.values()))
    return {
      name: [_line(path.parent, *line) for line in zip(*entry, strict=True)]
      for name, entry in columns.items()
    }
  except (OSError, LookupError, OverflowError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path} must have the entries 'train', 'val' and 'test', each with "
      f'equally long lists {list(_COLUMNS)}, but cannot be read '
      f'({limits.told(error)}); fetch it again.'
    ) from error


def _line(
  folder: pathlib.Path, file: Any, score: Any, step: Any
) -> tuple[str, float, int]:
  limits.inside(folder, file)
  return file, float(score), int(np.int32(int(step)))


def read_checkpoint(
  path: pathlib.Path,
) -> tuple[networks.Cnn, specs.Weights]:
  """Reads one checkpoint.

  Args:
    path: of its file.

  Returns:
    The network and its weights, numpy. Jit: no.

  Raises:
    ValueError: a damaged file, one that is more than tensors and plain values,
      or one whose arrays contradict its config.
    ImportError: without torch.
  """
  content = torch_files.read(path, configs=True)
  try:
    config = torch_configs.to_plain(content['config'])
    model = dict(content['model'])
    fields = {name: config[name] for name in _FIELDS}
  except Exception as error:  # A damaged one can raise nearly anything.
    raise ValueError(
      f"{path} must be a checkpoint with 'model' and 'config', which must have "
      f'{list(_FIELDS)}, but cannot be read ({limits.told(error)}); fetch it '
      'again.'
    ) from error
  try:
    return to_weights(fields, model)
  except Exception as error:  # A damaged one can raise nearly anything.
    raise ValueError(
      f'{path}: the arrays contradict the config ({error}); fetch the file '
      'again or leave it out of the splits.'
    ) from error


def to_weights(
  config: Mapping[str, Any], model: Mapping[str, np.ndarray]
) -> tuple[networks.Cnn, specs.Weights]:
  """Network and weights of a checkpoint.

  Args:
    config: of the network, as the checkpoint has it.
    model: its state_dict, as numpy arrays.

  Returns:
    The network and the weights, numpy. Jit: no.

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
  return network, jax.tree.map(np.asarray, weights)
