# SPDX-License-Identifier: Apache-2.0
"""Chooses how the networks of a mixed data set are packed; host only."""

from collections.abc import Sequence

import numpy as np

from ng_jax.graphs import budgets
from ng_jax.graphs import packing
from ng_jax.graphs import structure


def choose_concatenation(
  topologies: Sequence[structure.Topology],
  batch_size: int,
  *,
  slack: float = 1.1,
  budget: budgets.Budget | None = None,
) -> packing.Concatenation:
  """Packs the networks of a data set for NG-GNN.

  Args:
    topologies: of all networks of the data set.
    batch_size: networks of a batch, at most.
    slack: room for edges and nodes over the mean batch.
    budget: instead of the one that `choose_budget` finds for these.

  Returns:
    A packing of one shape. Jit: no, host only.

  Raises:
    ValueError: no networks, a batch size below 1, one network alone over
      budget.
  """
  num_nodes, num_edges = _sizes(topologies, batch_size)
  if budget is None:
    budget = budgets.choose_budget(topologies, batch_size, slack=slack)
  for number in {int(np.argmax(num_nodes)), int(np.argmax(num_edges))}:
    budgets.check_budget([topologies[number]], budget)
  return packing.Concatenation(
    num_nodes, num_edges, budget, _share_spec(topologies)
  )


def choose_stacks(
  topologies: Sequence[structure.Topology],
  batch_size: int,
  *,
  num_buckets: int = 6,
) -> packing.Stacks:
  """Packs the networks of a data set for NG-T.

  Buckets have the sizes of `choose_buckets`, and as many graphs as bring every
  batch to the pairs of nodes that `batch_size` networks have on average (at
  least one graph, at most the networks that the bucket has). So memory and time
  of a step do not depend on the bucket; with equal numbers of graphs the
  largest would need ten times the memory of the smallest.

  Args:
    topologies: of all networks of the data set.
    batch_size: networks of a batch, on average.
    num_buckets: at most so many shapes.

  Returns:
    A packing of as many shapes as buckets. Jit: no, host only.

  Raises:
    ValueError: no networks, a batch size or a number of buckets below 1.
  """
  num_nodes, num_edges = _sizes(topologies, batch_size)
  if num_buckets < 1:
    raise ValueError(
      f'num_buckets must be at least 1, got {num_buckets}; try 6.'
    )
  sizes = budgets.choose_buckets(num_nodes.tolist(), num_buckets)
  members = packing.assign(sizes, num_nodes)
  counts = np.bincount(members)
  pairs = batch_size * np.sum(counts * np.square(sizes)) / counts.sum()
  buckets = tuple(
    packing.Bucket(
      num_graphs=int(np.clip(round(pairs / size**2), 1, count)),
      max_nodes=size,
      max_edges=int(num_edges[members == number].max()),
    )
    for number, (size, count) in enumerate(zip(sizes, counts, strict=True))
  )
  return packing.Stacks(num_nodes, num_edges, buckets, _share_spec(topologies))


def _sizes(
  topologies: Sequence[structure.Topology], batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
  if not len(topologies) or batch_size < 1:
    raise ValueError(
      'a packing needs networks and a batch_size of at least 1, got '
      f'{len(topologies)} topologies and {batch_size=}; is the split empty?'
    )
  nodes = np.array([t.num_nodes for t in topologies])
  return nodes, np.array([t.num_edges for t in topologies])


def _share_spec(topologies: Sequence[structure.Topology]) -> bool:
  return all(t.spec == topologies[0].spec for t in topologies)
