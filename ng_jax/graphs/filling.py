# SPDX-License-Identifier: Apache-2.0
"""How the arrays of networks fill those of a batch; host only.

What a network's spec decides is planned once and kept with its topology; it is
small, a few rows per block. The structure of all networks of a batch is then
written by a handful of numpy calls, their weights by one per leaf.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ng_jax import specs
from ng_jax.graphs import shown as shown_lib

# Columns of `Plan.blocks`. The edge number n of a block runs from source
# n // divide, to target n - n // divide * multiply, both counted in the block.
_SIZE, _SOURCE, _TARGET, _DIVIDE, _MULTIPLY, _LAYER, _TYPE = range(7)


class Place(NamedTuple):
  """Where the values of one leaf go.

  Attributes:
    path: of the leaf among those that the graph shows.
    layout: of the leaf.
    on_edges: whether it fills edges, not nodes.
    rows: of the edges or nodes.
    channels: of the features.
  """

  path: str
  layout: Any
  on_edges: bool
  rows: slice
  channels: slice | np.ndarray


class Plan(NamedTuple):
  """What is known of a network's place in a batch before its weights are.

  Attributes:
    shapes: {path: shape} of the network's own leaves.
    places: of the leaves that the graph shows.
    skips: (rows, channel) of edges whose feature is 1.
    blocks: [num_blocks, 7] int32, see above.
    channels: [num_blocks, num_edge_channels] bool, the channels of each block.
  """

  shapes: dict[str, tuple[int, ...]]
  places: tuple[Place, ...]
  skips: tuple[tuple[slice, int], ...]
  blocks: np.ndarray
  channels: np.ndarray


def make_plan(topology: Any) -> Plan:
  """Makes the plan of a `Topology`; use `Topology.plan`, which keeps it.

  Args:
    topology: of the network.

  Returns:
    The plan. Jit: static.
  """
  blocks = topology.blocks
  rows = {b.block.name: slice(b.start, b.start + b.num_edges) for b in blocks}
  channels = np.zeros((len(blocks), topology.num_edge_channels), bool)
  for mask, block in zip(channels, blocks, strict=True):
    mask[np.array(block.channels)] = True
  return Plan(
    shapes={
      leaf.path: topology.spec.leaf_shape(leaf) for leaf in topology.spec.leaves
    },
    places=tuple(_places(topology, rows)),
    skips=tuple(
      (rows[b.block.name], b.channels[0])
      for b in blocks
      if b.block.type == 'skip'
    ),
    blocks=np.array([_block_row(b) for b in blocks], np.int32),
    channels=channels,
  )


def _block_row(block: Any) -> tuple[int, ...]:
  dense = len(block.shape) == 2
  steps = (block.shape[1], block.shape[1]) if dense else (1, 0)
  kind = specs.BLOCK_TYPES.index(block.type)
  ends = (block.source[0], block.target[0])
  return (block.num_edges, *ends, *steps, block.layer, kind)


def _places(topology: Any, rows: Mapping[str, slice]) -> list[Place]:
  blocks = {b.block.name: b for b in topology.blocks}
  places = []
  for leaf in topology.shown.spec.leaves:
    layout = topology.shown.spec.layout(leaf)
    taken = slice(leaf.slot, leaf.slot + layout.num_channels)
    if leaf.kind == 'edge':
      own = blocks[leaf.fills].channels[taken]
      # Neighbouring channels are a slice, which numpy writes much faster.
      neighbours = own == tuple(range(own[0], own[-1] + 1))
      channels = slice(own[0], own[-1] + 1) if neighbours else np.array(own)
      places.append(Place(leaf.path, layout, True, rows[leaf.fills], channels))
    elif leaf.kind == 'node':
      nodes = slice(*topology.node_ranges[leaf.fills])
      places.append(Place(leaf.path, layout, False, nodes, taken))
  return places


def write_weights(
  topology: Any, weights: specs.Weights, *, nodes: np.ndarray, edges: np.ndarray
) -> None:
  """Writes the weights of one network into views of the batch's features.

  Args:
    topology: of the network.
    weights: without batch axes.
    nodes: [num_nodes, num_node_channels], zeros.
    edges: [num_edges, num_edge_channels], zeros.

  Raises:
    ValueError: weights of another spec. Jit: no, host only.
  """
  plan = topology.plan
  arrays = {
    path: np.asarray(array)
    for path, array in specs.leaf_arrays(weights).items()
  }
  if {path: array.shape for path, array in arrays.items()} != plan.shapes:
    _refuse(topology.spec, weights)
  arrays = shown_lib.expand(topology.spec, topology.shown, arrays)
  for place in plan.places:
    values = place.layout.unfold(arrays[place.path])
    target = edges if place.on_edges else nodes
    target[place.rows, place.channels] = values.reshape(-1, values.shape[-1])
  for rows, channel in plan.skips:
    edges[rows, channel] = 1.0


def _refuse(spec: specs.NetworkSpec, weights: specs.Weights) -> None:
  """Says what is wrong with weights, batch axes included."""
  batch = specs.check_weights(spec, weights)
  if batch:
    raise ValueError(
      'weights of a network in a mixed batch must have no batch axes, got '
      f'{batch}; give one (topology, weights) pair per network.'
    )


def edge_structure(
  topologies: Sequence[Any], first_nodes: np.ndarray
) -> dict[str, np.ndarray]:
  """Ends and ids of all edges of some networks, one after another.

  Args:
    topologies: of the networks, in order.
    first_nodes: [num_graphs] int, number of each network's first node.

  Returns:
    'senders', 'receivers', 'layer' and 'type' [total_edges] int32, 'channels'
    [total_edges, num_edge_channels] bool. Jit: no, host only.
  """
  plans = [topology.plan for topology in topologies]
  blocks = np.concatenate([plan.blocks for plan in plans])
  first_nodes = np.repeat(first_nodes, [len(plan.blocks) for plan in plans])
  sizes = blocks[:, _SIZE]
  first_edges = np.cumsum(sizes, dtype=np.int32) - sizes
  # Everything that belongs to a block, once for each of its edges.
  per_edge = np.repeat(
    np.stack(
      [
        first_edges,
        blocks[:, _SOURCE] + first_nodes,
        blocks[:, _TARGET] + first_nodes,
        *blocks[:, _DIVIDE:].T,
      ]
    ).astype(np.int32),
    sizes,
    axis=1,
  )
  first_edge, source, target, divide, multiply, layer, kind = per_edge
  number = np.arange(per_edge.shape[1], dtype=np.int32) - first_edge
  row = number // divide
  return {
    'senders': source + row,
    'receivers': target + number - row * multiply,
    'layer': layer,
    'type': kind,
    'channels': np.repeat(
      np.concatenate([plan.channels for plan in plans]), sizes, axis=0
    ),
  }


def node_structure(topologies: Sequence[Any]) -> dict[str, np.ndarray]:
  """Ids of all nodes of some networks, one after another.

  Args:
    topologies: of the networks, in order.

  Returns:
    {name: [total_nodes] int32}, see `Topology.node_ids`. Jit: no, host only.
  """
  ids = [topology.node_ids for topology in topologies]
  return {name: np.concatenate([x[name] for x in ids]) for name in ids[0]}
