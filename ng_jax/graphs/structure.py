# SPDX-License-Identifier: Apache-2.0
"""Static structure of a neural graph: which edges exist, and what they are.

Everything here is numpy, computed once per spec and cached. Nodes are numbered
set by set in the order of the spec; edges block by block, inside a dense block
source-major. Edges are therefore *not* sorted by receiver.
"""

import dataclasses
import functools

import jax
import numpy as np

from ng_jax import specs
from ng_jax.graphs import filling
from ng_jax.graphs import flattening as flattening_lib
from ng_jax.graphs import shown as shown_lib

# Values of the node field 'role'.
ROLES = {'input': 0, 'hidden': 1, 'output': 2}
PADDING_ROLE = 3


@dataclasses.dataclass(frozen=True)
class BlockTopology:
  """Where one block of edges lies.

  Attributes:
    block: its spec.
    layer: index among the blocks that carry weights, the row of normalisation
      statistics; -1 for constants (skips), which are never normalised.
    source: (first, one past last) node of the edges' sources.
    target: (first, one past last) node of the edges' targets.
    shape: (num_sources, num_targets) of a dense block, (num_edges,) of a
      diagonal one.
    start: number of the block's first edge.
    channels: positions of the block's features among the topology's
      `num_edge_channels`; kernels are centred.
  """

  block: specs.Block
  layer: int
  source: tuple[int, int]
  target: tuple[int, int]
  shape: tuple[int, ...]
  start: int
  channels: tuple[int, ...]

  @property
  def num_edges(self) -> int:
    """Number of edges in the block."""
    return int(np.prod(self.shape))

  @property
  def type(self) -> str:
    """What its edges are; a linear layer with a kernel counts as 'conv'."""
    own = self.block.type
    return 'conv' if own == 'linear' and self.block.num_channels > 1 else own

  def endpoints(self) -> tuple[np.ndarray, np.ndarray]:
    """Senders and receivers of the block's edges, [num_edges] int32 each."""
    sources = np.arange(*self.source, dtype=np.int32)
    targets = np.arange(*self.target, dtype=np.int32)
    if len(self.shape) == 1:
      return sources, targets
    return np.repeat(sources, len(targets)), np.tile(targets, len(sources))


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Topology:
  """Static structure of the graph of one spec; hashable, a static pytree.

  Attributes:
    spec: of the network.
    kernel: (height, width) to which convolution kernels are padded where blocks
      of different kernels share an array.
    flattening: how a dense layer on a flattened map is shown, see
      `graphs.flattening`.
    min_edge_channels: least width of the edge features.
    min_node_channels: least width of the node features.
  """

  spec: specs.NetworkSpec
  kernel: tuple[int, int] = (1, 1)
  flattening: str = 'kernel'
  min_edge_channels: int = 1
  min_node_channels: int = 1

  @functools.cached_property
  def shown(self) -> shown_lib.Shown:
    """What the graph shows, with its spec; most often the network's own."""
    return flattening_lib.show(self.spec, self.flattening)

  @property
  def num_nodes(self) -> int:
    """Number of nodes."""
    return self.shown.spec.num_nodes

  @functools.cached_property
  def num_edges(self) -> int:
    """Number of edges, skips included, reverse edges not."""
    return sum(b.num_edges for b in self.blocks)

  @functools.cached_property
  def num_edge_channels(self) -> int:
    """Width of the edge features where all blocks share an array."""
    area = self.kernel[0] * self.kernel[1]
    plain = [b.num_channels for b in self.shown.spec.blocks if not b.kernel]
    return max([self.min_edge_channels, area, *plain])

  @functools.cached_property
  def num_node_channels(self) -> int:
    """Width of the node features: 1, or 3 with attention biases."""
    widths = [self.min_node_channels]
    spec = self.shown.spec
    for leaf in spec.leaves:
      if leaf.kind == 'node':
        widths.append(leaf.slot + spec.layout(leaf).num_channels)
    return max(widths)

  @functools.cached_property
  def node_ranges(self) -> dict[str, tuple[int, int]]:
    """{neuron set: (first node, one past last)}."""
    sets = self.shown.spec.neuron_sets
    ends = np.cumsum([s.size for s in sets]).tolist()
    return {
      s.name: (end - s.size, end) for s, end in zip(sets, ends, strict=True)
    }

  @functools.cached_property
  def blocks(self) -> tuple[BlockTopology, ...]:
    """Layout of every block, in edge order."""
    found: list[BlockTopology] = []
    start = 0
    shown = self.shown
    for block, layer in zip(shown.spec.blocks, shown.edge_layers, strict=True):
      source = self.node_ranges[block.source]
      target = self.node_ranges[block.target]
      shape: tuple[int, ...] = (source[1] - source[0], target[1] - target[0])
      if block.kind == 'diagonal':
        shape = (min(shape),)
        source = (source[0], source[0] + shape[0])
        target = (target[0], target[0] + shape[0])
      entry = BlockTopology(
        block, layer, source, target, shape, start, self._channels(block)
      )
      start += entry.num_edges
      found.append(entry)
    return tuple(found)

  @functools.cached_property
  def senders(self) -> np.ndarray:
    """[num_edges] int32, source node of each edge."""
    return np.concatenate([b.endpoints()[0] for b in self.blocks])

  @functools.cached_property
  def receivers(self) -> np.ndarray:
    """[num_edges] int32, target node of each edge."""
    return np.concatenate([b.endpoints()[1] for b in self.blocks])

  @functools.cached_property
  def edge_layers(self) -> np.ndarray:
    """[num_edges] int32, `BlockTopology.layer` of each edge."""
    return np.concatenate(
      [np.full(b.num_edges, b.layer, np.int32) for b in self.blocks]
    )

  @functools.cached_property
  def edge_types(self) -> np.ndarray:
    """[num_edges] int32, index of each edge's type into `specs.BLOCK_TYPES`."""
    return np.concatenate(
      [
        np.full(b.num_edges, specs.BLOCK_TYPES.index(b.type), np.int32)
        for b in self.blocks
      ]
    )

  @functools.cached_property
  def edge_channels(self) -> np.ndarray:
    """[num_edges, num_edge_channels] bool, the channels that an edge has."""
    has = np.zeros((self.num_edges, self.num_edge_channels), bool)
    for b in self.blocks:
      has[b.start : b.start + b.num_edges, np.array(b.channels)] = True
    return has

  @functools.cached_property
  def plan(self) -> filling.Plan:
    """How its arrays fill those of a mixed batch."""
    return filling.make_plan(self)

  @property
  def edge_ids(self) -> dict[str, np.ndarray]:
    """What an edge is: 'layer', 'type' and 'channels', [num_edges, ...]."""
    return {
      'layer': self.edge_layers,
      'type': self.edge_types,
      'channels': self.edge_channels,
    }

  @functools.cached_property
  def node_ids(self) -> dict[str, np.ndarray]:
    """What identifies a node, as {name: [num_nodes] int32}.

    'role': a value of `ROLES`. 'index': number among all inputs or outputs, or
    inside its hidden set. 'depth': 0 for inputs, 1.. for hidden layers, then
    the outputs. 'activation': index into `specs.ACTIVATIONS`. 'layer': the row
    of bias statistics, -1 for none. 'place': the position in a flattened map
    that the node repeats, -1 for none.
    """
    shown = self.shown
    ids: dict[str, list[np.ndarray]] = {
      name: []
      for name in ('role', 'index', 'depth', 'activation', 'layer', 'place')
    }
    counted = {'input': 0, 'output': 0}
    for i, s in enumerate(shown.spec.neuron_sets):
      first = counted.get(s.role, 0)
      if s.role in counted:
        counted[s.role] += s.size
      ids['index'].append(np.arange(first, first + s.size, dtype=np.int32))
      values = {
        'role': ROLES[s.role],
        'depth': shown.depths[i],
        'activation': specs.ACTIVATIONS.index(s.activation),
        'layer': shown.bias_layers[i],
        'place': shown.places[i],
      }
      for name, value in values.items():
        ids[name].append(np.full(s.size, value, np.int32))
    return {name: np.concatenate(arrays) for name, arrays in ids.items()}

  def _channels(self, block: specs.Block) -> tuple[int, ...]:
    height, width = self.kernel
    if block.kernel is None:
      if block.num_channels > 1:
        return tuple(range(block.num_channels))
      return (height * width // 2,)
    h, w = block.kernel
    if h > height or w > width:
      raise ValueError(
        f'block {block.name!r}: its kernel must fit into the common kernel, '
        f'got {block.kernel} and kernel={self.kernel}; raise kernel.'
      )
    top, left = (height - h) // 2, (width - w) // 2
    return tuple(
      (top + i) * width + left + j for i in range(h) for j in range(w)
    )


@functools.cache
def topology(
  spec: specs.NetworkSpec,
  kernel: tuple[int, int] | None = None,
  *,
  flattening: str = 'kernel',
  min_edge_channels: int = 1,
  min_node_channels: int = 1,
) -> Topology:
  """Static structure of the graph of a network.

  Networks that share a batch need one common kernel and common widths.

  Args:
    spec: of the network.
    kernel: (height, width) to pad convolution kernels to; the spec's largest by
      default.
    flattening: how a dense layer on a flattened map is shown: 'kernel',
      'repeat_nodes' or 'extra_layer', see `graphs.flattening`.
    min_edge_channels: least width of the edge features; 3 where networks with
      attention share a batch with others.
    min_node_channels: least width of the node features; likewise.

  Returns:
    The topology, cached: the same object for equal arguments. Jit: static.

  Raises:
    ValueError: a kernel of the spec is larger than `kernel`; an unknown
      flattening, or one that the spec does not allow.
  """
  shown = flattening_lib.show(spec, flattening)
  kernels = [b.kernel for b in shown.spec.blocks if b.kernel]
  largest = (
    max([1, *(k[0] for k in kernels)]),
    max([1, *(k[1] for k in kernels)]),
  )
  result = Topology(
    spec, kernel or largest, flattening, min_edge_channels, min_node_channels
  )
  _ = result.blocks  # Checks the kernels now, not at the first use.
  return result
