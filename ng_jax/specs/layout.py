# SPDX-License-Identifier: Apache-2.0
"""Factored array layouts, in the manner of einops, and the one canonical form.

`unfold` brings any leaf into `[*batch, (source,) (target,) channels]`; `fold`
is its inverse. Both are a reshape and a transpose, so they work on numpy and
jax arrays alike, move no value and are exact.
"""

from collections.abc import Mapping
import dataclasses
import functools
import math
import re
from typing import Any


@dataclasses.dataclass(frozen=True)
class Layout:
  """A parsed layout.

  Attributes:
    shape: shape of the array as stored, without batch axes.
    factors: (axis name, size) in stored order, with groups taken apart.
    order: factor indices, sorted into source, target, channels.
    unfolded: canonical shape, (source,) (target,) channels.
    num_channels: size of the last canonical axis.
  """

  shape: tuple[int, ...]
  factors: tuple[tuple[str, int], ...]
  order: tuple[int, ...]
  unfolded: tuple[int, ...]
  num_channels: int

  def unfold(self, array: Any) -> Any:
    """Brings a stored array into canonical form.

    Args:
      array: [*batch, *shape], numpy or jax, any dtype.

    Returns:
      [*batch, (source,) (target,) channels]. Jit: yes.
    """
    batch = array.shape[: array.ndim - len(self.shape)]
    k = len(batch)
    array = array.reshape(batch + tuple(size for _, size in self.factors))
    array = array.transpose(*range(k), *(k + i for i in self.order))
    return array.reshape(batch + self.unfolded)

  def fold(self, array: Any) -> Any:
    """Inverse of `unfold`.

    Args:
      array: [*batch, (source,) (target,) channels], numpy or jax.

    Returns:
      [*batch, *shape]. Jit: yes.
    """
    batch = array.shape[: array.ndim - len(self.unfolded)]
    k = len(batch)
    sizes = tuple(self.factors[i][1] for i in self.order)
    inverse = sorted(range(len(self.order)), key=self.order.__getitem__)
    array = array.reshape(batch + sizes)
    array = array.transpose(*range(k), *(k + i for i in inverse))
    return array.reshape(batch + self.shape)


@functools.cache
def _tokens(pattern: str) -> tuple[tuple[str, ...], ...]:
  # Possessive, so that no text takes long to refuse.
  group = r'\(\s*+\w++(?:\s++\w++)*+\s*+\)'
  if not re.fullmatch(rf'\s*+(?:(?:\w++|{group})\s*+)++', pattern):
    raise ValueError(
      f'layout {pattern!r} must be axis names, some in (groups).'
    )
  groups = re.findall(r'\(([^)]*)\)|(\w+)', pattern)
  return tuple(tuple((grouped or single).split()) for grouped, single in groups)


def parse(
  pattern: str,
  ends: Mapping[str, int],
  sizes: Mapping[str, int],
  *,
  name: str,
) -> Layout:
  """Parses a layout.

  Args:
    pattern: such as '(kh kw source) target'.
    ends: sizes of 'source' and 'target', as far as the leaf has them.
    sizes: sizes of the channel axes and of factors such as 'target_head'.
    name: of the leaf, for messages.

  Returns:
    The layout. Jit: no, static.

  Raises:
    ValueError: an axis without a size, a repeated axis, a missing end, or
      factors whose product is not the size of their neuron set.
  """
  groups = _tokens(pattern)
  axes = [axis for group in groups for axis in group]
  if len(set(axes)) != len(axes):
    raise ValueError(f'leaf {name!r}: layout {pattern!r} repeats an axis.')
  known = {**ends, **sizes}
  unknown = [axis for axis in axes if axis not in known]
  if unknown:
    raise ValueError(
      f'leaf {name!r}: layout {pattern!r} has axes of unknown size {unknown}; '
      "give them in sizes, or use 'source' and 'target'."
    )
  canonical: list[int] = []
  order: list[int] = []
  for end, size in ends.items():
    of_end = [i for i, axis in enumerate(axes) if axis.split('_')[0] == end]
    product = math.prod(known[axes[i]] for i in of_end)
    if not of_end or product != size:
      raise ValueError(
        f'leaf {name!r}: the {end} axes of layout {pattern!r} must multiply to '
        f'the size of the neuron set, {size}, got {product if of_end else 0}.'
      )
    canonical.append(size)
    order += of_end
  channels = [i for i in range(len(axes)) if i not in order]
  num_channels = math.prod(known[axes[i]] for i in channels)
  return Layout(
    shape=tuple(math.prod(known[axis] for axis in group) for group in groups),
    factors=tuple((axis, known[axis]) for axis in axes),
    order=(*order, *channels),
    unfolded=(*canonical, num_channels),
    num_channels=num_channels,
  )
