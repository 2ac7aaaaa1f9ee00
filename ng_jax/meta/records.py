# SPDX-License-Identifier: Apache-2.0
"""Results of evaluations in a file, one JSON object a line."""

from collections.abc import Mapping
import json
import os
import pathlib
from typing import Any

from ng_jax.meta import evaluation
from ng_jax.meta import pixels as pixels_lib
from ng_jax.meta import tasks


def describe(
  task: tasks.Task,
  optimizer: str,
  splits: pixels_lib.Splits,
  found: evaluation.Evaluation,
  *,
  seconds_per_step: float | None = None,
  **more: Any,
) -> dict[str, Any]:
  """The record of an evaluation, as `reports` reads it.

  Args:
    task: that was trained.
    optimizer: what the table calls it.
    splits: of the task; an incomplete data set labels the figures.
    found: what came of it.
    seconds_per_step: from `evaluation.measure_step`.
    **more: entries of the record besides, as hardware='2 cores'.

  Returns:
    {'task', 'optimizer', 'data', 'note', 'num_train', 'num_steps',
    'batch_size', 'seconds_per_step'} and the entries of `Evaluation.to_record`.
    Jit: no.
  """
  return {
    'task': task.name,
    'optimizer': optimizer,
    'data': splits.name,
    'note': splits.note,
    'num_train': len(splits.train.labels),
    'num_steps': int(found.steps[-1]),
    'batch_size': task.batch_size,
    'seconds_per_step': seconds_per_step,
    **found.to_record(),
    **more,
  }


def append(path: str | pathlib.Path, record: Mapping[str, Any]) -> None:
  """Adds a line and waits until it is on the disk.

  Args:
    path: of the file; it and its folder are made where they are missing. What
      a killed run left of its last line is cut off first.
    record: numbers, texts, lists and dicts, all finite.

  Raises:
    ValueError: a number that is not finite.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  line = json.dumps(record, allow_nan=False) + '\n'
  with path.open('ab+') as file:
    file.seek(0)
    content = file.read()
    file.truncate(content.rfind(b'\n') + 1)
    file.write(line.encode())
    file.flush()
    os.fsync(file.fileno())


def read(path: str | pathlib.Path) -> list[dict[str, Any]]:
  """Reads the lines of a file.

  Args:
    path: of the file; it may be missing, and its last line may be incomplete.

  Returns:
    One dict a whole line.

  Raises:
    ValueError: a whole line that is no JSON object.
  """
  path = pathlib.Path(path)
  if not path.exists():
    return []
  records = []
  *lines, _ = path.read_text(encoding='utf-8').split('\n')
  for number, line in enumerate(lines, start=1):
    try:
      record = json.loads(line)
    except json.JSONDecodeError as error:
      record = error
    if not isinstance(record, dict):
      raise ValueError(
        f'every line of {path} must be a JSON object, but line {number} is '
        f'{line[:40]!r}; remove it, or give another file.'
      )
    records.append(record)
  return records
