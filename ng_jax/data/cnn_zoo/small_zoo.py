# SPDX-License-Identifier: Apache-2.0
"""Reads the published Small CNN Zoo, CIFAR10-GS (Unterthiner et al., 2020).

    <folder>/weights.npy     [num_checkpoints, num_weights] float32
    <folder>/metrics.csv.gz  one line each: step, test_accuracy, ...
    <folder>/layout.csv      varname, start_idx, end_idx, shape

The split of Kofinas et al. is made from a file with one row number a line (spec
6.4): rows in that order, final checkpoints only; the second half is the test
split, of the first half, shuffled, 80 % are the training split.
"""

import array
import dataclasses
import itertools
import math
import pathlib
import random
import re
from typing import Any

import numpy as np

from ng_jax import networks
from ng_jax import specs
from ng_jax.data.cnn_zoo import checks
from ng_jax.data.cnn_zoo import loading
from ng_jax.files import arrays
from ng_jax.files import limits
from ng_jax.files import texts

_FINAL_STEP = 86
_TRAIN_FRACTION = 0.8
_MAX_ARRAYS = 20  # Of a network; there are 8.
_LAYERS = ('conv2d', 'conv2d_1', 'conv2d_2', 'dense')


def read(
  folder: str | pathlib.Path,
  *,
  split_file: str | pathlib.Path = '',
  final_step: int = _FINAL_STEP,
) -> loading.CnnZoo:
  """Reads the zoo's final checkpoints.

  Args:
    folder: of the three files.
    split_file: one row number a line, without a header; '' takes the rows in
      the order of a permutation drawn with seed 0.
    final_step: value of the column 'step' of the checkpoints that are used.

  Returns:
    The zoo; a run is a row, and a row that the split file names twice is in one
    split only, where it is named first. Activations are not recorded, as in the
    paper. Jit: no.

  Raises:
    ValueError: missing or damaged files, or files that do not fit together.
  """
  zoo = open_zoo(folder, split_file=split_file, final_step=final_step)
  spec = zoo.network.spec
  splits = {
    name: loading.ZooSplit(
      network_specs=(spec,) * len(rows),
      weights=tuple(map(zoo.weights, rows)),
      accuracy=zoo.accuracy[rows].astype(np.float32),
      run=rows.astype(np.int32),
      epoch=np.full(len(rows), final_step, np.int32),
      names=tuple(map(row_name, rows)),
    )
    for name, rows in zoo.rows.items()
  }
  return loading.CnnZoo('CIFAR10-GS', splits, {}, pathlib.Path(folder))


@dataclasses.dataclass(frozen=True)
class SmallZoo:
  """The files of the zoo, opened; weights are read when they are asked for.

  Attributes:
    network: of all rows.
    rows: {split: row numbers}.
    accuracy: [num_checkpoints] float, on the test images, in [0, 1] for the
      rows of the splits.
    vectors: [num_checkpoints, num_weights] float32, mapped.
    slices: {path: (start, end, shape)} of the arrays in a row.
  """

  network: networks.Cnn
  rows: dict[str, np.ndarray]
  accuracy: np.ndarray
  vectors: np.ndarray
  slices: dict[str, tuple[int, int, tuple[int, ...]]]

  def weights(self, row: int) -> dict[str, Any]:
    """The weights of a row, numpy. Jit: no."""
    weights = _weights(self.vectors[row], self.slices)
    for path, leaf in specs.leaf_arrays(weights).items():
      if not np.isfinite(leaf).all():
        raise ValueError(
          f'{row_name(row)} of weights.npy must be finite, but {path} is not; '
          'fetch the file again.'
        )
    return weights


def row_name(row: int) -> str:
  """What a row is called in messages and predictions. Jit: static."""
  return f'row {row}'


def open_zoo(
  folder: str | pathlib.Path,
  *,
  split_file: str | pathlib.Path = '',
  final_step: int = _FINAL_STEP,
) -> SmallZoo:
  """Opens the zoo's files and checks that they fit together.

  Args: as `read`.

  Returns:
    The files and the rows of the splits. Jit: no.

  Raises:
    ValueError: as `read`.
  """
  folder = pathlib.Path(folder)
  metrics = _read_metrics(folder / 'metrics.csv.gz')
  vectors = _read_weights(folder / 'weights.npy', len(metrics['step']))
  network, slices = _read_layout(folder / 'layout.csv', vectors.shape[1])
  order = _order(split_file, len(metrics['step']))
  final = order[metrics['step'][order] == final_step]
  if len(final) < 5:
    raise ValueError(
      f'{folder} must hold at least 5 checkpoints of step {final_step}, got '
      f'{len(final)}; its steps are '
      f'{sorted(set(metrics["step"].tolist()))[:20]}.'
    )
  accuracy = metrics['test_accuracy']
  checks.check_accuracies(accuracy[final], list(map(row_name, final)))
  return SmallZoo(network, _split(final), accuracy, vectors, slices)


def _order(split_file: str | pathlib.Path, num_rows: int) -> np.ndarray:
  """Rows in the order of the split file, each once."""
  if not split_file:
    return np.random.default_rng(0).permutation(num_rows)
  path = pathlib.Path(split_file)
  try:
    rows = array.array('q')
    for line in texts.read_lines(path):
      rows.extend(map(int, line.split()))
    named = np.array(rows, np.int64)
  except (OSError, OverflowError, ValueError) as error:
    raise ValueError(
      f'{path} must hold one row number a line, but cannot be read '
      f'({limits.told(error)}); '
      "give another split_file, or '' for a split of its own."
    ) from error
  wrong = named[(named < 0) | (named >= num_rows)]
  if wrong.size:
    raise ValueError(
      f'{path} must hold row numbers from 0 to {num_rows - 1}, got {wrong[0]}; '
      'it belongs to another zoo.'
    )
  # Differs from the reference, which keeps row 0 twice: a run is in one split.
  _, first = np.unique(named, return_index=True)
  return named[np.sort(first)]


def _split(rows: np.ndarray) -> dict[str, np.ndarray]:
  """Second half test; of the shuffled first half 80 % train."""
  half = len(rows) // 2
  first = rows[:half].tolist()
  random.Random(0).shuffle(first)
  num_train = int(_TRAIN_FRACTION * half)
  return {
    'train': np.array(first[:num_train]),
    'validation': np.array(first[num_train:]),
    'test': rows[half:],
  }


def _read_metrics(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    # Numbers only, as they come: the file may unpack to anything.
    steps, accuracies = array.array('q'), array.array('d')
    for line in texts.read_table(path):
      steps.append(int(float(line['step'])))
      accuracies.append(float(line['test_accuracy']))
      limits.check_unpacked(path, 16 * len(steps))
    return {'step': np.array(steps), 'test_accuracy': np.array(accuracies)}
  except (OSError, LookupError, OverflowError, ValueError) as error:
    raise ValueError(
      f'{path} must be a gzipped table with the columns step and test_accuracy,'
      f' but cannot be read ({limits.told(error)}); fetch it again.'
    ) from error


def _read_weights(path: pathlib.Path, num_rows: int) -> np.ndarray:
  try:
    # Mapped: the published file has 5 GB, of which a ninth is used.
    vectors = arrays.map_npy(path)
  except (OSError, ValueError) as error:
    raise ValueError(
      f'{path} must be an array file of NumPy, but cannot be read '
      f'({limits.told(error)}); fetch it again.'
    ) from error
  if vectors.ndim != 2 or len(vectors) != num_rows:
    raise ValueError(
      f'{path} must be [{num_rows}, num_weights], one row for each line of '
      f'metrics.csv.gz, got {vectors.shape}; fetch both again.'
    )
  return vectors


_Slices = dict[str, tuple[int, int, tuple[int, ...]]]


def _read_layout(
  path: pathlib.Path, num_weights: int
) -> tuple[networks.Cnn, _Slices]:
  """The network, and where each of its arrays lies in a row."""
  try:
    lines = list(itertools.islice(texts.read_table(path), _MAX_ARRAYS + 1))
    if len(lines) > _MAX_ARRAYS:
      raise ValueError(f'more than {_MAX_ARRAYS} arrays')
    slices: _Slices = {
      _path(line['varname']): (
        int(line['start_idx']),
        int(line['end_idx']),
        _shape(line['shape']),
      )
      for line in lines
    }
    kernels = [slices[f'conv_{i}/kernel'][2] for i in (1, 2, 3)]
    linear = slices['linear/kernel'][2]
    network = networks.Cnn(
      (kernels[0][2], *(kernel[3] for kernel in kernels)),
      tuple((kernel[0], kernel[1]) for kernel in kernels),
      num_classes=linear[1],
    )
    expected = {
      leaf.path: network.spec.leaf_shape(leaf) for leaf in network.spec.leaves
    }
    _check_slices(slices, expected, num_weights)
  except (OSError, LookupError, ValueError) as error:
    raise ValueError(
      f'{path} must have the columns varname, start_idx, end_idx and shape and '
      f'the layers {_LAYERS}, but cannot be read '
      f'({limits.told(error)}); fetch it again.'
    ) from error
  return network, slices


def _shape(text: str) -> tuple[int, ...]:
  """'(3, 3, 1, 16)' or '[16]' to a tuple."""
  inner = re.fullmatch(r'\s*[(\[]?([\d\s,]*?),?\s*[)\]]?\s*', text)
  if inner is None:
    raise ValueError(f'{text!r} is no shape')
  return tuple(int(n) for n in inner[1].split(',') if n.strip())


def _path(varname: str) -> str:
  """'sequential/conv2d_1/kernel:0' to 'conv_2/kernel'."""
  layer, kind = varname.split(':')[0].split('/')[-2:]
  number = _LAYERS.index(layer)
  name = 'linear' if layer == 'dense' else f'conv_{number + 1}'
  return f'{name}/{kind}'


def _check_slices(
  slices: _Slices, expected: dict[str, tuple[int, ...]], num_weights: int
) -> None:
  for path, shape in expected.items():
    start, end, found = slices[path]
    whole = end - start == math.prod(shape)
    if found != shape or not whole or not 0 <= start <= end <= num_weights:
      raise ValueError(
        f'layout.csv: {path} must have the shape {shape} and lie inside the '
        f'{num_weights} weights of a row, got {found} at {start} to {end}; '
        'the layout belongs to other weights.'
      )


def _weights(vector: np.ndarray, slices: _Slices) -> dict[str, Any]:
  weights: dict[str, Any] = {}
  for path, (start, end, shape) in slices.items():
    layer, kind = path.split('/')
    values = np.asarray(vector[start:end], np.float32).reshape(shape)
    weights.setdefault(layer, {})[kind] = values
  return weights
