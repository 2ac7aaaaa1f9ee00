# SPDX-License-Identifier: Apache-2.0
"""Batches of networks of different architectures, laid out on the host.

Networks of one spec need none of this: stack their weights and call
`graphs.encode`. Mixed networks are laid out in numpy, into arrays whose sizes
do not depend on what is in them, so that a model compiles once per size:

* `concatenate`: jraph's layout, all graphs one after another within a budget of
  nodes and edges (`budgets`); right for NG-GNN, whose cost is in the edges.
* `stack`: every graph padded to the same number of nodes; right for NG-T, whose
  cost is in pairs of nodes.

Both give a `jraph.GraphsTuple` of numpy arrays with the fields of
`graphs.flatten`.
"""

from collections.abc import Sequence
from typing import Any

import jraph
import numpy as np

from ng_jax import specs
from ng_jax.graphs import activation_fields
from ng_jax.graphs import budgets
from ng_jax.graphs import encoding
from ng_jax.graphs import filling
from ng_jax.graphs import structure

Network = tuple[structure.Topology, specs.Weights]


def concatenate(
  networks: Sequence[Network],
  budget: budgets.Budget,
  *,
  node_activations: Sequence[np.ndarray] | None = None,
  dtype: Any = np.float32,
) -> jraph.GraphsTuple:
  """One padded batch in jraph's layout.

  Args:
    networks: (topology, weights) pairs, weights without batch axes; all
      topologies with the same numbers of channels.
    budget: static sizes.
    node_activations: per network [num_nodes, num_probes], see
      `compute_activations`; becomes the node field 'activations'.
    dtype: of the features.

  Returns:
    A GraphsTuple of numpy arrays: nodes [num_nodes, ...], edges [num_edges,
    ...], n_node and n_edge [num_graphs]; the graph after the last is padding.
    Where all networks share a spec, globals hold their stacked weights.
    Jit: no, host only.

  Raises:
    ValueError: over budget, different channels, activations that do not fit.
  """
  topologies = [topology for topology, _ in networks]
  budgets.check_budget(topologies, budget)
  _check_channels(topologies)
  num_real = len(networks)
  n_node = np.zeros(budget.num_graphs, np.int32)
  n_edge = np.zeros(budget.num_graphs, np.int32)
  n_node[:num_real] = [t.num_nodes for t in topologies]
  n_edge[:num_real] = [t.num_edges for t in topologies]
  total_nodes = int(n_node.sum())
  n_node[num_real] = budget.num_nodes - total_nodes
  n_edge[num_real] = budget.num_edges - n_edge.sum()
  nodes, edges = _empty(
    topologies[0], (budget.num_nodes,), (budget.num_edges,), dtype
  )
  first_nodes, first_edges = (
    np.cumsum(counts) - counts for counts in (n_node, n_edge)
  )
  ends = _write_structure(
    topologies,
    nodes,
    edges,
    node_rows=slice(total_nodes),
    edge_rows=slice(int(first_edges[num_real])),
    first_nodes=first_nodes[:num_real],
    padding_end=total_nodes,
  )
  for (topology, weights), node, edge in zip(
    networks, first_nodes, first_edges, strict=False
  ):
    filling.write_weights(
      topology,
      weights,
      nodes=nodes[encoding.BIAS][node : node + topology.num_nodes],
      edges=edges[encoding.WEIGHT][edge : edge + topology.num_edges],
    )
  if node_activations is not None:
    nodes[activation_fields.ACTIVATIONS] = activation_fields.join(
      node_activations, topologies, num_nodes=budget.num_nodes
    )
  return jraph.GraphsTuple(
    nodes=nodes,
    edges=edges,
    senders=ends[0],
    receivers=ends[1],
    globals=_stacked_weights(networks, budget.num_graphs),
    n_node=n_node,
    n_edge=n_edge,
  )


def stack(
  networks: Sequence[Network],
  *,
  max_nodes: int,
  max_edges: int,
  num_graphs: int | None = None,
  node_activations: Sequence[np.ndarray] | None = None,
  dtype: Any = np.float32,
) -> jraph.GraphsTuple:
  """One batch in which every graph is padded to the same size.

  Args:
    networks: (topology, weights) pairs, weights without batch axes; all
      topologies with the same numbers of channels.
    max_nodes: nodes of every graph after padding.
    max_edges: edges of every graph after padding.
    num_graphs: graphs after padding with empty ones; as many as given, by
      default.
    node_activations: per network [num_nodes, num_probes], see
      `compute_activations`; becomes the node field 'activations'.
    dtype: of the features.

  Returns:
    A GraphsTuple of numpy arrays: nodes [num_graphs, max_nodes, ...], edges
    [num_graphs, max_edges, ...], senders and receivers counted inside each
    graph, n_node and n_edge [num_graphs, 1]. Where all networks share a spec,
    globals hold their stacked weights. Jit: no, host only.

  Raises:
    ValueError: a graph too large, too many graphs, different channels,
      activations that do not fit.
  """
  topologies = [topology for topology, _ in networks]
  _check_channels(topologies)
  num_graphs = len(networks) if num_graphs is None else num_graphs
  _check_fits(topologies, (num_graphs, max_nodes, max_edges))
  nodes, edges = _empty(
    topologies[0], (num_graphs, max_nodes), (num_graphs, max_edges), dtype
  )
  counts = np.zeros((2, num_graphs, 1), np.int32)
  counts[:, : len(networks), 0] = np.array(
    [(t.num_nodes, t.num_edges) for t in topologies]
  ).T
  ends = _write_structure(
    topologies,
    nodes,
    edges,
    node_rows=np.arange(max_nodes) < counts[0],
    edge_rows=np.arange(max_edges) < counts[1],
    first_nodes=np.zeros(len(networks), np.int32),
    padding_end=0,
  )
  for i, (topology, weights) in enumerate(networks):
    filling.write_weights(
      topology,
      weights,
      nodes=nodes[encoding.BIAS][i, : topology.num_nodes],
      edges=edges[encoding.WEIGHT][i, : topology.num_edges],
    )
  if node_activations is not None:
    nodes[activation_fields.ACTIVATIONS] = activation_fields.pad(
      node_activations, topologies, shape=(num_graphs, max_nodes)
    )
  return jraph.GraphsTuple(
    nodes=nodes,
    edges=edges,
    senders=ends[0],
    receivers=ends[1],
    globals=_stacked_weights(networks, num_graphs),
    n_node=counts[0],
    n_edge=counts[1],
  )


def _check_fits(
  topologies: Sequence[structure.Topology], sizes: tuple[int, int, int]
) -> None:
  largest = (
    len(topologies),
    max(t.num_nodes for t in topologies),
    max(t.num_edges for t in topologies),
  )
  if any(np.greater(largest, sizes)):
    num_graphs, max_nodes, max_edges = sizes
    raise ValueError(
      'the batch must fit, got (graphs, most nodes, most edges) = '
      f'{largest} and {num_graphs=}, {max_nodes=}, {max_edges=}; raise the '
      'sizes or use a larger bucket.'
    )


def _check_channels(topologies: Sequence[structure.Topology]) -> None:
  found = {(t.num_edge_channels, t.num_node_channels) for t in topologies}
  if len(found) != 1:
    raise ValueError(
      'networks of a batch must have the same numbers of (edge, node) '
      f'channels, got {sorted(found)}; make their topologies with one common '
      'kernel, min_edge_channels and min_node_channels.'
    )
  kernels = {t.kernel for t in topologies}
  if len(kernels) != 1:
    raise ValueError(
      'networks of a batch must have one common kernel, got '
      f'{sorted(kernels)}; give it to graphs.topology.'
    )


def _empty(
  topology: structure.Topology,
  nodes: tuple[int, ...],
  edges: tuple[int, ...],
  dtype: Any,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  node_fields = {name: np.zeros(nodes, np.int32) for name in topology.node_ids}
  node_fields['role'][:] = structure.PADDING_ROLE
  node_fields[encoding.BIAS] = np.zeros(
    (*nodes, topology.num_node_channels), dtype
  )
  edge_fields = {
    encoding.WEIGHT: np.zeros((*edges, topology.num_edge_channels), dtype),
    'layer': np.full(edges, -1, np.int32),
    'type': np.zeros(edges, np.int32),
    'channels': np.zeros((*edges, topology.num_edge_channels), bool),
  }
  return node_fields, edge_fields


def _write_structure(
  topologies: Sequence[structure.Topology],
  nodes: dict[str, np.ndarray],
  edges: dict[str, np.ndarray],
  *,
  node_rows: Any,
  edge_rows: Any,
  first_nodes: np.ndarray,
  padding_end: int,
) -> list[np.ndarray]:
  """Writes all ids into rows of the batch; returns senders and receivers."""
  for name, values in filling.node_structure(topologies).items():
    nodes[name][node_rows] = values
  found = filling.edge_structure(topologies, first_nodes)
  ends = []
  for name in ('senders', 'receivers'):
    ends.append(np.full(edges['layer'].shape, padding_end, np.int32))
    ends[-1][edge_rows] = found.pop(name)
  for name, values in found.items():
    edges[name][edge_rows] = values
  return ends


def _stacked_weights(
  networks: Sequence[Network], num_graphs: int
) -> dict[str, Any] | None:
  """Weights of all graphs, zeros for padding; None for mixed specs."""
  spec = networks[0][0].spec
  if any(topology.spec != spec for topology, _ in networks):
    return None
  stacked = {}
  leaves = [specs.leaf_arrays(weights) for _, weights in networks]
  for path, first in leaves[0].items():
    values = np.zeros((num_graphs, *np.shape(first)), np.asarray(first).dtype)
    values[: len(leaves)] = [arrays[path] for arrays in leaves]
    stacked[path] = values
  return {encoding.WEIGHTS: specs.from_leaf_arrays(stacked)}
