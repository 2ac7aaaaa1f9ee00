# SPDX-License-Identifier: Apache-2.0
"""Connectivity of graphs of one spec: dense blocks, no gather, no scatter."""

from collections.abc import Callable
import functools
from typing import Any

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from ng_jax import numerics
from ng_jax.graphs import activation_fields
from ng_jax.graphs import encoding
from ng_jax.graphs import placing
from ng_jax.graphs import structure


class Blocks:
  """See `graphs.connectivity`; made by `connect`.

  Groups are the blocks of the spec in order, then, with `reverse`, the same
  blocks read backwards. A backward group keeps the axes of its block.
  """

  def __init__(self, graph: jraph.GraphsTuple, *, reverse: bool) -> None:
    edges = graph.edges[encoding.WEIGHT]
    self._graph = graph
    self._topology: structure.Topology = edges.topology
    batch = graph.n_node.shape[:-1]
    if len(batch) != 1:
      raise ValueError(
        'graph must have exactly one leading batch axis, got batch shape '
        f'{batch}; add an axis with weights[None] or reshape.'
      )
    self.num_graphs = batch[0]
    self.reverse = reverse
    eye = np.eye(self._topology.num_edge_channels, dtype=np.float32)
    self.forward_placements = tuple(
      eye[np.array(b.channels)] for b in self._topology.blocks
    )
    self.placements = self._placements()
    self.carried = activation_fields.Carried(
      graph.globals, graph.nodes, self._topology.spec
    )

  def _placements(self) -> tuple[np.ndarray, ...]:
    if not self.reverse:
      return self.forward_placements
    pairs = [placing.reverse(p) for p in self.forward_placements]
    return tuple(p[0] for p in pairs) + tuple(p[1] for p in pairs)

  @property
  def _groups(self) -> list[tuple[structure.BlockTopology, bool]]:
    groups = [(b, False) for b in self._topology.blocks]
    return groups + ([(b, True) for b in self._topology.blocks] * self.reverse)

  def edge_features(self) -> tuple[jax.Array, ...]:
    arrays = self._graph.edges[encoding.WEIGHT].arrays
    return arrays * (1 + self.reverse)

  def node_features(self) -> jax.Array:
    return self._graph.nodes[encoding.BIAS]

  def edge_layers(self) -> tuple[int, ...]:
    return tuple(b.layer for b, _ in self._groups)

  def edge_channels(self) -> tuple[bool, ...]:
    return (True,) * len(self._groups)

  def split_linear(
    self, edges: tuple[jax.Array, ...], *, mirror: bool
  ) -> tuple[placing.SplitGroup, ...]:
    groups = zip(self._groups, edges, self.placements, strict=True)
    split = []
    for (block, backward), values, placement in groups:
      if block.type != 'linear':
        split.append(placing.SplitGroup(shared=(values, placement)))
        continue
      if backward and not mirror:
        first = np.eye(1, self._topology.num_edge_channels, dtype=np.float32)
        own = (values, placing.reverse(first)[1])
        split.append(placing.SplitGroup(shared=own))
        continue
      own = (
        values,
        placing.linear_placement(reverse_edges=self.reverse, backward=backward),
      )
      split.append(placing.SplitGroup(linear=own))
    return tuple(split)

  def node_ids(self, name: str) -> np.ndarray:
    return self._topology.node_ids[name]

  def endpoint_sums(
    self, of_source: jax.Array, of_target: jax.Array
  ) -> tuple[jax.Array, ...]:
    sums = []
    for block, backward in self._groups:
      # Rows of a block are the sources of its forward edges.
      of_rows, of_columns = (
        (of_target, of_source) if backward else (of_source, of_target)
      )
      rows = of_rows[:, slice(*block.source)]
      columns = of_columns[:, slice(*block.target)]
      if len(block.shape) == 1:
        sums.append(rows + columns)
      else:
        sums.append(numerics.add_outer(rows, columns))
    return tuple(sums)

  def in_degree(self) -> np.ndarray:
    ends = [self._topology.receivers]
    if self.reverse:
      ends.append(self._topology.senders)
    counts = np.bincount(
      np.concatenate(ends), minlength=self._topology.num_nodes
    )
    return counts.astype(np.float64)[:, None]

  def _reduce(
    self,
    edges: tuple[jax.Array, ...],
    *,
    reduce: Callable[..., jax.Array],  # (array, axis=) -> array
    merge: Callable[[jax.Array, jax.Array], jax.Array],
    empty: float,
  ) -> jax.Array:
    """Reduces the edges that end in each neuron set, one set after another."""
    arrived: list[tuple[int, int, jax.Array]] = []
    for (block, backward), edge in zip(self._groups, edges, strict=True):
      first, last = block.source if backward else block.target
      if len(block.shape) == 2:
        edge = reduce(edge, axis=2 if backward else 1)
      arrived.append((first, last, edge))
    merged = []
    for first, last in self._topology.node_ranges.values():
      parts = [
        self._widen(values, before=start - first, after=last - stop, fill=empty)
        for start, stop, values in arrived
        if first <= start and stop <= last
      ]
      if not parts:
        shape = (self.num_graphs, last - first, edges[0].shape[-1])
        parts = [jnp.zeros(shape, edges[0].dtype)]
      merged.append(functools.reduce(merge, parts))
    return jnp.concatenate(merged, axis=1)

  def _widen(
    self, values: jax.Array, *, before: int, after: int, fill: float
  ) -> jax.Array:
    """Extends values on part of a neuron set to the whole set."""
    if not before and not after:
      return values
    pad = [(0, 0), (before, after), (0, 0)]
    return jnp.pad(values, pad, constant_values=fill)

  def aggregate(self, edges: tuple[jax.Array, ...]) -> dict[str, jax.Array]:
    degree = np.maximum(self.in_degree(), 1.0).astype(edges[0].dtype)
    total = self._reduce(edges, reduce=jnp.sum, merge=jnp.add, empty=0.0)
    square = self._reduce(
      tuple(e * e for e in edges), reduce=jnp.sum, merge=jnp.add, empty=0.0
    )
    low = self._reduce(edges, reduce=jnp.min, merge=jnp.minimum, empty=np.inf)
    high = self._reduce(edges, reduce=jnp.max, merge=jnp.maximum, empty=-np.inf)
    # A partial skip may be all that leads into a set.
    reached = self.in_degree() > 0
    return {
      'mean': total / degree,
      'min': jnp.where(reached, low, 0),
      'max': jnp.where(reached, high, 0),
      'mean_square': square / degree,
    }

  def graph_moments(
    self, nodes: jax.Array, *, over_batch: bool
  ) -> tuple[jax.Array, jax.Array]:
    axes = (0, 1, 2) if over_batch else (1, 2)
    mean = jnp.mean(nodes, axis=axes, keepdims=True)
    centred = nodes - mean
    return mean, jnp.mean(centred * centred, axis=axes, keepdims=True)

  def pool(
    self, nodes: jax.Array, *, method: str, which: str | int
  ) -> jax.Array:
    if which == 'all':
      values = nodes
    else:
      ids = self._topology.node_ids
      chosen = (
        ids['role'] == structure.ROLES['output']
        if which == 'last'
        else ids['depth'] == which
      )
      (index,) = np.nonzero(chosen)
      values = nodes[:, index[0] : index[-1] + 1]
    if method == 'mean':
      return jnp.mean(values, axis=1)
    return numerics.max_along(values, axis=1)

  def last_nodes(self, nodes: jax.Array, *, count: int) -> jax.Array:
    return nodes[:, -count:]

  def to_dense_nodes(
    self, nodes: jax.Array, *, keep_padding: bool = False
  ) -> jax.Array:
    del keep_padding  # There is none.
    return nodes

  def from_dense_nodes(self, nodes: jax.Array) -> jax.Array:
    return nodes

  def to_dense_edges(
    self, edges: tuple[jax.Array, ...], *, fill: jax.Array
  ) -> jax.Array:
    """Places blocks among copies of `fill` by concatenation."""
    ranges = list(self._topology.node_ranges.values())
    cells: dict[tuple[int, int], list[jax.Array]] = {}
    for (block, backward), values in zip(self._groups, edges, strict=True):
      row = _range_of(ranges, block.source)
      column = _range_of(ranges, block.target)
      if backward:
        row, column = column, row
        values = values.swapaxes(1, 2) if len(block.shape) == 2 else values
      cells.setdefault((row, column), []).append(values)

    def cell(i: int, j: int) -> jax.Array:
      size = (ranges[i][1] - ranges[i][0], ranges[j][1] - ranges[j][0])
      shape = (self.num_graphs, *size, fill.shape[-1])
      empty = jnp.broadcast_to(fill, shape)
      return functools.reduce(_place, cells.get((i, j), []), empty)

    count = range(len(ranges))
    rows = [jnp.concatenate([cell(i, j) for j in count], axis=2) for i in count]
    return jnp.concatenate(rows, axis=1)

  def forward_edges(self, edges: tuple[Any, ...]) -> tuple[Any, ...]:
    return edges[: len(self._topology.blocks)]

  def from_dense_edges(self, edges: jax.Array) -> tuple[jax.Array, ...]:
    groups = []
    for block in self._topology.blocks:
      values = edges[:, slice(*block.source), slice(*block.target)]
      if len(block.shape) == 1:
        diagonal = np.eye(block.shape[0], dtype=bool)[None, :, :, None]
        values = jnp.sum(jnp.where(diagonal, values, 0), axis=2)
      groups.append(values)
    return tuple(groups)

  def with_features(
    self, nodes: jax.Array, edges: tuple[jax.Array, ...]
  ) -> jraph.GraphsTuple:
    features = encoding.EdgeBlocks(tuple(edges), self._topology)
    return self._graph._replace(
      nodes={**self._graph.nodes, encoding.BIAS: nodes},
      edges={**self._graph.edges, encoding.WEIGHT: features},
    )

  def network_weights(self) -> Any:
    return self.carried.weights()

  def dense_mask(self) -> np.ndarray:
    return np.ones((1, self._topology.num_nodes), bool)

  def last_mask(self, *, count: int) -> np.ndarray:
    num_nodes = self._topology.num_nodes
    return np.arange(num_nodes)[None] >= num_nodes - count


def _range_of(ranges: list[tuple[int, int]], part: tuple[int, int]) -> int:
  return next(
    i for i, (a, b) in enumerate(ranges) if a <= part[0] and part[1] <= b
  )


def _place(cell: jax.Array, values: jax.Array) -> jax.Array:
  """Writes a dense block, or a diagonal one, into its cell."""
  if values.ndim == cell.ndim:
    return values
  size = values.shape[1]
  rows, columns = cell.shape[1:3]
  pad = [(0, 0), (0, rows - size), (0, 0)]
  diagonal = (np.arange(rows)[:, None] == np.arange(columns)) & (
    np.arange(rows)[:, None] < size
  )
  spread = jnp.pad(values, pad)[:, :, None]
  return jnp.where(diagonal[None, :, :, None], spread, cell)
