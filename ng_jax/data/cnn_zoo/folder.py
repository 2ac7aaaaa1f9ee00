# SPDX-License-Identifier: Apache-2.0
"""Reads a zoo of one's own: weight files, labels.csv and one spec.

    <folder>/spec.json     NetworkSpec.to_json() of all networks, or
             <name>.json   of one, beside its file, where they differ
    <folder>/labels.csv    file, accuracy, and perhaps split, run, epoch
    <folder>/<file>        .safetensors or .npz, arrays by leaf path

Without a column 'split', runs are drawn into splits, 80 / 10 / 10 %; without a
column 'run', every file is a run of its own.
"""

import functools
import itertools
import os
import pathlib

import numpy as np

from ng_jax import specs
from ng_jax.data.cnn_zoo import checks
from ng_jax.data.cnn_zoo import loading
from ng_jax.files import arrays as arrays_lib
from ng_jax.files import limits
from ng_jax.files import texts

LABELS, SPEC = 'labels.csv', 'spec.json'
_COLUMNS = ('file', 'accuracy', 'split', 'run', 'epoch')
# A table of more lines than files and so many names files that are not there,
# or one twice; it is not read to its end.
_MAX_BEYOND = 10_000
_ENDINGS = ('.npz', '.safetensors')
# Shares of the runs where the table has no split; the rest is for training.
_HELD_OUT = {'test': 0.1, 'validation': 0.1}


def read(folder: str | pathlib.Path) -> loading.CnnZoo:
  """Reads a folder of networks.

  Args:
    folder: see the module's docstring.

  Returns:
    The zoo. Jit: no.

  Raises:
    ValueError: missing or damaged files, weights that do not fit their spec,
      bad accuracies, splits that share a run.
  """
  folder = pathlib.Path(folder)
  there = _list_files(folder)
  lines = _read_labels(folder / LABELS, len(there) + _MAX_BEYOND)
  _check_lines(folder, lines, there)
  splits = {}
  for name in loading.SPLITS:
    chosen = [line for line in lines if line['split'] == name]
    read_files = [_read_network(folder, line['file']) for line in chosen]
    splits[name] = loading.ZooSplit(
      network_specs=tuple(spec for spec, _ in read_files),
      weights=tuple(weights for _, weights in read_files),
      accuracy=np.array([float(x['accuracy']) for x in chosen], np.float32),
      run=np.array([int(x['number']) for x in chosen], np.int32),
      epoch=np.array([int(x['epoch'] or 0) for x in chosen], np.int32),
      names=tuple(line['file'] for line in chosen),
    )
  return loading.CnnZoo(folder.name, splits, {}, folder)


def _list_files(folder: pathlib.Path) -> list[str]:
  """Names of all files of networks, relative to the folder."""
  return sorted(
    path.relative_to(folder).as_posix()
    for path in folder.rglob('*')
    if path.suffix in _ENDINGS
  )


def _read_labels(path: pathlib.Path, max_lines: int) -> list[dict[str, str]]:
  """Lines of the table with all columns, and the number of the run."""
  try:
    lines = [
      {column: line.get(column, '') for column in _COLUMNS}
      for line in itertools.islice(texts.read_table(path), max_lines)
    ]
    for line in lines:
      float(line['accuracy'])
      line['run'] = line['run'] or line['file']
      line['epoch'] = str(np.int32(int(line['epoch'] or 0)))
  except (LookupError, OSError, OverflowError, TypeError, ValueError) as error:
    raise ValueError(
      f'{path} must be a table with the columns file and accuracy, and perhaps '
      f'split, run and epoch, but cannot be read ({limits.told(error)}); '
      'write one line a network.'
    ) from error
  runs = sorted({line['run'] for line in lines})
  numbers = {run: str(number) for number, run in enumerate(runs)}
  drawn = _draw_splits(runs)
  for line in lines:
    line['number'] = numbers[line['run']]
    line['split'] = line['split'] or drawn[line['run']]
    if line['split'] not in loading.SPLITS:
      raise ValueError(
        f'{path}: unknown split {limits.shown(line["split"])!r} of '
        f'{limits.shown(line["file"])}; expected one of '
        f'{sorted(loading.SPLITS)}, or no column split.'
      )
  return lines


def _check_lines(
  folder: pathlib.Path, lines: list[dict[str, str]], there: list[str]
) -> None:
  """Checks runs and accuracies; that every line has a file, and one only."""
  names = [line['file'] for line in lines]
  checks.check_accuracies(
    np.array([float(x['accuracy']) for x in lines]), names
  )
  checks.check_runs(
    {
      name: np.array([int(x['number']) for x in lines if x['split'] == name])
      for name in loading.SPLITS
    },
    folder,
  )
  checks.check_files(folder, names, folder / LABELS)
  labelled = set(names)
  count, lacking = limits.listed(x for x in there if x not in labelled)
  if count:
    raise ValueError(
      f'{folder / LABELS} must have a line for every network, but lacks '
      f'{count:,} of the files in {folder}:{lacking}\nWrite these lines, or '
      'take the files away.'
    )


def _draw_splits(runs: list[str]) -> dict[str, str]:
  """Draws runs into splits, with seed 42."""
  order = np.random.default_rng(42).permutation(len(runs))
  names = []
  for name, share in _HELD_OUT.items():
    names += [name] * max(1, round(share * len(runs)))
  names += ['train'] * (len(runs) - len(names))
  return {runs[i]: name for i, name in zip(order, names, strict=False)}


def _read_network(
  folder: pathlib.Path, name: str
) -> tuple[specs.NetworkSpec, specs.Weights]:
  """Spec and weights of one file."""
  path = limits.inside(folder, name)
  own = path.with_suffix('.json')
  spec = _read_spec(own if os.path.exists(own) else folder / SPEC)
  try:
    found = arrays_lib.read(path)
    weights = specs.from_leaf_arrays(
      {key: np.asarray(x, np.float32) for key, x in found.items()}
    )
  except (OSError, TypeError, ValueError) as error:
    raise ValueError(
      f'{path} must be a .safetensors or .npz file of arrays, but cannot be '
      f'read ({limits.told(error)}); write it again or leave it out of '
      f'{LABELS}.'
    ) from error
  try:
    batch = specs.check_weights(spec, weights)
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from error
  if batch:
    raise ValueError(
      f'{path} must hold one network, got a batch of shape {batch}; write one '
      'file a network.'
    )
  return spec, weights


@functools.lru_cache(maxsize=65_536)
def _read_spec(path: pathlib.Path) -> specs.NetworkSpec:
  try:
    return specs.NetworkSpec.from_json(path.read_text(encoding='utf-8'))
  except (OSError, ValueError) as error:
    raise ValueError(
      f'{path} must be a spec as NetworkSpec.to_json writes it, but cannot be '
      f'read ({limits.told(error)}); write it beside {LABELS}.'
    ) from error
