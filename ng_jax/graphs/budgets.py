# SPDX-License-Identifier: Apache-2.0
"""Sizes of mixed batches: budgets, packing and buckets; host only.

A model compiles once per size, so sizes are few and chosen from the data set.
"""

from collections.abc import Iterable, Iterator, Sequence
import dataclasses

import numpy as np

from ng_jax.graphs import structure


@dataclasses.dataclass(frozen=True)
class Budget:
  """Static sizes of a concatenated batch, room for the padding included.

  Attributes:
    num_graphs: graphs, one of them padding.
    num_nodes: nodes, at least one of them padding.
    num_edges: edges.
  """

  num_graphs: int
  num_nodes: int
  num_edges: int

  def fits(self, topologies: Sequence[structure.Topology]) -> bool:
    """Whether these graphs fit together. Jit: static."""
    return not self.excess(topologies)

  def excess(self, topologies: Sequence[structure.Topology]) -> str:
    """What is over budget, in words; '' if all fits. Jit: static."""
    used = {
      'num_graphs': len(topologies) + 1,
      'num_nodes': sum(t.num_nodes for t in topologies) + 1,
      'num_edges': sum(t.num_edges for t in topologies),
    }
    over = [
      f'{name} {number} > {getattr(self, name)}'
      for name, number in used.items()
      if number > getattr(self, name)
    ]
    return ', '.join(over)


def choose_budget(
  topologies: Sequence[structure.Topology],
  batch_size: int,
  *,
  slack: float = 1.1,
  multiple: int = 64,
) -> Budget:
  """Budget for batches of about `batch_size` graphs of a data set.

  Args:
    topologies: of the data set's networks, or of a sample of it.
    batch_size: graphs of a batch.
    slack: room over the mean batch.
    multiple: nodes and edges are rounded up to this.

  Returns:
    A budget that holds `batch_size` mean graphs times `slack`, and at least the
    largest graph. Jit: no, host only.
  """

  def room(sizes: list[int]) -> int:
    wanted = max(slack * batch_size * float(np.mean(sizes)), max(sizes)) + 1
    return int(np.ceil(wanted / multiple) * multiple)

  return Budget(
    batch_size + 1,
    room([t.num_nodes for t in topologies]),
    room([t.num_edges for t in topologies]),
  )


def pack(
  topologies: Iterable[structure.Topology], budget: Budget
) -> Iterator[list[int]]:
  """Groups a stream of graphs, in order, into batches within a budget.

  Args:
    topologies: of the graphs, in the order in which they are to be used.
    budget: of a batch.

  Yields:
    Positions in the stream of each batch's graphs; what did not fit into one
    batch begins the next. Jit: no, host only.

  Raises:
    ValueError: one graph alone is over budget.
  """
  batch: list[int] = []
  kept: list[structure.Topology] = []
  for i, topology in enumerate(topologies):
    if not budget.fits([topology]):
      check_budget([topology], budget)
    if not budget.fits([*kept, topology]):
      yield batch
      batch, kept = [], []
    batch.append(i)
    kept.append(topology)
  if batch:
    yield batch


def choose_buckets(sizes: Sequence[int], num_buckets: int) -> tuple[int, ...]:
  """Bucket sizes that waste the fewest pairs of nodes.

  Args:
    sizes: number of nodes of each graph of a data set.
    num_buckets: at most so many sizes.

  Returns:
    Increasing sizes, the last the largest graph; a graph goes into the first
    bucket that holds it. Jit: no, host only.
  """
  values, counts = np.unique(np.asarray(sizes), return_counts=True)
  num = len(values)
  below = np.concatenate([[0], np.cumsum(counts)])
  # cost[k][j]: pairs computed for the j smallest sizes with k buckets.
  cost = np.full((num_buckets + 1, num + 1), np.inf)
  choice = np.zeros((num_buckets + 1, num + 1), int)
  cost[:, 0] = 0
  for k in range(1, num_buckets + 1):
    for j in range(1, num + 1):
      pairs = (below[j] - below[:j]) * float(values[j - 1]) ** 2
      options = cost[k - 1, :j] + pairs
      choice[k, j] = int(np.argmin(options))
      cost[k, j] = options[choice[k, j]]
  chosen = []
  j = num
  for k in range(num_buckets, 0, -1):
    if j:
      chosen.append(int(values[j - 1]))
      j = choice[k, j]
  return tuple(sorted(chosen))


def check_budget(
  topologies: Sequence[structure.Topology], budget: Budget
) -> None:
  """Raises ValueError, with what is too much, where graphs do not fit.

  Args:
    topologies: of the graphs.
    budget: of the batch. Jit: static.
  """
  excess = budget.excess(topologies)
  if excess:
    raise ValueError(
      f'the batch of {len(topologies)} graphs is over budget: {excess} (room '
      'for padding included); raise the budget, or split with '
      'pack.'
    )
