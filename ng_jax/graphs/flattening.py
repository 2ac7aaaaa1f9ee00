# SPDX-License-Identifier: Apache-2.0
"""How a graph shows a dense layer that reads a flattened map (paper, app. C).

Such a layer has a weight per channel, position of the map and unit. Three ways:

* 'kernel': one edge per channel and unit, the positions are its features, as if
  the layer were a convolution with a kernel of the map's size. The default.
* 'repeat_nodes': the nodes of the last map are repeated once per position,
  with all that leads into them; every copy has an edge of its own to each unit.
* 'extra_layer': a layer of one node per channel and position is put in between;
  an edge from the channel carries a kernel that is 1 at that position.

The last two describe the same weights by a larger spec, whose neuron sets
`name@0, name@1, ...` are the positions in row-major order. Layers of weights
are counted as in the network, so that statistics stay those of its layers.
"""

import dataclasses
import functools
from typing import Any

from ng_jax import specs
from ng_jax.graphs import shown as shown_lib

METHODS = ('extra_layer', 'kernel', 'repeat_nodes')


@dataclasses.dataclass
class _Parts:
  """A `Shown` in the making."""

  sets: list[tuple[specs.NeuronSet, int, int, int]]
  blocks: list[tuple[specs.Block, int]]
  leaves: list[tuple[specs.Leaf, str | None, int]]

  def finish(self) -> shown_lib.Shown:
    spec = specs.NetworkSpec(
      tuple(entry[0] for entry in self.sets),
      tuple(block for block, _ in self.blocks),
      tuple(leaf for leaf, _, _ in self.leaves),
    )
    return shown_lib.Shown(
      spec,
      depths=tuple(entry[1] for entry in self.sets),
      bias_layers=tuple(entry[2] for entry in self.sets),
      places=tuple(entry[3] for entry in self.sets),
      edge_layers=tuple(layer for _, layer in self.blocks),
      origins=tuple((path, place) for _, path, place in self.leaves),
    )


@functools.cache
def show(spec: specs.NetworkSpec, method: str = 'kernel') -> shown_lib.Shown:
  """What the graph of a network shows.

  Args:
    spec: of the network.
    method: one of `METHODS`; all are alike where no layer reads a flattened
      map.

  Returns:
    The spec of the graph and what its parts are. Jit: no, static.

  Raises:
    ValueError: an unknown method, or a flattened map that something else than
      its dense layer reads.
  """
  if method not in METHODS:
    raise ValueError(
      f'unknown flattening {method!r}; expected one of {list(METHODS)}.'
    )
  parts = _as_is(spec)
  if method != 'kernel':
    for block in spec.blocks:
      if _reads_flattened(spec, block):
        _check_only_reader(spec, block)
        parts = (_repeat if method == 'repeat_nodes' else _insert)(parts, block)
  return parts.finish()


def _as_is(spec: specs.NetworkSpec) -> _Parts:
  sets = []
  depth = 0
  for s in spec.neuron_sets:
    depth += s.role == 'hidden'
    own = depth + (s.role == 'output') if s.role != 'input' else 0
    sets.append((s, own, own - 1, -1))
  blocks = []
  layer = 0
  for block in spec.blocks:
    skip = block.type == 'skip'
    blocks.append((block, -1 if skip else layer))
    layer += not skip
  return _Parts(sets, blocks, [(leaf, leaf.path, -1) for leaf in spec.leaves])


def _reads_flattened(spec: specs.NetworkSpec, block: specs.Block) -> bool:
  """Whether sources and kernel positions share one stored axis of its leaf."""
  if block.kernel is None or block.kind != 'dense':
    return False
  for leaf in spec.leaves:
    if leaf.kind == 'edge' and leaf.fills == block.name:
      groups = leaf.layout.replace(')', '(').split('(')[1::2]
      return any('source' in group and ' ' in group for group in groups)
  return False


def _check_only_reader(spec: specs.NetworkSpec, block: specs.Block) -> None:
  readers = [b.name for b in spec.blocks if b.source == block.source]
  if readers != [block.name]:
    raise ValueError(
      f'the flattened map {block.source!r} must be read by one dense layer, '
      f'got the blocks {readers}; use flattening="kernel".'
    )


def _linear_pieces(
  block: specs.Block, leaves: list[tuple[specs.Leaf, str | None, int]]
) -> tuple[list[specs.Block], list[tuple[specs.Leaf, str | None, int]]]:
  """One linear block, and one leaf, per position of the map."""
  pieces, found = [], []
  ((leaf, path),) = [
    (leaf, path)
    for leaf, path, _ in leaves
    if leaf.kind == 'edge' and leaf.fills == block.name
  ]
  for place in range(block.num_channels):
    name = _at(block.name, place)
    pieces.append(specs.Block(name, _at(block.source, place), block.target))
    piece = specs.Leaf(_at(leaf.path, place), 'source target', name)
    found.append((piece, path, place))
  return pieces, found


def _repeat(parts: _Parts, block: specs.Block) -> _Parts:
  """Repeats the source of a block, with all that leads into it."""
  places = range(block.num_channels)
  pieces, piece_leaves = _linear_pieces(block, parts.leaves)
  into = {b.name for b, _ in parts.blocks if b.target == block.source}
  result = _Parts([], [], [])
  for entry in parts.sets:
    if entry[0].name == block.source:
      result.sets += [(_named(entry[0], p), *entry[1:3], p) for p in places]
    else:
      result.sets.append(entry)
  for b, layer in parts.blocks:
    if b.name == block.name:
      result.blocks += [(piece, layer) for piece in pieces]
    elif b.name in into:
      result.blocks += [
        (dataclasses.replace(_named(b, p), target=_at(block.source, p)), layer)
        for p in places
      ]
    else:
      result.blocks.append((b, layer))
  for leaf, path, place in parts.leaves:
    if leaf.fills == block.name and leaf.kind == 'edge':
      result.leaves += piece_leaves
    elif leaf.fills in into or (
      leaf.fills == block.source and leaf.kind != 'edge'
    ):
      result.leaves += [(_moved(leaf, p), path, p) for p in places]
    else:
      result.leaves.append((leaf, path, place))
  return result


def _insert(parts: _Parts, block: specs.Block) -> _Parts:
  """Puts a layer of one node per channel and position before a block."""
  places = range(block.num_channels)
  pieces, piece_leaves = _linear_pieces(block, parts.leaves)
  result = _Parts([], [], [])
  after = False
  for s, depth, layer, place in parts.sets:
    result.sets.append((s, depth + after, layer, place))
    if s.name == block.source:
      after = True
      plain = dataclasses.replace(s, role='hidden', activation='none')
      result.sets += [(_named(plain, p), depth + 1, -1, -1) for p in places]
  for b, layer in parts.blocks:
    if b.name != block.name:
      result.blocks.append((b, layer))
      continue
    for p in places:
      name = _at(f'{block.source}_to', p)
      constant = dataclasses.replace(
        block,
        name=name,
        target=_at(block.source, p),
        kind='diagonal',
        type='conv',
      )
      result.blocks.append((constant, -1))
      sizes = (('position', block.num_channels),)
      leaf = specs.Leaf(name, 'target position', name, sizes=sizes)
      result.leaves.append((leaf, None, p))
    result.blocks += [(piece, layer) for piece in pieces]
  for leaf, path, place in parts.leaves:
    if leaf.fills == block.name and leaf.kind == 'edge':
      result.leaves += piece_leaves
    else:
      result.leaves.append((leaf, path, place))
  return result


def _at(name: str, place: int) -> str:
  return f'{name}@{place}'


def _named(part: Any, place: int) -> Any:
  return dataclasses.replace(part, name=_at(part.name, place))


def _moved(leaf: specs.Leaf, place: int) -> specs.Leaf:
  return dataclasses.replace(
    leaf, path=_at(leaf.path, place), fills=_at(leaf.fills, place)
  )
