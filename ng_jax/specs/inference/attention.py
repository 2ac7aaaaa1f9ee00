# SPDX-License-Identifier: Apache-2.0
"""Softmax attention: query, key and value become one block of three channels.

The product of query and key is a table of scores, which hidden permutations
leave alone; what happens to it (scaling, masks, softmax) does not matter. Its
product with the values closes the pattern (paper, section 2.2): the three
projections fill one set whose groups are the heads.
"""

from collections.abc import Sequence
import dataclasses
from typing import Any

from ng_jax.specs.inference import axes as axes_lib
from ng_jax.specs.inference import context as context_lib
from ng_jax.specs.inference import draft as draft_lib
from ng_jax.specs.inference import values as values_lib


@dataclasses.dataclass(frozen=True, eq=False)
class Side:
  """One operand of a product.

  Attributes:
    value: the operand.
    contract: numbers of the axes that are summed over.
    batch: numbers of the axes that both operands share.
  """

  value: Any
  contract: tuple[int, ...]
  batch: tuple[int, ...]

  @property
  def free(self) -> tuple[int, ...]:
    """Numbers of the other axes."""
    taken = (*self.contract, *self.batch)
    rank = (
      len(self.value.array.shape)
      if isinstance(self.value, values_lib.Constant)
      else len(self.value.axes)
    )
    return tuple(i for i in range(rank) if i not in taken)

  def atoms(self, numbers: Sequence[int]) -> axes_lib.Axis:
    """Atoms of some axes."""
    return tuple(
      a for i in numbers for a in axes_lib.resolve(self.value.axes[i])
    )


def product_axes(sides: Sequence[Side]) -> tuple[axes_lib.Axis, ...]:
  """Axes of a dot_general: shared, then free of the left and the right.

  Args:
    sides: the operands, no constants.

  Returns:
    The axes. Jit: static.
  """
  first, second = sides
  shared = [
    axes_lib.resolve(first.value.axes[i]) or second.value.axes[j]
    for i, j in zip(first.batch, second.batch, strict=True)
  ]
  free = [side.value.axes[i] for side in sides for i in side.free]
  return (*shared, *free)


def scores(sides: Sequence[Side]) -> values_lib.Statistic:
  """Reads the product of two layers as query times key.

  Args:
    sides: the operands; the first is taken for the query.

  Returns:
    The scores. Jit: static.

  Raises:
    Unsupported: the product is no such thing.
  """
  query, key = sides
  for side in sides:
    neurons = side.value.neurons
    summed = [a for a in side.atoms(side.contract) if a not in neurons]
    if summed or any(a in neurons for a in side.atoms(side.free)):
      raise axes_lib.Unsupported(
        f'it multiplies the layers {query.value.layer.name!r} and '
        f'{key.value.layer.name!r} otherwise than query and key of attention'
      )
    if not side.value.is_plain:
      raise axes_lib.Unsupported(
        f'it multiplies {side.value.layer.name!r} after an activation function;'
        ' query and key of attention must be linear'
      )
  for numbers in ('contract', 'batch'):
    pairs = zip(getattr(query, numbers), getattr(key, numbers), strict=True)
    for i, j in pairs:
      axes_lib.identify(query.value.axes[i], key.value.axes[j])
  return values_lib.Statistic(product_axes(sides), (query.value, key.value))


def weighted_values(
  sides: Sequence[Side],
  layer: Side,
  table: Side,
  context: context_lib.Context,
) -> values_lib.Activation:
  """Reads the product of scores and values.

  Args:
    sides: the operands in order.
    layer: the one that is the values.
    table: the one that is made of the scores.
    context: of the reading.

  Returns:
    Values of the set of all heads. Jit: static.

  Raises:
    Unsupported: the product is no such thing.
  """
  value, found = layer.value, table.value.scores
  if found is None:
    raise axes_lib.Unsupported(
      f'it multiplies the layer {value.layer.name!r} by statistics of layers'
    )
  neurons = value.neurons
  if any(a in neurons for a in layer.atoms(layer.contract)):
    raise axes_lib.Unsupported(
      f'it sums over the neurons of {value.layer.name!r}, not over places'
    )
  if not value.is_plain:
    raise axes_lib.Unsupported(
      f'the values {value.layer.name!r} of attention must be linear'
    )
  for i, j in zip(layer.batch, table.batch, strict=True):
    axes_lib.identify(value.axes[i], table.value.axes[j])
  axes = product_axes(sides)
  trio = (*found, value)
  merged = _merge(trio, context.draft)
  heads = [
    a
    for i in layer.batch
    for a in axes_lib.resolve(value.axes[i])
    if a in axes_lib.resolve(merged.atoms or ())
  ]
  neurons = axes_lib.resolve(merged.atoms or ())
  if tuple(heads) != neurons[: len(heads)]:
    raise axes_lib.Unsupported(
      'heads must come before the dimensions of a head in the leaves'
    )
  merged.attends = True
  merged.restrict(axes_lib.length(tuple(heads)))
  return values_lib.Activation(axes, merged)


def _merge(
  trio: Sequence[values_lib.Activation], draft: draft_lib.Draft
) -> draft_lib.Layer:
  layers = [value.layer for value in trio]
  if layers[0] is layers[1] is layers[2]:
    return _merge_fused(trio, draft)
  blocks = [draft.incoming(layer) for layer in layers]
  starts = {
    (id(edges.source), edges.activation) for found in blocks for edges in found
  }
  linear = all(
    len(found) == 1 and found[0].type == 'linear' and value.is_whole
    for found, value in zip(blocks, trio, strict=True)
  )
  alone = len({id(layer) for layer in layers}) == 3 and not any(
    layer.readers for layer in layers
  )
  if not (linear and alone and len(starts) == 1):
    raise axes_lib.Unsupported(
      f'the attention of {[layer.name for layer in layers]} must have query, '
      'key and value that are linear layers of one and the same input, read by '
      'nothing else'
    )
  if len({layer.size for layer in layers}) > 1:
    raise axes_lib.Unsupported(
      f'query, key and value must have one size, got '
      f'{[layer.size for layer in layers]}'
    )
  merged = layers[0]
  for layer in layers[1:]:
    axes_lib.identify(merged.atoms or (), layer.atoms or ())
  return _join_blocks([found[0] for found in blocks], draft)


def _join_blocks(
  blocks: Sequence[draft_lib.Edges], draft: draft_lib.Draft
) -> draft_lib.Layer:
  """Lets three blocks and their sets be one; leaves keep their order."""
  block = blocks[0]
  order = [(edges, edges.target) for edges in blocks]
  rank = {id(o): i for i, pair in enumerate(order) for o in pair}
  own = [use for use in draft.uses if id(use.fills) in rank]
  rest = [use for use in draft.uses if id(use.fills) not in rank]
  for use in own:
    is_block = isinstance(use.fills, draft_lib.Edges)
    use.rank = rank[id(use.fills)]
    use.fills = block if is_block else block.target
  draft.uses[:] = rest + sorted(own, key=lambda use: use.rank)
  for edges in blocks[1:]:
    draft.edges.remove(edges)
    draft.layers.remove(edges.target)
  block.type = 'attention'
  name = block.name.rpartition('/')[0] or 'attention'
  block.name = block.target.name = name
  return block.target


def _merge_fused(
  trio: Sequence[values_lib.Activation], draft: draft_lib.Draft
) -> draft_lib.Layer:
  """One leaf holds query, key and value, in this order."""
  layer = trio[0].layer
  parts = [value.part for value in trio]
  atom = parts[0][0] if parts[0] is not None else None
  found = draft.incoming(layer)
  if (
    atom is None
    or [part and part[1] for part in parts] != [0, 1, 2]
    or any(part is None or part[0] is not atom for part in parts)
    or atom.size != 3
    or len(found) != 1
    or found[0].type != 'linear'
    or layer.readers
  ):
    raise axes_lib.Unsupported(
      f'the layer {layer.name!r} must be three equal parts, query, key and '
      'value in this order, read by nothing but attention'
    )
  atom.kind = axes_lib.FREE
  layer.atoms = tuple(
    a for a in axes_lib.resolve(layer.atoms or ()) if a is not atom
  )
  layer.size //= 3
  found[0].type = 'attention'
  return layer
