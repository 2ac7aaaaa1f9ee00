# SPDX-License-Identifier: Apache-2.0
"""Batches of networks of any architectures, from row numbers, on the host.

A *batch* is what an optimizer step sees; it is cut into *parts* of one static
size, so that a model compiles for a handful of sizes chosen from the data set:

* `Concatenated` (NG-GNN): a part holds the next graphs that fit into a budget;
* `Stacked` (NG-T): all graphs of a batch are of one size class (bucket), a part
  holds so many of them, each padded to the largest of the class.

A part is one row for `ng_jax.train.steps`, where gradients are added over rows.
Of several processes each lays out its own neighbouring parts of a batch.
"""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from ng_jax import graphs
from ng_jax import processes
from ng_jax import specs
from ng_jax.train import sampler

_ALONE = processes.Share(0, 1)

Network = tuple[graphs.Topology, specs.Weights]


@dataclasses.dataclass(frozen=True)
class Batch:
  """A batch that is laid out.

  Attributes:
    data: {'graph': GraphsTuple, 'target', 'mask': [own_parts, num_graphs]},
      numpy arrays with a leading axis of the parts of this process.
    index: [num_parts] int32, the place of each part among those of its process;
      -1 for parts that only fill up.
    places: [num_rows] int, where each row's result is among the flattened
      [num_parts * num_graphs].
  """

  data: dict[str, Any]
  index: np.ndarray
  places: np.ndarray


@dataclasses.dataclass(frozen=True)
class Concatenated:
  """Lays out batches one graph after another, see `graphs.concatenate`.

  Attributes:
    networks: (topology, weights) of every row.
    targets: [num_rows] float32, or int32 for classes.
    budget: of a part.
    expected_parts: of a whole batch; their number is rounded up to quarters of
      this, so that few sizes are compiled.
    multiple_of: that the number of parts must divide by (devices).
    microbatch_size: parts that are worked on at once.
    share: of this process.
  """

  networks: Sequence[Network]
  targets: np.ndarray
  budget: graphs.Budget
  expected_parts: int
  multiple_of: int = 1
  microbatch_size: int = 1
  share: processes.Share = _ALONE

  def batch(self, rows: np.ndarray) -> Batch:
    """Lays out rows; negative ones are left out. Jit: no, host only."""
    rows = rows[rows >= 0]
    packs = graphs.pack([self.networks[r][0] for r in rows], self.budget)
    parts = [rows[positions] for positions in packs]
    step = max(self.expected_parts // 4, 1)
    num_parts = -(-len(parts) // step) * step
    num_parts = -(-num_parts // self.multiple_of) * self.multiple_of

    def lay_out(part: np.ndarray) -> Any:
      return graphs.concatenate([self.networks[r] for r in part], self.budget)

    sizes = (num_parts, self.budget.num_graphs)
    return _join(lay_out, parts, self.targets, sizes, self.share)

  def batches_in_order(
    self, rows: np.ndarray, batch_size: int
  ) -> Iterator[np.ndarray]:
    """Cuts rows into batches for evaluation. Jit: no."""
    return cut(rows, batch_size)

  def sampler(
    self, rows: np.ndarray, *, batch_size: int, seed: int
  ) -> sampler.IndexSampler:
    """Shuffled epochs over neighbouring rows. Jit: no."""
    return index_sampler(rows, batch_size, seed)


@dataclasses.dataclass(frozen=True)
class Stacked:
  """Lays out batches of one size class, see `graphs.stack`.

  Attributes:
    networks: (topology, weights) of every row.
    targets: [num_rows] float32, or int32 for classes.
    buckets: nodes of the classes, increasing.
    part_size: graphs of a part.
    num_parts: of every batch.
    microbatch_size: parts that are worked on at once.
    share: of this process.
  """

  networks: Sequence[Network]
  targets: np.ndarray
  buckets: tuple[int, ...]
  part_size: int
  num_parts: int
  microbatch_size: int = 1
  share: processes.Share = _ALONE

  @functools.cached_property
  def classes(self) -> np.ndarray:
    """[num_rows] int, number of each row's bucket."""
    sizes = [topology.num_nodes for topology, _ in self.networks]
    return np.searchsorted(self.buckets, sizes)

  @functools.cached_property
  def max_edges(self) -> list[int]:
    """Most edges of a graph, per bucket; 1 for an empty one."""
    edges = np.array([topology.num_edges for topology, _ in self.networks])
    return [
      int(edges[self.classes == k].max(initial=1))
      for k in range(len(self.buckets))
    ]

  def batch(self, rows: np.ndarray) -> Batch:
    """Lays out rows of one class; negative ones are left out. Jit: no."""
    rows = rows[rows >= 0]
    number = int(self.classes[rows[0]])
    parts = list(cut(rows, self.part_size))

    def lay_out(part: np.ndarray) -> Any:
      return graphs.stack(
        [self.networks[r] for r in part],
        max_nodes=self.buckets[number],
        max_edges=self.max_edges[number],
        num_graphs=self.part_size,
      )

    sizes = (self.num_parts, self.part_size)
    return _join(lay_out, parts, self.targets, sizes, self.share)

  def batches_in_order(
    self, rows: np.ndarray, batch_size: int
  ) -> Iterator[np.ndarray]:
    """Cuts rows into batches of one class for evaluation. Jit: no."""
    for number in range(len(self.buckets)):
      yield from cut(rows[self.classes[rows] == number], batch_size)

  def sampler(
    self, rows: np.ndarray, *, batch_size: int, seed: int
  ) -> 'BucketSampler':
    """Shuffled epochs of batches of one class each. Jit: no."""
    groups = tuple(
      rows[self.classes[rows] == number] for number in range(len(self.buckets))
    )
    return BucketSampler(groups, batch_size, seed)


@dataclasses.dataclass(frozen=True)
class BucketSampler:
  """Shuffled epochs of row numbers, each batch from one group.

  Like `sampler.IndexSampler`, a function of the step alone. Small last batches
  of every group are kept.

  Attributes:
    groups: row numbers of each group.
    batch_size: rows of a batch.
    seed: of the order.
  """

  groups: tuple[np.ndarray, ...]
  batch_size: int
  seed: int

  @functools.cached_property
  def num_examples(self) -> int:
    """Rows of all groups."""
    return sum(len(group) for group in self.groups)

  @functools.cached_property
  def steps_per_epoch(self) -> int:
    """Batches of an epoch."""
    return sum(-(-len(group) // self.batch_size) for group in self.groups)

  def batch(self, step: int) -> np.ndarray:
    """Rows of the batch of a step, counted from 0 over all epochs.

    Args:
      step: number of the batch, at least 0.

    Returns:
      [at most batch_size] int. Jit: static.
    """
    epoch, position = divmod(step, self.steps_per_epoch)
    rng = np.random.default_rng([self.seed, epoch])
    batches: list[np.ndarray] = []
    for group in self.groups:
      batches += cut(rng.permutation(group), self.batch_size)
    return batches[rng.permutation(len(batches))[position]]


def cut(rows: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
  """Cuts rows into batches, the last one perhaps smaller.

  Args:
    rows: [num_rows] int.
    batch_size: rows of a batch.

  Yields:
    [at most batch_size] int. Jit: no.
  """
  for start in range(0, len(rows), batch_size):
    yield rows[start : start + batch_size]


def index_sampler(
  rows: np.ndarray, batch_size: int, seed: int
) -> sampler.IndexSampler:
  """Shuffled epochs over neighbouring rows.

  Args:
    rows: [num_rows] int, neighbours in order.
    batch_size: rows of a batch.
    seed: of the order.

  Returns:
    A sampler. Jit: no.
  """
  return sampler.IndexSampler(
    num_examples=len(rows),
    batch_size=batch_size,
    seed=seed,
    first_row=int(rows[0]),
  )


def _join(
  lay_out: Callable[[np.ndarray], Any],
  parts: Sequence[np.ndarray],
  targets: np.ndarray,
  sizes: tuple[int, int],
  share: processes.Share,
) -> Batch:
  """Lays out and stacks the parts of a process; the first part fills up."""
  num_parts, num_graphs = sizes
  target = np.zeros((len(parts), num_graphs), targets.dtype)
  mask = np.zeros((len(parts), num_graphs), bool)
  for i, part in enumerate(parts):
    target[i, : len(part)] = targets[part]
    mask[i, : len(part)] = True
  own = num_parts // share.count
  first = own * share.index
  chosen = [i if i < len(parts) else 0 for i in range(first, first + own)]
  # Weights that happen to share a spec would change the structure.
  laid_out = {i: lay_out(parts[i])._replace(globals=None) for i in set(chosen)}
  places = np.arange(num_parts, dtype=np.int32)
  return Batch(
    data={
      'graph': jax.tree.map(
        lambda *leaves: np.stack(leaves), *(laid_out[i] for i in chosen)
      ),
      'target': target[chosen],
      'mask': mask[chosen],
    },
    index=np.where(places < len(parts), places % own, np.int32(-1)),
    places=np.flatnonzero(mask.ravel()),
  )
