# SPDX-License-Identifier: Apache-2.0
"""Which checkpoint a run goes on from when the latest ones are damaged."""

import pathlib
import shutil

from absl import logging

from ng_jax import processes
from ng_jax.train import checkpoints

DAMAGED = 'damaged_checkpoints'


def newest_whole(store: checkpoints.CheckpointStore) -> int | None:
  """Step of the latest checkpoint that is whole.

  Later ones that are truncated or damaged are moved out of the way, into the
  folder `DAMAGED` beside the store, and named in the log.

  Args:
    store: of the run, in all of its processes.

  Returns:
    The step, None in a store without checkpoints. Jit: no.

  Raises:
    ValueError: there are checkpoints, and none of them can be read.
  """
  steps = store.steps()
  damaged: list[int] = []
  whole = None
  for step in steps:
    try:
      store.check_whole(step)
      whole = step
      break
    except ValueError:
      damaged.append(step)
      if len(damaged) == len(steps):
        raise
  processes.wait('checkpoints checked')  # Before any of them is moved.
  if damaged and processes.is_first():
    for step in damaged:
      target = _move(store.directory, step)
      logging.warning(
        'The checkpoint at step %d in %s cannot be read; it is truncated or '
        'damaged. It was moved to %s, and the run goes on from step %d.',
        *(step, store.directory, target, whole),
      )
  processes.wait('damaged checkpoints moved')
  store.steps()  # Reads the folder again.
  return whole


def _move(directory: pathlib.Path, step: int) -> pathlib.Path:
  target = directory.parent / DAMAGED / str(step)
  shutil.rmtree(target, ignore_errors=True)
  target.parent.mkdir(exist_ok=True)
  (directory / str(step)).rename(target)
  return target
