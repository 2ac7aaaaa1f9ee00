# SPDX-License-Identifier: Apache-2.0
"""Evaluations that are made once: a killed run goes on at the next one.

What was measured lies in a file of records. A record is found again by all that
its numbers depend on: the task, its images, the seeds and steps, and theta.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import json
import pathlib
from typing import Any
import zlib

import jax
import numpy as np

from ng_jax import processes
from ng_jax.meta import evaluation
from ng_jax.meta import pixels as pixels_lib
from ng_jax.meta import records
from ng_jax.meta import tasks

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Book:
  """A file of records, to which the first process adds.

  Attributes:
    path: of the file; it may be missing.
    others: files that are looked into as well.
    shared: whether several processes make the same records, of which the first
      writes; otherwise each has a book of its own.
  """

  path: pathlib.Path
  others: tuple[pathlib.Path, ...] = ()
  shared: bool = True

  def look_up(
    self, identity: Mapping[str, Any], make: Callable[[], Record]
  ) -> Record:
    """Finds a record, or makes and stores it.

    Args:
      identity: entries that tell it from all others, of JSON types.
      make: makes its other entries.

    Returns:
      The record, `identity` included. Jit: no.
    """
    wanted = json.loads(json.dumps(dict(identity)))
    for path in (self.path, *self.others):
      for record in records.read(path):
        if all(record.get(key) == value for key, value in wanted.items()):
          return record
    record = make() | wanted
    if processes.is_first() or not self.shared:
      records.append(self.path, record)
    return record


def measure(
  task: tasks.Task,
  optimizer: str,
  make_tx: evaluation.MakeTransformation,
  theta: Any,
  splits: pixels_lib.Splits,
  *,
  book: Book,
  held: Mapping[str, pixels_lib.Pixels] | None = None,
  seeds: Sequence[int] = evaluation.SEEDS,
  num_steps: int = 1_000,
  test_every: int = 100,
  timed: bool = True,
  identity: Mapping[str, Any] | None = None,
  **more: Any,
) -> Record:
  """Evaluates an optimizer on a task, unless the book has it already.

  Args:
    task: to train.
    optimizer: what tables call it.
    make_tx: see `evaluation.evaluate`.
    theta: see `evaluation.evaluate`.
    splits: of the task.
    book: of the records.
    held: {name: images to score}; the hold-out and the test images by default.
    seeds: of the runs.
    num_steps: of every run.
    test_every: steps from one test to the next.
    timed: whether a step is timed too.
    identity: tells the optimizer and its theta from others, of JSON types; a
      checksum of theta by default.
    **more: entries of the record besides.

  Returns:
    The record, see `records.describe`. Jit: no.

  Raises:
    ValueError: as `evaluation.evaluate`.
  """
  if held is None:
    held = {'hold_out': splits.hold_out, 'test': splits.test}
  setting = (task, make_tx, theta, splits.train)

  def make() -> Record:
    found = evaluation.evaluate(
      *setting,
      held=held,
      seeds=seeds,
      num_steps=num_steps,
      test_every=test_every,
    )
    seconds = evaluation.measure_step(*setting) if timed else None
    return records.describe(
      task, optimizer, splits, found, seconds_per_step=seconds, **more
    )

  key = {
    'task': task.name,
    'network': repr(task.network),
    'batch_size': task.batch_size,
    'data': splits.name,
    'checksum': _sum_labels(splits),
    'num_steps': num_steps,
    'test_every': test_every,
    'seeds': list(seeds),
    **({'theta': checksum(theta)} if identity is None else identity),
  }
  return book.look_up(key, make)


def final(record: Record, held: str = 'test') -> tuple[float, float]:
  """Accuracy of a record after the last step.

  Args:
    record: of `measure`.
    held: name of the held-out images.

  Returns:
    Mean and population standard deviation over the seeds, in [0, 1]. Jit: no.
  """
  last = np.array([runs[-1] for runs in record['accuracy'][held]], np.float64)
  return float(last.mean()), float(last.std())


def checksum(theta: Any) -> int:
  """Tells one theta from another.

  Args:
    theta: tree of arrays or numbers.

  Returns:
    CRC-32 of the bytes of its leaves. Jit: no.
  """
  found = 0
  for leaf in jax.tree.leaves(theta):
    found = zlib.crc32(np.ascontiguousarray(leaf).tobytes(), found)
  return found


def _sum_labels(splits: pixels_lib.Splits) -> int:
  """Tells one draw of the hold-out from another."""
  labels = np.asarray(splits.train.labels).astype('<i4')
  return zlib.crc32(labels.tobytes())
