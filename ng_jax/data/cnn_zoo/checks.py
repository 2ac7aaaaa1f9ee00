# SPDX-License-Identifier: Apache-2.0
"""Checks of what a table says of a zoo, before any weights are read."""

import collections
from collections.abc import Mapping, Sequence
import pathlib

import numpy as np

from ng_jax.data.cnn_zoo import runs as runs_lib
from ng_jax.files import limits

SPLITS = runs_lib.SPLITS


def check_accuracies(accuracy: np.ndarray, names: Sequence[str]) -> None:
  """Refuses numbers that are no accuracies.

  Args:
    accuracy: [num_networks] float.
    names: of the networks.

  Jit: no.

  Raises:
    ValueError: one is outside [0, 1], or NaN; names it.
  """
  wrong = np.flatnonzero(~((accuracy >= 0) & (accuracy <= 1)))
  if wrong.size:
    raise ValueError(
      'accuracies must be fractions between 0 and 1, but '
      f'{limits.shown(names[wrong[0]])} has {accuracy[wrong[0]]} '
      f'({wrong.size} of {len(names)} are outside); divide percentages by '
      '100 and leave out networks without a result.'
    )


def check_runs(runs: Mapping[str, np.ndarray], path: pathlib.Path) -> None:
  """Refuses splits that share a run, and empty ones.

  Args:
    runs: {split: [num_networks] int}, number of the run of each network.
    path: of the zoo, for the message.

  Jit: no.

  Raises:
    ValueError: names the splits and the runs.
  """
  members = {name: set(runs[name].tolist()) for name in SPLITS}
  for i, name in enumerate(SPLITS):
    for other in SPLITS[i + 1 :]:
      shared = sorted(members[name] & members[other])
      if shared:
        raise ValueError(
          f'the checkpoints of a run must be in one split, but {name} and '
          f'{other} of {path} share the runs {shared[:5]}; split by run.'
        )
    if not members[name]:
      raise ValueError(
        f'the split {name!r} of {path} must hold networks, got none; put more '
        'runs into it.'
      )


def check_files(
  folder: pathlib.Path, names: Sequence[str], table: pathlib.Path
) -> None:
  """Refuses a table that names a file twice, or files that are not there.

  Names that lead out of the folder are refused too, also by symbolic links.

  Args:
    folder: that the names are relative to.
    names: of all files of the table.
    table: that names them, for the message.

  Jit: no.

  Raises:
    ValueError: lists these files, or names the one outside.
  """
  counts = collections.Counter(names)
  count, doubled = limits.listed(n for n, count in counts.items() if count > 1)
  if count:
    raise ValueError(
      f'{table} must name every file once, but names {count:,} again:{doubled}'
      '\nLeave one line for each.'
    )
  count, missing = limits.listed(limits.missing_files(folder, names))
  if count:
    raise ValueError(
      f'{table} names {count:,} files that are not in {folder}:{missing}\n'
      'Fetch them, or give the folder that these paths begin in.'
    )
