# SPDX-License-Identifier: Apache-2.0
"""Which networks of a mixed data set share a batch; host only.

A packing takes a stream of example numbers and cuts it into groups, each with
the static shape of its batch; what does not fill a batch yet is carried to the
next call. It knows the sizes of the networks and nothing of their weights.

* `Concatenation`: jraph's layout within one budget, so one shape.
* `Stacks`: graphs padded to the size of one of a few buckets, each with its own
  number of graphs.

Batches differ in their number of networks. `mean_size` makes up for that: the
sum of the losses of a batch divided by it is an unbiased estimate of the mean
loss over the data set, whereas the mean over each batch would count a network
the more, the fewer there are in its batch.
"""

from collections.abc import Sequence
import dataclasses
import functools
from typing import NamedTuple, Protocol

import numpy as np

from ng_jax.graphs import budgets

# Batches that the mean size of a concatenation is taken over.
_SAMPLE_BATCHES = 64


@dataclasses.dataclass(frozen=True)
class Bucket:
  """Static sizes of a batch of `graphs.stack`.

  Attributes:
    num_graphs: graphs.
    max_nodes: nodes of every graph.
    max_edges: edges of every graph.
  """

  num_graphs: int
  max_nodes: int
  max_edges: int


class Group(NamedTuple):
  """The networks of one batch.

  Attributes:
    shape: of the batch.
    examples: [num_examples] int32, their numbers in the data set.
  """

  shape: budgets.Budget | Bucket
  examples: np.ndarray


class Packing(Protocol):
  """What a loader asks of a packing.

  Attributes:
    num_nodes: [num_examples] int, of each network of the data set.
    num_edges: [num_examples] int, likewise.
    share_spec: whether all networks have one spec.
  """

  num_nodes: np.ndarray
  num_edges: np.ndarray
  share_spec: bool

  @property
  def shapes(self) -> tuple[budgets.Budget | Bucket, ...]:
    """Shapes of batches; a model compiles once for each. Jit: static."""

  @property
  def mean_size(self) -> float:
    """Mean number of networks in a batch of training. Jit: static."""

  def pack(
    self, stream: np.ndarray, *, flush: bool = False
  ) -> tuple[list[Group], np.ndarray]:
    """Cuts a stream into batches.

    Args:
      stream: [num] int, numbers of examples in the order of their use.
      flush: whether to end with batches that are not full.

    Returns:
      The batches, and the rest of the stream, in order; put it before what
      comes next. Empty with `flush`. Jit: no, host only.
    """


@dataclasses.dataclass(frozen=True, eq=False)
class Concatenation:
  """Batches of `graphs.concatenate`, all of one shape; a `Packing`.

  A batch ends where the next network would be over budget, and that network
  begins the next batch; the order of the stream is kept.

  Attributes:
    num_nodes: [num_examples] int, of each network of the data set.
    num_edges: [num_examples] int, likewise.
    budget: of every batch.
    share_spec: whether all networks have one spec.
  """

  num_nodes: np.ndarray
  num_edges: np.ndarray
  budget: budgets.Budget
  share_spec: bool = False

  @property
  def shapes(self) -> tuple[budgets.Budget, ...]:
    """The budget alone. Jit: static."""
    return (self.budget,)

  @functools.cached_property
  def mean_size(self) -> float:
    """Mean number of networks in a batch, over some epochs. Jit: static."""
    rng = np.random.default_rng(0)
    num = len(self.num_nodes)
    num_epochs = -(-_SAMPLE_BATCHES * self.budget.num_graphs // num)
    stream = np.concatenate([rng.permutation(num) for _ in range(num_epochs)])
    groups, rest = self.pack(stream)
    return (len(stream) - len(rest)) / len(groups)

  def pack(
    self, stream: np.ndarray, *, flush: bool = False
  ) -> tuple[list[Group], np.ndarray]:
    """See `Packing.pack`; gives the batches of `graphs.pack`."""
    nodes, edges = (
      np.concatenate([[0], np.cumsum(sizes[stream])])
      for sizes in (self.num_nodes, self.num_edges)
    )
    groups = []
    start = 0
    while True:
      end = min(
        start + self.budget.num_graphs - 1,  # One graph is padding,
        self._end(nodes, start, self.budget.num_nodes - 1),  # and one node.
        self._end(edges, start, self.budget.num_edges),
      )
      if end >= len(stream):
        break
      groups.append(self._group(stream[start:end]))
      start = end
    rest = stream[start:]
    if flush and rest.size:
      return [*groups, self._group(rest)], rest[:0]
    return groups, rest

  def _group(self, examples: np.ndarray) -> Group:
    return Group(self.budget, examples.astype(np.int32))

  @staticmethod
  def _end(sums: np.ndarray, start: int, room: int) -> int:
    """How far the stream may go from `start` within `room`."""
    return int(np.searchsorted(sums, sums[start] + room, 'right')) - 1


@dataclasses.dataclass(frozen=True, eq=False)
class Stacks:
  """Batches of `graphs.stack`, one shape per bucket; a `Packing`.

  A network waits until its bucket has a full batch; the order inside a bucket
  is that of the stream.

  Attributes:
    num_nodes: [num_examples] int, of each network of the data set.
    num_edges: [num_examples] int, likewise.
    buckets: in increasing order of max_nodes; a network goes into the first
      that holds its nodes.
    share_spec: whether all networks have one spec.
  """

  num_nodes: np.ndarray
  num_edges: np.ndarray
  buckets: tuple[Bucket, ...]
  share_spec: bool = False

  @property
  def shapes(self) -> tuple[Bucket, ...]:
    """The buckets. Jit: static."""
    return self.buckets

  @functools.cached_property
  def members(self) -> np.ndarray:
    """[num_examples] int, the number of each network's bucket. Jit: static."""
    return assign([b.max_nodes for b in self.buckets], self.num_nodes)

  @property
  def mean_size(self) -> float:
    """Mean number of networks in a batch. Jit: static."""
    counts = np.bincount(self.members, minlength=len(self.buckets))
    sizes = np.array([bucket.num_graphs for bucket in self.buckets])
    return float(counts.sum() / np.sum(counts / sizes))

  def pack(
    self, stream: np.ndarray, *, flush: bool = False
  ) -> tuple[list[Group], np.ndarray]:
    """See `Packing.pack`; batches come in the order in which they fill up."""
    of_stream = self.members[stream]
    filled: list[tuple[int, Group]] = []
    rest = []
    for number, bucket in enumerate(self.buckets):
      places = np.flatnonzero(of_stream == number)
      num_full = len(places) // bucket.num_graphs * bucket.num_graphs
      chunks = list(places[:num_full].reshape(-1, bucket.num_graphs))
      if flush and num_full < len(places):
        chunks.append(places[num_full:])
      else:
        rest.append(places[num_full:])
      filled += [
        (int(chunk[-1]), Group(bucket, stream[chunk].astype(np.int32)))
        for chunk in chunks
      ]
    filled.sort(key=lambda entry: entry[0])
    waiting = np.sort(np.concatenate([np.zeros(0, int), *rest]))
    return [group for _, group in filled], stream[waiting]


def assign(sizes: Sequence[int], num_nodes: np.ndarray) -> np.ndarray:
  """Buckets of networks: the first that holds each.

  Args:
    sizes: most nodes of each bucket, increasing.
    num_nodes: [num] int, at most the last size.

  Returns:
    [num] int, numbers of buckets. Jit: static.
  """
  return np.searchsorted(np.asarray(sizes), num_nodes)
