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
import functools
from typing import Any

import jraph
import numpy as np

from ng_jax import specs
from ng_jax.graphs import activation_fields
from ng_jax.graphs import budgets
from ng_jax.graphs import encoding
from ng_jax.graphs import shown as shown_lib
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
  ends = np.full((2, budget.num_edges), total_nodes, np.int32)
  node, edge = 0, 0
  for topology, weights in networks:
    last_node, last_edge = node + topology.num_nodes, edge + topology.num_edges
    _write(
      topology,
      weights,
      {name: values[node:last_node] for name, values in nodes.items()},
      {name: values[edge:last_edge] for name, values in edges.items()},
    )
    ends[0, edge:last_edge] = topology.senders + node
    ends[1, edge:last_edge] = topology.receivers + node
    node, edge = last_node, last_edge
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
  largest = (
    len(networks),
    max(t.num_nodes for t in topologies),
    max(t.num_edges for t in topologies),
  )
  if any(np.greater(largest, (num_graphs, max_nodes, max_edges))):
    raise ValueError(
      'the batch must fit, got (graphs, most nodes, most edges) = '
      f'{largest} and {num_graphs=}, {max_nodes=}, {max_edges=}; raise the '
      'sizes or use a larger bucket.'
    )
  nodes, edges = _empty(
    topologies[0], (num_graphs, max_nodes), (num_graphs, max_edges), dtype
  )
  ends = np.zeros((2, num_graphs, max_edges), np.int32)
  counts = np.zeros((2, num_graphs, 1), np.int32)
  for i, (topology, weights) in enumerate(networks):
    _write(
      topology,
      weights,
      {name: values[i, : topology.num_nodes] for name, values in nodes.items()},
      {name: values[i, : topology.num_edges] for name, values in edges.items()},
    )
    ends[0, i, : topology.num_edges] = topology.senders
    ends[1, i, : topology.num_edges] = topology.receivers
    counts[:, i, 0] = topology.num_nodes, topology.num_edges
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


def _write(
  topology: structure.Topology,
  weights: specs.Weights,
  nodes: dict[str, np.ndarray],
  edges: dict[str, np.ndarray],
) -> None:
  """Writes one network into views of the batch's arrays."""
  specs.check_weights(topology.spec, weights)
  arrays = shown_lib.expand(
    topology.spec,
    topology.shown,
    {
      path: np.asarray(array)
      for path, array in specs.leaf_arrays(weights).items()
    },
  )
  for name, values in topology.node_ids.items():
    nodes[name][:] = values
  for name, values in topology.edge_ids.items():
    edges[name][:] = values
  for leaf, layout, rows, channels in _plan(topology):
    fields = edges[encoding.WEIGHT] if leaf.kind == 'edge' else None
    target = nodes[encoding.BIAS] if fields is None else fields
    values = layout.unfold(arrays[leaf.path])
    target[rows, channels] = values.reshape(-1, values.shape[-1])
  for block in topology.blocks:
    if block.block.type == 'skip':
      rows = slice(block.start, block.start + block.num_edges)
      edges[encoding.WEIGHT][rows, block.channels[0]] = 1.0


@functools.lru_cache(maxsize=4096)
def _plan(topology: structure.Topology) -> tuple[Any, ...]:
  """Where each leaf goes: (leaf, layout, rows, channels), cached per spec."""
  blocks = {b.block.name: b for b in topology.blocks}
  plan: list[tuple[Any, ...]] = []
  for leaf in topology.shown.spec.leaves:
    layout = topology.shown.spec.layout(leaf)
    taken = slice(leaf.slot, leaf.slot + layout.num_channels)
    if leaf.kind == 'edge':
      block = blocks[leaf.fills]
      rows = slice(block.start, block.start + block.num_edges)
      channels = block.channels[taken]
      # Neighbouring channels are a slice, which numpy writes much faster.
      if channels == tuple(range(channels[0], channels[-1] + 1)):
        plan.append((leaf, layout, rows, slice(channels[0], channels[-1] + 1)))
      else:
        plan.append((leaf, layout, rows, np.array(channels)))
    elif leaf.kind == 'node':
      first, last = topology.node_ranges[leaf.fills]
      plan.append((leaf, layout, slice(first, last), taken))
  return tuple(plan)


def _stacked_weights(
  networks: Sequence[Network], num_graphs: int
) -> dict[str, Any] | None:
  """Weights of all graphs, zeros for padding; None for mixed specs."""
  if len({topology.spec for topology, _ in networks}) != 1:
    return None
  stacked = {}
  leaves = [specs.leaf_arrays(weights) for _, weights in networks]
  for path, first in leaves[0].items():
    values = np.zeros((num_graphs, *np.shape(first)), np.asarray(first).dtype)
    values[: len(leaves)] = [arrays[path] for arrays in leaves]
    stacked[path] = values
  return {encoding.WEIGHTS: specs.from_leaf_arrays(stacked)}
