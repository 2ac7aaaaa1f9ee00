# SPDX-License-Identifier: Apache-2.0
"""Reads labels.csv, the table of a zoo of one's own.

file       of the network, relative to the table's folder
accuracy   in [0, 1], or
label      a class, any text; whole numbers are sorted as numbers
split      'train', 'validation' or 'test'; without it, runs are drawn into
           splits, 80 / 10 / 10 %
run        any text; without it, every file is a run of its own
epoch      a whole number, 0 without it
"""

import itertools
import pathlib
from typing import NamedTuple

import numpy as np

from ng_jax.data.cnn_zoo import checks
from ng_jax.files import limits
from ng_jax.files import texts

# Shares of the runs where the table has no split; the rest is for training.
_HELD_OUT = {'test': 0.1, 'validation': 0.1}
_TARGETS = ('accuracy', 'label')


class Table(NamedTuple):
  """What labels.csv says.

  Attributes:
    lines: one a network, with all columns, the 'number' of the run and, of
      labels, the number of the 'class'.
    class_names: of the labels, () where the table has accuracies.
  """

  lines: list[dict[str, str]]
  class_names: tuple[str, ...]


def read(path: pathlib.Path, max_lines: int) -> Table:
  """Reads the table.

  Args:
    path: of labels.csv.
    max_lines: after which reading ends.

  Returns:
    Its lines and classes. Jit: no.

  Raises:
    ValueError: no table, missing columns, accuracies and labels or neither,
      accuracies outside [0, 1], fewer than two classes or one that the
      training split lacks, splits that are unknown, empty or share a run.
  """
  lines = _read_lines(path, max_lines)
  _enter_splits(path, lines)
  names = [line['file'] for line in lines]
  if 'accuracy' in lines[0]:
    accuracy = np.array([float(x['accuracy']) for x in lines])
    checks.check_accuracies(accuracy, names)
  checks.check_runs(
    {
      name: np.array([int(x['number']) for x in lines if x['split'] == name])
      for name in checks.SPLITS
    },
    path.parent,
  )
  return Table(lines, _enter_classes(path, lines))


def _read_lines(path: pathlib.Path, max_lines: int) -> list[dict[str, str]]:
  """Lines of the table, checked one by one."""
  try:
    lines = list(itertools.islice(texts.read_table(path), max_lines))
    columns = [name for name in _TARGETS if any(name in x for x in lines)]
    if len(columns) != 1:
      raise LookupError('it has both' if columns else 'it has neither')
    for line in lines:
      if columns == ['accuracy']:
        float(line['accuracy'])
      elif not line['label'].strip():
        raise ValueError(f'{line["file"]} has no label')
      line.update(
        file=line['file'],
        run=line.get('run') or line['file'],
        epoch=str(np.int32(int(line.get('epoch') or 0))),
        split=line.get('split') or '',
      )
  except (LookupError, OSError, OverflowError, TypeError, ValueError) as error:
    raise ValueError(
      f'{path} must be a table with the columns file and either accuracy or '
      f'label, and perhaps split, run and epoch, but cannot be read '
      f'({limits.told(error)}); write one line a network.'
    ) from error
  return lines


def _enter_splits(path: pathlib.Path, lines: list[dict[str, str]]) -> None:
  """Adds the number of each run, and the split where there is none."""
  runs = sorted({line['run'] for line in lines})
  numbers = {run: str(number) for number, run in enumerate(runs)}
  drawn = _draw_splits(runs)
  for line in lines:
    line['number'] = numbers[line['run']]
    line['split'] = line['split'] or drawn[line['run']]
    if line['split'] not in checks.SPLITS:
      raise ValueError(
        f'{path}: unknown split {limits.shown(line["split"])!r} of '
        f'{limits.shown(line["file"])}; expected one of '
        f'{sorted(checks.SPLITS)}, or no column split.'
      )


def _draw_splits(runs: list[str]) -> dict[str, str]:
  """Draws runs into splits, with seed 42."""
  order = np.random.default_rng(42).permutation(len(runs))
  names = []
  for name, share in _HELD_OUT.items():
    names += [name] * max(1, round(share * len(runs)))
  names += ['train'] * (len(runs) - len(names))
  return {runs[i]: name for i, name in zip(order, names, strict=False)}


def _enter_classes(
  path: pathlib.Path, lines: list[dict[str, str]]
) -> tuple[str, ...]:
  """Adds the number of each class; returns their names."""
  if 'label' not in lines[0]:
    return ()
  names = _sort({line['label'].strip() for line in lines})
  if len(names) < 2:
    raise ValueError(
      f'{path} must have labels of two classes or more, got only '
      f'{[limits.shown(name) for name in names]}; add networks of another '
      'class, or predict an accuracy.'
    )
  learned = {x['label'].strip() for x in lines if x['split'] == 'train'}
  unseen = [name for name in names if name not in learned]
  if unseen:
    raise ValueError(
      f'{path}: the training split must have networks of every class, but '
      f'lacks {[limits.shown(name) for name in unseen]}; move some there with '
      'a column split, or leave these classes out.'
    )
  for line in lines:
    line['class'] = str(names.index(line['label'].strip()))
  return tuple(names)


def _sort(names: set[str]) -> list[str]:
  """Whole numbers by their value, other names by the alphabet."""
  try:
    return sorted(names, key=lambda name: (int(name), name))
  except ValueError:
    return sorted(names)
