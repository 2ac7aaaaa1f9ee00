# SPDX-License-Identifier: Apache-2.0
"""Index vectors: which examples make up the batch of a step.

A data set lives on the device; a batch is a vector of row numbers, in which
-1 marks padding. The sampler is a function of the step alone, so nothing has
to be saved for a run to continue where it stopped.
"""

import dataclasses
import functools

import numpy as np

PADDING = -1


@dataclasses.dataclass(frozen=True)
class IndexSampler:
  """Shuffled epochs of row numbers; the last, smaller batch is kept.

  Attributes:
    num_examples: rows of the split.
    batch_size: rows of a batch.
    seed: order of the data; another seed is another order.
    multiple_of: the length of the index vectors is rounded up to a multiple
      of this with padding, so that devices and microbatches divide it.
    shuffle: otherwise every epoch runs from the first row to the last.
    first_row: where the split begins in the data set.
  """

  num_examples: int
  batch_size: int
  seed: int = 0
  multiple_of: int = 1
  shuffle: bool = True
  first_row: int = 0

  def __post_init__(self) -> None:
    if self.num_examples < 1 or self.batch_size < 1 or self.multiple_of < 1:
      raise ValueError(
        'num_examples, batch_size and multiple_of must be positive, got '
        f'{self.num_examples=}, {self.batch_size=}, {self.multiple_of=}; is '
        'the split empty?'
      )

  @property
  def steps_per_epoch(self) -> int:
    """Batches of an epoch, the last one perhaps smaller."""
    return -(-self.num_examples // self.batch_size)

  @property
  def padded_size(self) -> int:
    """Length of every index vector."""
    return -(-self.batch_size // self.multiple_of) * self.multiple_of

  def batch(self, step: int) -> np.ndarray:
    """Rows of the batch of a step, counted from 0 over all epochs.

    Args:
      step: number of the batch, at least 0.

    Returns:
      [padded_size] int32; real rows first, then -1. Jit: static.
    """
    epoch, position = divmod(step, self.steps_per_epoch)
    order = (
      _permutation(self.num_examples, self.seed, epoch)
      if self.shuffle
      else np.arange(self.num_examples, dtype=np.int32)
    )
    start = position * self.batch_size
    rows = order[start : start + self.batch_size]
    index = np.full(self.padded_size, PADDING, np.int32)
    index[: rows.size] = rows + self.first_row
    return index


@functools.lru_cache(maxsize=2)
def _permutation(num_examples: int, seed: int, epoch: int) -> np.ndarray:
  generator = np.random.default_rng([seed, epoch])
  return generator.permutation(num_examples).astype(np.int32)
