# SPDX-License-Identifier: Apache-2.0
"""Terms of linear maps between arrays that commute with permuting their axes.

Zhou et al., "Universal Neural Functionals" (2024). Each axis has the name of
the neurons that it runs over. A basis of the maps from one array to another has
one term per way to set indices of axes of one name equal or not: the term takes
means and diagonals of the one array, and spreads what is left over the other,
or over its diagonals. Both ends are listed by themselves here; an end of the
input meets one of the output where the names of what is left agree.
"""

from collections.abc import Iterator, Sequence
import itertools
import math
import string
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class End(NamedTuple):
  """One end of a term.

  Attributes:
    blocks: groups of axes with equal index.
    kept: numbers of the blocks that meet those of the other end, in order; the
      input's others are averaged, over the output's others it is repeated.
    names: of the kept blocks, sorted.
  """

  blocks: tuple[tuple[int, ...], ...]
  kept: tuple[int, ...]
  names: tuple[str, ...]


def input_ends(names: Sequence[str]) -> tuple[End, ...]:
  """All ends of terms at an input, where kept blocks take every order.

  Args:
    names: of the array's axes.

  Returns:
    The ends. Jit: static.
  """
  return tuple(
    End(end.blocks, order, end.names)
    for end in output_ends(names)
    for order in itertools.permutations(end.kept)
    if tuple(names[end.blocks[i][0]] for i in order) == end.names
  )


def output_ends(names: Sequence[str]) -> tuple[End, ...]:
  """All ends of terms at an output.

  Args:
    names: of the array's axes.

  Returns:
    The ends. Jit: static.
  """
  found = []
  for blocks in _partitions(tuple(range(len(names))), names):
    for count in range(len(blocks) + 1):
      for chosen in itertools.combinations(range(len(blocks)), count):
        kept = sorted(chosen, key=lambda i: names[blocks[i][0]])
        kept_names = tuple(names[blocks[i][0]] for i in kept)
        found.append(End(blocks, tuple(kept), kept_names))
  return tuple(found)


def _partitions(
  axes: tuple[int, ...], names: Sequence[str]
) -> Iterator[tuple[tuple[int, ...], ...]]:
  """Partitions into blocks of one name."""
  if not axes:
    yield ()
    return
  first, *rest = axes
  alike = [axis for axis in rest if names[axis] == names[first]]
  for count in range(len(alike) + 1):
    for joined in itertools.combinations(alike, count):
      others = tuple(axis for axis in rest if axis not in joined)
      for blocks in _partitions(others, names):
        yield ((first, *joined), *blocks)


def reduce(array: jax.Array, end: End) -> jax.Array:
  """Takes diagonals and means.

  Args:
    array: [*axes, channels] float.
    end: of the input.

  Returns:
    [*kept, channels]. Jit: yes.
  """
  letters = [''] * (array.ndim - 1)
  for letter, block in zip(string.ascii_lowercase, end.blocks, strict=False):
    for axis in block:
      letters[axis] = letter
  kept = ''.join(string.ascii_lowercase[i] for i in end.kept)
  dropped = set(range(len(end.blocks))) - set(end.kept)
  count = math.prod(array.shape[end.blocks[i][0]] for i in dropped)
  total = jnp.einsum(f'{"".join(letters)}Z->{kept}Z', array)
  return total if count == 1 else total / count


def spread(array: jax.Array, end: End, shape: Sequence[int]) -> jax.Array:
  """Repeats along axes and puts onto diagonals.

  Args:
    array: [*kept, channels] float.
    end: of the output.
    shape: of the output, without channels.

  Returns:
    [*axes, channels], an axis may be 1 where entries repeat. Jit: yes.
  """
  firsts = [end.blocks[i][0] for i in end.kept]
  order = np.argsort(firsts)
  array = array.transpose(*order.tolist(), array.ndim - 1)
  sizes = [n if axis in firsts else 1 for axis, n in enumerate(shape)]
  array = array.reshape(*sizes, array.shape[-1])
  for block in end.blocks:
    for axis in block[1:]:
      same = np.eye(shape[axis])
      sides = [n if i in (block[0], axis) else 1 for i, n in enumerate(shape)]
      array = array * jnp.asarray(same.reshape(*sides, 1), array.dtype)
  return array
