# SPDX-License-Identifier: Apache-2.0
"""Which weights of an optimizee are a layer of a neural functional, and why.

NFN layers are defined for chains. Here the dense blocks of any spec are the
layers; a layer that feeds another one is the layer before it. A norm passes
neurons on, so that layers meet across it. Skips are not followed, and scales
and what else is no dense block take no part.

Which maps two layers share is a *sharing*: none ('layer', as in the paper), or
those of one role ('role': first, hidden, last), which makes the parameters the
same for any optimizee.
"""

from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

from ng_jax import specs
from ng_jax.optimizers import tied_sets

# A single layer is a last one.
ROLES = ('first', 'hidden', 'last')
# Roles of the layers before and after one of that role.
_BEFORE = {
  'first': (),
  'hidden': ('first', 'hidden'),
  'last': ('first', 'hidden'),
}
_AFTER = {'first': ('hidden', 'last'), 'hidden': ('hidden', 'last'), 'last': ()}


class Layer(NamedTuple):
  """One dense block and the bias of its targets.

  Attributes:
    block: its number in the spec.
    neurons: name of the set whose biases are the layer's, or None.
    role: one of `ROLES`.
    before: numbers of the layers whose targets are its sources.
    after: of those whose sources are its targets.
  """

  block: int
  neurons: str | None
  role: str
  before: tuple[int, ...]
  after: tuple[int, ...]


def find(spec: specs.NetworkSpec) -> tuple[Layer, ...]:
  """The layers of a network.

  Args:
    spec: of the network.

  Returns:
    Its dense blocks, in the order of the spec. Jit: static.

  Raises:
    ValueError: there are none.
  """
  root = tied_sets.merge(spec, ['norm'])
  dense = [(i, b) for i, b in enumerate(spec.blocks) if b.kind == 'dense']
  if not dense:
    raise ValueError(
      'NFN needs a spec with at least one dense block, got only '
      f"{[b.name for b in spec.blocks]}; use 'ff' or 'ng_gnn'."
    )
  ends = [(root[b.source], root[b.target]) for _, b in dense]
  inputs, outputs = (
    {root[s.name] for s in spec.neuron_sets if s.role == role}
    for role in ('input', 'output')
  )
  with_bias = {leaf.fills for leaf in spec.leaves if leaf.kind == 'node'}
  layers = []
  for (number, block), (source, target) in zip(dense, ends, strict=True):
    tied = [s.name for s in spec.neuron_sets if root[s.name] == target]
    named = [n for n in (block.target, *tied) if n in with_bias]
    role = 'first' if source in inputs else 'hidden'
    layers.append(
      Layer(
        number,
        named[0] if named else None,
        'last' if target in outputs else role,
        tuple(j for j, end in enumerate(ends) if end[1] == source),
        tuple(j for j, end in enumerate(ends) if end[0] == target),
      )
    )
  return tuple(layers)


@dataclasses.dataclass(frozen=True)
class MapSizes:
  """Parameters of the maps of one layer, in multiples of the channels.

  Each map reads parts of `channels` numbers, see `nfn_maps`.

  Attributes:
    whole: parts of what is seen of the whole network.
    sources: of what there is a value per source.
    targets: of what there is a value per target.
    weight_fan_in: of the maps to weights together.
    bias_fan_in: of the maps to biases together.
  """

  whole: int
  sources: int
  targets: int
  weight_fan_in: int
  bias_fan_in: int


@dataclasses.dataclass(frozen=True)
class Sharing:
  """Where the maps of each layer stand among theta, and what they read.

  Attributes:
    layers: of the optimizee.
    by_role: whether layers of one role share their maps.
  """

  layers: tuple[Layer, ...]
  by_role: bool

  @property
  def sizes(self) -> dict[str, MapSizes]:
    """{name of maps: their sizes}."""
    if self.by_role:
      return {role: _sizes_of_role(role) for role in ROLES}
    found = {}
    for i, layer in enumerate(self.layers):
      sources = 3 if layer.before else 1
      targets = 3 if layer.after else 2
      whole = 2 * len(self.layers)
      found[self.name(i)] = MapSizes(
        whole, sources, targets, 1 + whole + sources + targets, targets + whole
      )
    return found

  def name(self, layer: int) -> str:
    """Name of the maps of a layer."""
    return self.layers[layer].role if self.by_role else f'layer_{layer + 1}'

  def whole_parts(self, layer: int) -> tuple[int, int]:
    """Parts of `whole` that a layer's weights and biases take."""
    if self.by_role:
      part = ROLES.index(self.layers[layer].role)
      return part, len(ROLES) + part
    return layer, len(self.layers) + layer

  def part_before(self, layer: int, other: int) -> int | None:
    """First of two parts of `sources` that a layer before takes, if any."""
    place = self._place(_BEFORE, layer, other)
    return None if place is None else 1 + 2 * place

  def part_after(self, layer: int, other: int) -> int | None:
    """The part of `targets` that a layer after takes, if any."""
    place = self._place(_AFTER, layer, other)
    return None if place is None else 2 + place

  def _place(
    self, known: dict[str, tuple[str, ...]], layer: int, other: int
  ) -> int | None:
    if not self.by_role:
      return 0
    roles = known[self.layers[layer].role]
    role = self.layers[other].role
    return roles.index(role) if role in roles else None


def _sizes_of_role(role: str) -> MapSizes:
  before, after = _BEFORE[role], _AFTER[role]
  whole = 2 * len(ROLES)
  # In a chain one layer is before and one after, whatever their roles.
  read = 1 + 2 * bool(before)
  written = 2 + bool(after)
  return MapSizes(
    whole,
    1 + 2 * len(before),
    2 + len(after),
    1 + whole + read + written,
    written + whole,
  )


def shares(parts: Sequence[int | None]) -> list[float]:
  """Factors that make sums over equal parts means.

  Args:
    parts: numbers of parts, any order.

  Returns:
    1 over how often each one occurs. Jit: static.
  """
  return [1.0 / parts.count(part) for part in parts]
