# SPDX-License-Identifier: Apache-2.0
"""What the arrays of a weights tree mean: the one description of a network.

A network is read through two things: `weights`, a nested mapping of arrays, and
a `NetworkSpec`. The spec names the *neuron sets* of the network (an input, its
hidden layers, an output), the *blocks* of edges between them, and says for each
*leaf* of the weights tree which axis runs over which set. Everything else is
derived from it: the hidden permutations that leave the network's function
unchanged, the neural graph, its padding and its positions.

Blocks are `dense` (every source to every target: linear layers, convolutions,
attention projections) or `diagonal` (neuron c to neuron c: the scale of a
normalisation layer, a skip connection). A diagonal block that no leaf fills is
a skip; its edges carry the constant 1.

Leaf layouts are written as in einops: axes that begin with `source` or `target`
run over the block's neuron sets (`target_head target_dim` are two factors of
one set), every other axis is a feature channel:

    'source target'                  Flax Dense kernel
    'target source'                  PyTorch Linear weight
    'kh kw source target'            Flax Conv kernel
    '(kh kw source) target'          Dense after flattening an image
    'source target_head target_dim'  Flax attention projection
    'target'                         bias or scale
"""

import dataclasses
import itertools
import json

from ng_jax.files import texts
from ng_jax.specs import entries
from ng_jax.specs import layout as layout_lib
from ng_jax.specs import parts


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
  """Structure of a network: neuron sets, blocks and the leaves that fill them.

  Hashable, so it may be a static argument of a jitted function; checked once,
  when it is made. It does not know how to run the network: `ng_jax.networks`
  does, for the families that ship.

  Attributes:
    neuron_sets: inputs first, outputs last; a block's target comes after its
      source. The graph numbers its nodes in this order.
    blocks: in the order in which the graph numbers its edges.
    leaves: one per array of the weights tree.

  Raises:
    ValueError: names the entry that breaks a rule, and the rule.
  """

  neuron_sets: tuple[parts.NeuronSet, ...]
  blocks: tuple[parts.Block, ...]
  leaves: tuple[parts.Leaf, ...]

  def __post_init__(self) -> None:
    _check_unique('neuron set', [s.name for s in self.neuron_sets])
    _check_unique('block', [b.name for b in self.blocks])
    _check_unique('leaf', [leaf.path for leaf in self.leaves])
    self._check_roles()
    self._check_blocks()
    for leaf in self.leaves:
      self.layout(leaf)
    self._check_slots()

  def neuron_set(self, name: str) -> parts.NeuronSet:
    """The neuron set of that name; KeyError if there is none. Jit: static."""
    return {s.name: s for s in self.neuron_sets}[name]

  def block(self, name: str) -> parts.Block:
    """The block of that name; KeyError if there is none. Jit: static."""
    return {b.name: b for b in self.blocks}[name]

  @property
  def num_nodes(self) -> int:
    """Number of neurons over all sets."""
    return sum(s.size for s in self.neuron_sets)

  @property
  def num_inputs(self) -> int:
    """Number of input neurons."""
    return sum(s.size for s in self.neuron_sets if s.role == 'input')

  @property
  def num_outputs(self) -> int:
    """Number of output neurons."""
    return sum(s.size for s in self.neuron_sets if s.role == 'output')

  @property
  def num_hidden_sets(self) -> int:
    """Number of hidden neuron sets, the depth that positions count."""
    return sum(s.role == 'hidden' for s in self.neuron_sets)

  def layout(self, leaf: parts.Leaf) -> layout_lib.Layout:
    """Parsed layout of a leaf, with all axis sizes. Jit: static."""
    return _parsed_layout(self, leaf)

  def leaf_shape(self, leaf: parts.Leaf) -> tuple[int, ...]:
    """Shape that the leaf's array must have, without batch axes."""
    return self.layout(leaf).shape

  def to_json(self) -> str:
    """The spec as one JSON object; `from_json` reads it back."""
    return json.dumps(dataclasses.asdict(self))

  @classmethod
  def from_json(cls, text: str) -> 'NetworkSpec':
    """Reads what `to_json` wrote.

    Args:
      text: a JSON object with `neuron_sets`, `blocks` and `leaves`.

    Returns:
      The spec, equal to the one that was written.

    Raises:
      ValueError: when the text is not a spec.
    """
    try:
      content = texts.parse_json(text)
      return cls(
        tuple(entries.read(parts.NeuronSet, content['neuron_sets'])),
        tuple(entries.read(parts.Block, content['blocks'])),
        tuple(entries.read(parts.Leaf, content['leaves'])),
      )
    except (LookupError, TypeError, ValueError) as error:
      raise ValueError(
        'text must be a network spec written by NetworkSpec.to_json, but it '
        f'could not be read: {error!r}.'
      ) from error

  def _check_roles(self) -> None:
    order = {'input': 0, 'hidden': 1, 'output': 2}
    ranks = [order[s.role] for s in self.neuron_sets]
    if ranks != sorted(ranks) or not {0, 2} <= set(ranks):
      raise ValueError(
        'neuron_sets must list inputs, then hidden sets, then outputs, with at '
        'least one input and one output, got roles '
        f'{[(s.name, s.role) for s in self.neuron_sets]}.'
      )

  def _check_blocks(self) -> None:
    position = {s.name: i for i, s in enumerate(self.neuron_sets)}
    for block in self.blocks:
      for end in (block.source, block.target):
        if end not in position:
          raise ValueError(
            f'block {block.name!r} names the unknown neuron set {end!r}; '
            f'expected one of {sorted(position)}.'
          )
      if position[block.source] >= position[block.target]:
        raise ValueError(
          f'block {block.name!r} must lead to a later neuron set, got '
          f'{block.source!r} -> {block.target!r}; a network read as a graph '
          'has no cycles.'
        )
    reached = {b.target for b in self.blocks}
    used = {b.source for b in self.blocks}
    for s in self.neuron_sets:
      missing = [] if s.role == 'input' or s.name in reached else ['into']
      missing += [] if s.role == 'output' or s.name in used else ['out of']
      if missing:
        raise ValueError(
          f'the layers do not chain: no block leads {" or ".join(missing)} '
          f'the {s.role} neuron set {s.name!r}; add the block or remove the '
          'set.'
        )

  def _check_slots(self) -> None:
    filled: dict[tuple[str, str], list[range]] = {}
    for leaf in self.leaves:
      if leaf.kind != 'buffer':
        last = leaf.slot + self.layout(leaf).num_channels
        found = filled.setdefault((leaf.kind, leaf.fills), [])
        found.append(range(leaf.slot, last))
    for block in self.blocks:
      found = filled.get(('edge', block.name), [])
      if block.type == 'skip' and not found:
        continue
      _check_filled(f'block {block.name!r}', found, block.num_channels)
    for (kind, name), found in filled.items():
      if kind == 'node':
        size = sum(len(slots) for slots in found)
        _check_filled(f'neuron set {name!r}', found, size)


def _check_filled(where: str, found: list[range], size: int) -> None:
  """Checks that ranges of channels follow each other, from 0 to size - 1."""
  ordered = sorted(found, key=lambda slots: slots.start)
  starts = [0, *(slots.stop for slots in ordered)]
  if starts.pop() != size or starts != [slots.start for slots in ordered]:
    listed = list(itertools.islice(itertools.chain(*ordered), 20))
    raise ValueError(
      f'{where}: its leaves must fill channels 0 to {size - 1} once each, got '
      f'{sorted(listed)}{" and more" * (len(listed) == 20)}.'
    )


def _parsed_layout(spec: NetworkSpec, leaf: parts.Leaf) -> layout_lib.Layout:
  sets = {s.name: s for s in spec.neuron_sets}
  if leaf.kind == 'edge':
    blocks = {b.name: b for b in spec.blocks}
    if leaf.fills not in blocks:
      raise ValueError(
        f'leaf {leaf.path!r} fills the unknown block {leaf.fills!r}; expected '
        f'one of {sorted(blocks)}.'
      )
    block = blocks[leaf.fills]
    ends = {'source': sets[block.source], 'target': sets[block.target]}
    if block.kind == 'diagonal':
      ends = {'target': min(ends.values(), key=lambda s: s.size)}
    sizes = {end: s.size for end, s in ends.items()}
  else:
    if leaf.fills not in sets:
      raise ValueError(
        f'leaf {leaf.path!r} fills the unknown neuron set {leaf.fills!r}; '
        f'expected one of {sorted(sets)}.'
      )
    sizes = {'target': sets[leaf.fills].size}
  return layout_lib.parse(leaf.layout, sizes, dict(leaf.sizes), name=leaf.path)


def _check_unique(what: str, names: list[str]) -> None:
  repeated = sorted({name for name in names if names.count(name) > 1})
  if repeated:
    raise ValueError(f'each {what} needs its own name, got {repeated} twice.')
