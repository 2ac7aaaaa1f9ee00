# SPDX-License-Identifier: Apache-2.0
"""One flat view of both layouts of a padded batch, see `graphs.batching`."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jraph

from ng_jax.graphs import encoding


class FlatBatch(NamedTuple):
  """All nodes of a batch in one list, all edges in another.

  Attributes:
    per_graph: whether every graph is padded by itself.
    num_graphs: graphs, padding included.
    max_nodes: most nodes of a graph, None where that is not known.
    nodes: node fields, [total_nodes, ...] each.
    edges: edge fields, [total_edges, ...] each.
    senders: [total_edges] int32, into the list of nodes.
    receivers: [total_edges] int32, likewise.
    graph_ids: [total_nodes] int32, the graph of each node.
    local: [total_nodes] int32, number of each node inside its graph.
    starts: [num_graphs] int32, first node of each graph.
    n_node: [num_graphs] int32, real nodes of each graph.
    graph_mask: [num_graphs] bool, False at padding.
    node_mask: [total_nodes] bool, False at padding.
    edge_mask: [total_edges] bool, False at padding.
  """

  per_graph: bool
  num_graphs: int
  max_nodes: int | None
  nodes: dict[str, jax.Array]
  edges: dict[str, jax.Array]
  senders: jax.Array
  receivers: jax.Array
  graph_ids: jax.Array
  local: jax.Array
  starts: jax.Array
  n_node: jax.Array
  graph_mask: jax.Array
  node_mask: jax.Array
  edge_mask: jax.Array


def flatten_batch(graph: jraph.GraphsTuple, max_nodes: int | None) -> FlatBatch:
  """Views a padded batch as one list of nodes and one of edges.

  Args:
    graph: in jraph's layout (n_node [num_graphs]) or padded per graph (n_node
      [num_graphs, 1], indices counted inside each graph).
    max_nodes: most nodes of a graph, read only for jraph's layout.

  Returns:
    The view. Jit: yes.
  """
  if graph.n_node.ndim == 2:
    return _per_graph(graph)
  return _concatenated(graph, max_nodes)


def field(fields: Any, kind: str, name: str) -> jax.Array:
  """A field of the nodes or edges; ValueError lists those there are.

  Args:
    fields: of the nodes or of the edges.
    kind: 'node' or 'edge', for the message.
    name: of the field.

  Returns:
    Its values. Jit: yes.

  Raises:
    ValueError: no field of that name.
  """
  if name not in fields:
    raise ValueError(
      f'graph must have the {kind} field {name!r} for this model, got '
      f'{sorted(fields)}; build it with graphs.flatten or graphs.batching.'
    )
  return fields[name]


def _per_graph(graph: jraph.GraphsTuple) -> FlatBatch:
  num_graphs, max_nodes = graph.nodes[encoding.BIAS].shape[:2]
  max_edges = graph.senders.shape[1]
  nodes, edges = jax.tree.map(
    lambda x: x.reshape(-1, *x.shape[2:]), (graph.nodes, graph.edges)
  )
  starts = jnp.arange(num_graphs) * max_nodes
  return FlatBatch(
    per_graph=True,
    num_graphs=num_graphs,
    max_nodes=max_nodes,
    nodes=nodes,
    edges=edges,
    senders=(graph.senders + starts[:, None]).reshape(-1),
    receivers=(graph.receivers + starts[:, None]).reshape(-1),
    graph_ids=jnp.repeat(jnp.arange(num_graphs), max_nodes),
    local=jnp.tile(jnp.arange(max_nodes), num_graphs),
    starts=starts,
    n_node=graph.n_node[:, 0],
    graph_mask=graph.n_node[:, 0] > 0,
    node_mask=(jnp.arange(max_nodes) < graph.n_node[:, :1]).reshape(-1),
    edge_mask=(jnp.arange(max_edges) < graph.n_edge[:, :1]).reshape(-1),
  )


def _concatenated(graph: jraph.GraphsTuple, max_nodes: int | None) -> FlatBatch:
  total = graph.nodes[encoding.BIAS].shape[0]
  num_graphs = graph.n_node.shape[0]
  graph_mask = jraph.get_graph_padding_mask(graph)
  graph_ids = jnp.repeat(
    jnp.arange(num_graphs), graph.n_node, total_repeat_length=total
  )
  first = jnp.cumsum(graph.n_node) - graph.n_node
  n_node = jnp.where(graph_mask, graph.n_node, 0)
  return FlatBatch(
    per_graph=False,
    num_graphs=num_graphs,
    max_nodes=max_nodes,
    nodes=graph.nodes,
    edges=graph.edges,
    senders=graph.senders,
    receivers=graph.receivers,
    graph_ids=graph_ids,
    local=jnp.arange(total) - first[graph_ids],
    starts=jnp.cumsum(n_node) - n_node,
    n_node=n_node,
    graph_mask=graph_mask,
    node_mask=jraph.get_node_padding_mask(graph),
    edge_mask=jraph.get_edge_padding_mask(graph),
  )
