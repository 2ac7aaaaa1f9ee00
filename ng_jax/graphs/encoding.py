# SPDX-License-Identifier: Apache-2.0
"""Weights to graph and back: the neural graph of Kofinas et al. (2024).

Biases become node features, weights edge features (paper, section 2). For one
spec the edges are kept as one array per block, with the kernel size each block
has; `flatten` gives the conventional view, all edges in one padded array.
Neither direction computes anything: values are moved, never rounded.
"""

import flax.struct
import jax
import jax.numpy as jnp
import jraph

from ng_jax import specs
from ng_jax.graphs import shown as shown_lib
from ng_jax.graphs import structure

# Fixed names of the graph's fields.
BIAS = 'bias'
WEIGHT = 'weight'
WEIGHTS = 'weights'


class EdgeBlocks(flax.struct.PyTreeNode):
  """Edge features of graphs that share one static topology.

  Attributes:
    arrays: per block [*batch, num_sources, num_targets, channels] (dense) or
      [*batch, num_edges, channels] (diagonal).
    topology: static; travels with the arrays through jit, pmap and tree maps.
  """

  arrays: tuple[jax.Array, ...]
  topology: structure.Topology = flax.struct.field(pytree_node=False)


def encode(
  topology: structure.Topology, weights: specs.Weights
) -> jraph.GraphsTuple:
  """Builds the neural graphs of networks of one spec.

  Args:
    topology: of their spec.
    weights: leaves [*batch, *leaf_shape]; the batch axes become the leading
      axes of every array of the graph.

  Returns:
    A GraphsTuple with nodes {'bias': [*batch, num_nodes, node_channels]}, edges
    {'weight': EdgeBlocks}, globals {'weights': weights} (read by probe
    features), senders and receivers [*batch, num_edges], n_node and n_edge
    [*batch, 1]. Jit: yes, with `topology` static; differentiable.

  Raises:
    ValueError: lists every leaf that does not fit the spec.
  """
  batch = specs.check_weights(topology.spec, weights)
  spec = topology.shown.spec
  arrays = shown_lib.expand(
    topology.spec, topology.shown, specs.leaf_arrays(weights)
  )

  def broadcast(values: object) -> jax.Array:
    values = jnp.asarray(values)
    return jnp.broadcast_to(values, (*batch, *values.shape))

  return jraph.GraphsTuple(
    nodes={BIAS: _node_features(topology, arrays, batch)},
    edges={
      WEIGHT: EdgeBlocks(
        tuple(_block_features(spec, b, arrays, batch) for b in topology.blocks),
        topology,
      )
    },
    globals={WEIGHTS: weights},
    senders=broadcast(topology.senders),
    receivers=broadcast(topology.receivers),
    n_node=broadcast([topology.num_nodes]),
    n_edge=broadcast([topology.num_edges]),
  )


def decode(
  topology: structure.Topology,
  graph: jraph.GraphsTuple,
  *,
  node_field: str = BIAS,
  edge_field: str = WEIGHT,
) -> dict[str, object]:
  """Reads weights out of graphs; `decode(t, encode(t, w))` is `w` to the bit.

  Buffers are no features of the graph and are not returned. What the graph
  shows several times (`graphs.flattening`) is averaged where it differs.

  Args:
    topology: of the spec.
    graph: as `encode` returns it, or as `flatten` does.
    node_field: node field [*batch, num_nodes, node_channels] to read.
    edge_field: edge field to read, EdgeBlocks or [*batch, num_edges, channels].

  Returns:
    Weights with leaves [*batch, *leaf_shape]. Jit: yes, with `topology` static;
    differentiable.
  """
  spec = topology.shown.spec
  edges = graph.edges[edge_field]
  if not isinstance(edges, EdgeBlocks):
    edges = split_edges(topology, edges)
  index = {b.block.name: i for i, b in enumerate(topology.blocks)}
  arrays = {}
  for leaf in spec.leaves:
    if leaf.kind == 'buffer':
      continue
    if leaf.kind == 'edge':
      values = edges.arrays[index[leaf.fills]]
    else:
      first, last = topology.node_ranges[leaf.fills]
      values = graph.nodes[node_field][..., first:last, :]
    layout = spec.layout(leaf)
    values = values[..., leaf.slot : leaf.slot + layout.num_channels]
    arrays[leaf.path] = layout.fold(values)
  return specs.from_leaf_arrays(
    shown_lib.collapse(topology.spec, topology.shown, arrays)
  )


def join_edges(blocks: EdgeBlocks) -> jax.Array:
  """Puts all blocks into one array, kernels centred in the common kernel.

  Args:
    blocks: edge features, with the blocks' own numbers of channels.

  Returns:
    [*batch, num_edges, num_edge_channels], zeros where a block has no channel.
    Jit: yes.
  """
  joined = []
  for b, values in zip(blocks.topology.blocks, blocks.arrays, strict=True):
    batch = values.shape[: values.ndim - len(b.shape) - 1]
    values = values.reshape(*batch, b.num_edges, values.shape[-1])
    joined.append(_pad_channels(b, values, blocks.topology))
  return jnp.concatenate(joined, axis=-2)


def split_edges(topology: structure.Topology, edges: jax.Array) -> EdgeBlocks:
  """Inverse of `join_edges`.

  Args:
    topology: of the spec.
    edges: [*batch, num_edges, num_edge_channels].

  Returns:
    EdgeBlocks with the blocks' own channels. Jit: yes, `topology` static.
  """
  arrays = []
  for b in topology.blocks:
    values = edges[..., b.start : b.start + b.num_edges, :]
    values = _crop_channels(b, values, topology)
    arrays.append(values.reshape(*edges.shape[:-2], *b.shape, len(b.channels)))
  return EdgeBlocks(tuple(arrays), topology)


def flatten(graph: jraph.GraphsTuple) -> jraph.GraphsTuple:
  """Conventional view of an encoded graph: one row of features per edge.

  The graph says what its nodes and edges are in extra fields, so that a model
  can read it without knowing its spec.

  Args:
    graph: as `encode` returns it.

  Returns:
    The same graph with edges {'weight': [*batch, num_edges, edge_channels],
    'layer' and 'type': [*batch, num_edges], 'channels': [*batch, num_edges,
    edge_channels] bool} and nodes {'bias'} and the names of
    `Topology.node_ids`. Jit: yes; differentiable.
  """
  blocks = graph.edges[WEIGHT]
  topology = blocks.topology
  batch = graph.n_node.shape[:-1]

  def broadcast(values: object) -> jax.Array:
    values = jnp.asarray(values)
    return jnp.broadcast_to(values, (*batch, *values.shape))

  ids = {name: broadcast(values) for name, values in topology.node_ids.items()}
  return graph._replace(
    nodes={**graph.nodes, **ids},
    edges={
      WEIGHT: join_edges(blocks),
      **{name: broadcast(values) for name, values in topology.edge_ids.items()},
    },
  )


def _pad_channels(
  entry: structure.BlockTopology,
  values: jax.Array,
  topology: structure.Topology,
) -> jax.Array:
  """Puts a block's channels at their common positions, by padding only."""
  lead = [(0, 0)] * (values.ndim - 1)
  if entry.block.kernel:
    (h, w), (height, width) = entry.block.kernel, topology.kernel
    top, left = divmod(entry.channels[0], width)
    values = values.reshape(*values.shape[:-1], h, w)
    rows, columns = (top, height - h - top), (left, width - w - left)
    values = jnp.pad(values, [*lead, rows, columns])
    values = values.reshape(*values.shape[:-2], height * width)
    before = 0
  else:
    before = entry.channels[0]
  after = topology.num_edge_channels - before - values.shape[-1]
  return jnp.pad(values, [*lead, (before, after)])


def _crop_channels(
  entry: structure.BlockTopology,
  values: jax.Array,
  topology: structure.Topology,
) -> jax.Array:
  """Inverse of `_pad_channels`."""
  first = entry.channels[0]
  if entry.block.kernel is None:
    return values[..., first : first + len(entry.channels)]
  (h, w), (height, width) = entry.block.kernel, topology.kernel
  top, left = divmod(first, width)
  values = values[..., : height * width]
  values = values.reshape(*values.shape[:-1], height, width)
  values = values[..., top : top + h, left : left + w]
  return values.reshape(*values.shape[:-2], h * w)


def _stack_leaves(
  spec: specs.NetworkSpec,
  leaves: list[specs.Leaf],
  arrays: dict[str, jax.Array],
) -> jax.Array:
  ordered = sorted(leaves, key=lambda leaf: leaf.slot)
  values = [spec.layout(leaf).unfold(arrays[leaf.path]) for leaf in ordered]
  return values[0] if len(values) == 1 else jnp.concatenate(values, axis=-1)


def _block_features(
  spec: specs.NetworkSpec,
  entry: structure.BlockTopology,
  arrays: dict[str, jax.Array],
  batch: tuple[int, ...],
) -> jax.Array:
  leaves = [
    leaf
    for leaf in spec.leaves
    if leaf.kind == 'edge' and leaf.fills == entry.block.name
  ]
  if leaves:
    return _stack_leaves(spec, leaves, arrays)
  dtype = jnp.result_type(*arrays.values())
  return jnp.ones((*batch, *entry.shape, 1), dtype)


def _node_features(
  topology: structure.Topology,
  arrays: dict[str, jax.Array],
  batch: tuple[int, ...],
) -> jax.Array:
  spec = topology.shown.spec
  dtype = jnp.result_type(*arrays.values())
  width = topology.num_node_channels
  rows = []
  for s in spec.neuron_sets:
    leaves = [
      leaf
      for leaf in spec.leaves
      if leaf.kind == 'node' and leaf.fills == s.name
    ]
    if leaves:
      values = _stack_leaves(spec, leaves, arrays)
      missing = width - values.shape[-1]
      pad = [(0, 0)] * (values.ndim - 1) + [(0, missing)]
      rows.append(jnp.pad(values, pad) if missing else values)
    else:
      rows.append(jnp.zeros((*batch, s.size, width), dtype))
  return jnp.concatenate(rows, axis=-2)
