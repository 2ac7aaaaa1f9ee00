# SPDX-License-Identifier: Apache-2.0
"""The network as far as it is read: neuron sets, edges, and used leaves."""

from collections.abc import Mapping
import dataclasses

from ng_jax.specs.inference import axes as axes_lib

# What can be read of a set later: array number and its axes.
Probe = tuple[int, tuple[axes_lib.Axis, ...]]


@dataclasses.dataclass(eq=False)
class Layer:
  """A neuron set in the making.

  Attributes:
    name: wanted; made unique at the end.
    size: number of neurons.
    atoms: its axis, None for the input until a layer reads it.
    number: order of creation.
    role: 'input', 'hidden' or 'output'.
    num_groups: as in `specs.NeuronSet`.
    attends: whether it holds the query, key and value of attention.
    readers: {activation: where its values can be read}, of what layers read.
    fixed: why its neurons are not alike, or ''.
  """

  name: str
  size: int
  atoms: axes_lib.Axis | None
  number: int
  role: str = 'hidden'
  num_groups: int = 1
  attends: bool = False
  readers: dict[str, Probe] = dataclasses.field(default_factory=dict)
  fixed: str = ''

  def restrict(self, num_groups: int) -> None:
    """Notes that neurons form groups.

    Args:
      num_groups: of equal size.

    Raises:
      Unsupported: they form other groups already.

    Jit: static.
    """
    if self.num_groups not in (1, num_groups):
      raise axes_lib.Unsupported(
        f'the neurons of {self.name!r} would form {self.num_groups} groups and '
        f'{num_groups}'
      )
    self.num_groups = num_groups


@dataclasses.dataclass(eq=False)
class Edges:
  """A block in the making.

  Attributes:
    name: wanted; made unique at the end.
    source: where the edges start.
    activation: what is applied to the source before these edges read it.
    target: where they end.
    kind: as in `specs.Block`.
    type: as in `specs.Block`.
    kernel: (height, width) or None.
  """

  name: str
  source: Layer
  activation: str
  target: Layer
  kind: str = 'dense'
  type: str = 'linear'
  kernel: tuple[int, int] | None = None


@dataclasses.dataclass(eq=False)
class Use:
  """What a leaf is.

  Attributes:
    path: of the leaf.
    kind: as in `specs.Leaf`.
    fills: the edges, or the set whose biases or statistics it is.
    rank: 0, 1, 2 for query, key and value.
  """

  path: str
  kind: str
  fills: Layer | Edges
  rank: int = 0


@dataclasses.dataclass(eq=False)
class Draft:
  """All that is read so far.

  Attributes:
    leaf_axes: {path: axes of the leaf}.
    buffers: paths of leaves that are statistics, not parameters.
    layers: in order of creation.
    edges: in order of creation.
    uses: in order of use.
  """

  leaf_axes: Mapping[str, tuple[axes_lib.Axis, ...]]
  buffers: frozenset[str]
  layers: list[Layer] = dataclasses.field(default_factory=list)
  edges: list[Edges] = dataclasses.field(default_factory=list)
  uses: list[Use] = dataclasses.field(default_factory=list)

  def add_layer(
    self, name: str, atoms: axes_lib.Axis | None, size: int
  ) -> Layer:
    """Makes a neuron set. Jit: static."""
    layer = Layer(name, size, atoms, len(self.layers))
    self.layers.append(layer)
    return layer

  def add_edges(self, edges: Edges) -> Edges:
    """Keeps a block. Jit: static."""
    self.edges.append(edges)
    return edges

  def require_unused(self, path: str) -> None:
    """Refuses a leaf that is used already.

    Args:
      path: of the leaf.

    Raises:
      Unsupported: the leaf is shared.

    Jit: static.
    """
    if any(use.path == path for use in self.uses):
      raise axes_lib.Unsupported(
        f'leaf {path!r} is used a second time, and shared leaves are not '
        'supported'
      )

  def claim(self, path: str, kind: str, fills: Layer | Edges) -> None:
    """Notes what a leaf fills.

    Args:
      path: of the leaf.
      kind: as in `specs.Leaf`.
      fills: the set or block.

    Raises:
      Unsupported: the leaf is used already: it is shared.

    Jit: static.
    """
    self.require_unused(path)
    self.uses.append(Use(path, kind, fills))

  def layer_of_leaf(self, path: str) -> str:
    """Name for what a leaf makes: its parent module. Jit: static."""
    separator = '/' if '/' in path else '.'
    return path.rpartition(separator)[0] or path

  def incoming(self, layer: Layer) -> list[Edges]:
    """Edges that end in a set. Jit: static."""
    return [edges for edges in self.edges if edges.target is layer]
