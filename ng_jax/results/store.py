# SPDX-License-Identifier: Apache-2.0
"""The records of runs, one JSON object a line, one file for each table."""

from collections.abc import Mapping, Sequence
import fcntl
import os
import pathlib
from typing import Any

from ng_jax.meta import records as records_lib

Record = Mapping[str, Any]
FOLDER = 'docs/results'


def path_of(folder: str | pathlib.Path, table: str) -> pathlib.Path:
  """File of the records of a table. Jit: no."""
  return pathlib.Path(folder) / f'{table}.jsonl'


def add(folder: str | pathlib.Path, record: Record) -> None:
  """Keeps a record; of two of the same row and seed the later counts.

  Args:
    folder: of the store; it is made where it is missing.
    record: of `collecting.collect`.

  Raises:
    ValueError: a number that is not finite, or text that begins like the path
      of a file on this machine.

  Jit: no.
  """
  _check_texts(record)
  path = path_of(folder, record['table'])
  path.parent.mkdir(parents=True, exist_ok=True)
  lock = os.open(path.parent, os.O_RDONLY)
  try:  # Others may be at another row of the table.
    fcntl.flock(lock, fcntl.LOCK_EX)
    records_lib.append(path, record)
  finally:
    os.close(lock)


def read(
  folder: str | pathlib.Path, table: str, variant: str
) -> dict[tuple[str, int], Record]:
  """Reads the records of a table.

  Args:
    folder: of the store.
    table: name of the table.
    variant: of the table.

  Returns:
    {(row, seed): record}. Jit: no.

  Raises:
    ValueError: a line that is no record.
  """
  path = path_of(folder, table)
  found: dict[tuple[str, int], Record] = {}
  for record in records_lib.read(path):
    missing = {'variant', 'row', 'seed', 'config', 'metrics'} - set(record)
    if missing:
      raise ValueError(
        f'every line of {path} must be a record with variant, row, seed, '
        f'config and metrics, but {sorted(missing)} are missing from one; '
        'remove it.'
      )
    if record['variant'] == variant:
      found[record['row'], record['seed']] = record
  return found


def seeds_of(
  found: Mapping[tuple[str, int], Record], row: str
) -> Sequence[Record]:
  """Records of a row, by seed. Jit: no."""
  return [found[key] for key in sorted(found) if key[0] == row]


def _check_texts(value: Any) -> None:
  if isinstance(value, Mapping):
    for inner in value.values():
      _check_texts(inner)
  elif isinstance(value, list | tuple):
    for inner in value:
      _check_texts(inner)
  elif isinstance(value, str) and any(
    word.lstrip('\'"').startswith(('/', '~/'))
    for word in value.replace('=', ' ').split()
  ):
    raise ValueError(
      f'records must not name folders of a machine, got {value!r}; write '
      'FOLDER in its place.'
    )
