# SPDX-License-Identifier: Apache-2.0
"""How values move along edges: one interface, two ways with equal results.

A layer never touches senders and receivers. It asks a connectivity, which holds
the edges as a tuple of *edge groups* and says, for each group, what its sources
and targets are:

* `Blocks`, for graphs of one spec, known when compiling: a group is a dense
  block [num_graphs, num_sources, num_targets, features], so a source is a
  broadcast and an aggregation a reduction over one axis. No gather, no scatter.
* `Segments`, for any padded batch: a group is all edges of one direction
  [num_edges, features]; sources are gathered, aggregations are segment
  operations.

Node features are [num_graphs, num_nodes, features] for `Blocks` and
[total_nodes, features] for `Segments`; a layer need not know which.
"""

from typing import Any, Protocol

import jax
import jraph
import numpy as np

from ng_jax.graphs import activation_fields
from ng_jax.graphs import blocks
from ng_jax.graphs import encoding
from ng_jax.graphs import placing
from ng_jax.graphs import segments

EdgeGroups = tuple[jax.Array, ...]


class Connectivity(Protocol):
  """What a layer may ask; all methods are jit-able and differentiable."""

  # Per group: [channels, num_input_channels] numpy, where its raw features lie
  # among the input channels; with reverse edges these are (weight, weight of
  # the opposite edge, sum of both).
  placements: tuple[np.ndarray, ...]
  # Likewise for the groups of `forward_edges`, without reverse edges: where
  # their raw features lie among the channels of a graph.
  forward_placements: tuple[np.ndarray, ...]
  num_graphs: int
  # Weights, activations and probe inputs that the graphs bring with them.
  carried: activation_fields.Carried
  # Whether there are reverse edges.
  reverse: bool

  def edge_features(self) -> EdgeGroups:
    """Raw features of the edges, one [..., channels] array per group."""

  def node_features(self) -> jax.Array:
    """Raw features of the nodes, [..., node_channels]."""

  def edge_layers(self) -> tuple[Any, ...]:
    """Per group, the row of weight statistics ([..., 1] or an int)."""

  def edge_channels(self) -> tuple[Any, ...]:
    """Per group, which channels its edges have ([..., channels] or True)."""

  def split_linear(
    self, edges: EdgeGroups, *, mirror: bool
  ) -> tuple[placing.SplitGroup, ...]:
    """Sorts raw features by projection: linear layers have one of their own.

    A reverse edge of a linear layer counts as linear with `mirror`; without, as
    in the reference, the shared projection reads it, in the first channel.
    """

  def node_ids(self, name: str) -> Any:
    """Integer node field, one of those of `Topology.node_ids`."""

  def endpoint_sums(
    self, of_source: jax.Array, of_target: jax.Array
  ) -> EdgeGroups:
    """Per edge, a node value of its source plus one of its target."""

  def aggregate(self, edges: EdgeGroups) -> dict[str, jax.Array]:
    """Mean, min, max and mean of squares over the incoming edges of nodes."""

  def in_degree(self) -> Any:
    """Number of incoming edges, [num_nodes, 1] or [total_nodes, 1] float."""

  def graph_moments(
    self, nodes: jax.Array, *, over_batch: bool
  ) -> tuple[jax.Array, jax.Array]:
    """Mean and variance over the nodes and features of each graph, at nodes."""

  def pool(
    self, nodes: jax.Array, *, method: str, which: str | int
  ) -> jax.Array:
    """'mean' or 'max' of 'all', the 'last' (output) or one depth's nodes."""

  def last_nodes(self, nodes: jax.Array, *, count: int) -> jax.Array:
    """The last `count` nodes of each graph, [num_graphs, count, features]."""

  def network_weights(self) -> Any:
    """The weights that the graphs show, leaves [num_graphs, ...], or None."""

  def to_dense_nodes(
    self, nodes: jax.Array, *, keep_padding: bool = False
  ) -> jax.Array:
    """Nodes as [num_graphs, max_nodes, features], padding as is or zero."""

  def from_dense_nodes(self, nodes: jax.Array) -> jax.Array:
    """Inverse of `to_dense_nodes`."""

  def to_dense_edges(self, edges: EdgeGroups, *, fill: jax.Array) -> jax.Array:
    """Edges as [num_graphs, max_nodes, max_nodes, features], rows sources."""

  def forward_edges(self, edges: tuple[Any, ...]) -> tuple[Any, ...]:
    """The groups whose edges are not read backwards."""

  def from_dense_edges(self, edges: jax.Array) -> EdgeGroups:
    """Forward groups out of [num_graphs, max_nodes, max_nodes, features]."""

  def with_features(
    self, nodes: jax.Array, edges: EdgeGroups
  ) -> jraph.GraphsTuple:
    """The graph with other raw features, of nodes and forward groups."""

  def dense_mask(self) -> Any:
    """[num_graphs or 1, max_nodes] bool, False at padding."""

  def last_mask(self, *, count: int) -> Any:
    """[num_graphs or 1, max_nodes] bool, True at the last `count` nodes."""


def connect(
  graph: jraph.GraphsTuple,
  *,
  reverse: bool = False,
  max_nodes: int | None = None,
) -> Connectivity:
  """Chooses how values move in a graph.

  Args:
    graph: as `graphs.encode` returns it, with one leading batch axis (gives
      `Blocks`); or a padded batch of `graphs.flatten`, `graphs.batching` or
      jraph with the fields of `graphs.flatten` (gives `Segments`).
    reverse: also let values move against the edges; each edge then carries
      (weight, weight of the opposite edge, their sum).
    max_nodes: most nodes of a graph, needed to make a concatenated batch dense.

  Returns:
    The connectivity. Jit: yes.

  Raises:
    ValueError: blocks without exactly one batch axis, or a graph without the
      fields that say what its nodes and edges are.
  """
  features = graph.edges.get(encoding.WEIGHT) if graph.edges else None
  if features is None:
    raise ValueError(
      "graph must have the edge field 'weight', got "
      f'{list(graph.edges or {})}; build it with graphs.encode.'
    )
  if isinstance(features, encoding.EdgeBlocks):
    return blocks.Blocks(graph, reverse=reverse)
  return segments.Segments(graph, reverse=reverse, max_nodes=max_nodes)
