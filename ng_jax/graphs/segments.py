# SPDX-License-Identifier: Apache-2.0
"""Connectivity of any padded batch: gathers and segment operations."""

from typing import Any

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from ng_jax import specs
from ng_jax.graphs import activation_fields
from ng_jax.graphs import encoding
from ng_jax.graphs import padded
from ng_jax.graphs import placing
from ng_jax.graphs import structure


class Segments:
  """See `graphs.connectivity`; made by `connect`.

  Two layouts, told apart by the rank of `n_node`:

  * concatenated, n_node [num_graphs]: jraph's own, padded by
    `jraph.pad_with_graphs` or `graphs.batching.concatenate`;
  * per graph, n_node [num_graphs, 1]: nodes [num_graphs, max_nodes, ...], edges
    [num_graphs, max_edges, ...], indices counted inside each graph.

  Internally both become one long list of nodes and one of edges. What lies in
  the padding is replaced by zeros on entry, and padding edges end nowhere.
  """

  def __init__(
    self, graph: jraph.GraphsTuple, *, reverse: bool, max_nodes: int | None
  ) -> None:
    missing = {'role', 'index', 'depth', 'activation'} - set(graph.nodes)
    if missing:
      raise ValueError(
        f'graph must have the node fields {sorted(missing)}; build it with '
        'graphs.flatten or graphs.batching.'
      )
    self._graph = graph
    self.reverse = reverse
    flat = padded.flatten_batch(graph, max_nodes)
    self._per_graph, self._nodes, self._edges = (
      flat.per_graph,
      flat.nodes,
      flat.edges,
    )
    self._graph_ids, self._local = flat.graph_ids, flat.local
    self._starts, self._n_node = flat.starts, flat.n_node
    self.num_graphs, self.max_nodes = flat.num_graphs, flat.max_nodes
    self.graph_mask, self.node_mask = flat.graph_mask, flat.node_mask
    self.edge_mask = flat.edge_mask
    self.total_nodes = self.node_mask.shape[0]
    self.carried = activation_fields.Carried(
      graph.globals, self._nodes, None, self.graph_mask, self.node_mask
    )
    senders = jnp.where(self.edge_mask, flat.senders, 0)
    receivers = jnp.where(self.edge_mask, flat.receivers, 0)
    # Segment operations drop what ends at `total_nodes`.
    nowhere = jnp.full_like(receivers, self.total_nodes)
    into = jnp.where(self.edge_mask, receivers, nowhere)
    back = jnp.where(self.edge_mask, senders, nowhere)
    self._ends = [(senders, receivers, into)]
    if reverse:
      self._ends.append((receivers, senders, back))
    width = self._edges[encoding.WEIGHT].shape[-1]
    eye = np.eye(width, dtype=np.float32)
    self.forward_placements: tuple[np.ndarray, ...] = (eye,)
    self.placements: tuple[np.ndarray, ...] = (eye,)
    if reverse:
      self.placements = placing.reverse(eye)

  def _clean(self, values: jax.Array, mask: jax.Array) -> jax.Array:
    return jnp.where(mask[:, None], values, jnp.zeros_like(values))

  def edge_features(self) -> tuple[jax.Array, ...]:
    values = self._clean(self._edges[encoding.WEIGHT], self.edge_mask)
    return (values,) * len(self._ends)

  def node_features(self) -> jax.Array:
    return self._clean(self._nodes[encoding.BIAS], self.node_mask)

  def edge_layers(self) -> tuple[jax.Array, ...]:
    layers = jnp.where(self.edge_mask, self._edges['layer'], -1)
    return (layers[:, None],) * len(self._ends)

  def edge_channels(self) -> tuple[jax.Array, ...]:
    channels = padded.field(self._edges, 'edge', 'channels')
    return (channels,) * len(self._ends)

  def split_linear(
    self, edges: tuple[jax.Array, ...], *, mirror: bool
  ) -> tuple[placing.SplitGroup, ...]:
    linear = specs.BLOCK_TYPES.index('linear')
    is_linear = (padded.field(self._edges, 'edge', 'type') == linear)[:, None]
    groups = []
    for i, values in enumerate(edges):
      backward = i > 0
      # The only channel that is not zero.
      own = jnp.sum(values, axis=-1, keepdims=True)
      if backward and not mirror:
        first = jnp.pad(own, [(0, 0), (0, values.shape[-1] - 1)])
        values = jnp.where(is_linear, first, values)
        group = placing.SplitGroup(shared=(values, self.placements[i]))
      else:
        placement = placing.linear_placement(
          reverse_edges=self.reverse, backward=backward
        )
        group = placing.SplitGroup(
          (values, self.placements[i]), (own, placement), is_linear
        )
      groups.append(group)
    return tuple(groups)

  def node_ids(self, name: str) -> jax.Array:
    padding = {'role': structure.PADDING_ROLE, 'layer': -1, 'place': -1}
    values = padded.field(self._nodes, 'node', name)
    return jnp.where(self.node_mask, values, padding.get(name, 0))

  def endpoint_sums(
    self, of_source: jax.Array, of_target: jax.Array
  ) -> tuple[jax.Array, ...]:
    return tuple(
      of_source[source] + of_target[target] for source, target, _ in self._ends
    )

  def in_degree(self) -> jax.Array:
    counts = sum(
      jraph.segment_sum(jnp.ones(into.shape), into, self.total_nodes)
      for _, _, into in self._ends
    )
    return counts[:, None]

  def aggregate(self, edges: tuple[jax.Array, ...]) -> dict[str, jax.Array]:
    values = jnp.concatenate(edges, axis=0)
    into = jnp.concatenate([into for _, _, into in self._ends])
    num = self.total_nodes
    count = self.in_degree().astype(values.dtype)
    degree = jnp.maximum(count, 1)
    low = jraph.segment_min(values, into, num)
    high = jraph.segment_max(values, into, num)
    zero = jnp.zeros_like(low)
    return {
      'mean': jraph.segment_sum(values, into, num) / degree,
      'min': jnp.where(count > 0, low, zero),
      'max': jnp.where(count > 0, high, zero),
      'mean_square': jraph.segment_sum(values * values, into, num) / degree,
    }

  def graph_moments(
    self, nodes: jax.Array, *, over_batch: bool
  ) -> tuple[jax.Array, jax.Array]:
    if over_batch:
      ids, num = jnp.zeros_like(self._graph_ids), 1
    else:
      ids, num = self._graph_ids, self.num_graphs
    features = nodes.shape[-1]
    mask = self.node_mask.astype(nodes.dtype)
    count = jnp.maximum(jraph.segment_sum(mask, ids, num) * features, 1)

    def mean_of(values: jax.Array) -> jax.Array:
      values = jnp.sum(self._clean(values, self.node_mask), axis=-1)
      return (jraph.segment_sum(values, ids, num) / count)[ids][:, None]

    mean = mean_of(nodes)
    centred = nodes - mean
    return mean, mean_of(centred * centred)

  def _chosen(self, which: str | int) -> jax.Array:
    if which == 'all':
      return self.node_mask
    if which == 'last':
      return self.node_ids('role') == structure.ROLES['output']
    return self.node_mask & (self.node_ids('depth') == which)

  def pool(
    self, nodes: jax.Array, *, method: str, which: str | int
  ) -> jax.Array:
    mask = self._chosen(which)
    ids = jnp.where(mask, self._graph_ids, self.num_graphs)
    count = jraph.segment_sum(mask.astype(nodes.dtype), ids, self.num_graphs)
    if method == 'mean':
      total = jraph.segment_sum(nodes, ids, self.num_graphs)
      return total / jnp.maximum(count, 1)[:, None]
    high = jraph.segment_max(nodes, ids, self.num_graphs)
    return jnp.where(count[:, None] > 0, high, jnp.zeros_like(high))

  def last_nodes(self, nodes: jax.Array, *, count: int) -> jax.Array:
    first = self._starts + self._n_node - count
    index = first[:, None] + jnp.arange(count)
    index = jnp.clip(index, 0, self.total_nodes - 1)
    mask = self.graph_mask[:, None, None]
    return jnp.where(mask, nodes[index], jnp.zeros((), nodes.dtype))

  def _require_max_nodes(self) -> int:
    if self.max_nodes is None:
      raise ValueError(
        'max_nodes must be given to make a concatenated batch dense, got None; '
        'set max_nodes on the model to the most nodes of a graph, or lay the '
        'batch out per graph.'
      )
    return self.max_nodes

  def to_dense_nodes(
    self, nodes: jax.Array, *, keep_padding: bool = False
  ) -> jax.Array:
    if keep_padding and not self._per_graph:
      raise ValueError(
        'padding can be kept (mask_padding=False, pool_padding=True) only '
        'where every graph is padded by itself, got a concatenated batch; use '
        'graphs.stack.'
      )
    max_nodes = self._require_max_nodes()
    if keep_padding:
      return nodes.reshape(self.num_graphs, max_nodes, -1)
    index = self._starts[:, None] + jnp.arange(max_nodes)
    values = nodes[jnp.clip(index, 0, self.total_nodes - 1)]
    return jnp.where(
      self.dense_mask()[..., None], values, jnp.zeros((), nodes.dtype)
    )

  def from_dense_nodes(self, nodes: jax.Array) -> jax.Array:
    local = jnp.minimum(self._local, nodes.shape[1] - 1)
    return self._clean(nodes[self._graph_ids, local], self.node_mask)

  def to_dense_edges(
    self, edges: tuple[jax.Array, ...], *, fill: jax.Array
  ) -> jax.Array:
    size = self._require_max_nodes()
    shape = (self.num_graphs, size, size, fill.shape[-1])
    dense = jnp.broadcast_to(fill, shape).astype(edges[0].dtype)
    for (source, target, _), values in zip(self._ends, edges, strict=True):
      graph = jnp.where(
        self.edge_mask, self._graph_ids[source], self.num_graphs
      )
      dense = dense.at[graph, self._local[source], self._local[target]].set(
        values, mode='drop'
      )
    return dense

  def forward_edges(self, edges: tuple[Any, ...]) -> tuple[Any, ...]:
    return edges[:1]

  def from_dense_edges(self, edges: jax.Array) -> tuple[jax.Array, ...]:
    source, target, _ = self._ends[0]
    graph, rows, columns = (
      self._graph_ids[source],
      self._local[source],
      self._local[target],
    )
    return (edges[graph, rows, columns],)

  def with_features(
    self, nodes: jax.Array, edges: tuple[jax.Array, ...]
  ) -> jraph.GraphsTuple:
    nodes = self._clean(nodes, self.node_mask)
    values = self._clean(edges[0], self.edge_mask)
    if self._per_graph:
      nodes, values = (
        x.reshape(self.num_graphs, -1, x.shape[-1]) for x in (nodes, values)
      )
    return self._graph._replace(
      nodes={**self._graph.nodes, encoding.BIAS: nodes},
      edges={**self._graph.edges, encoding.WEIGHT: values},
    )

  def network_weights(self) -> Any:
    return self.carried.weights()

  def dense_mask(self) -> jax.Array:
    return jnp.arange(self._require_max_nodes()) < self._n_node[:, None]

  def last_mask(self, *, count: int) -> jax.Array:
    nodes = jnp.arange(self._require_max_nodes())
    last = self._n_node[:, None]
    return (nodes >= last - count) & (nodes < last)
