# SPDX-License-Identifier: Apache-2.0
"""Array axes as products of atoms: what a reshape may split and merge.

Each array axis is a tuple of atoms, slowest first. A reshape regroups them and
splits one where it must; an elementwise operation lays two tuples side by side
and finds which atoms are the same. Axes of size 1 have no atoms, so that adding
and dropping them is nothing. Splits and identifications are kept in the atoms
themselves (union-find), so what is learned late holds for earlier arrays too.
"""

import dataclasses
import math

FREE = 'free'  # an axis of a parameter that nothing is known of yet
SPACE = 'space'  # pixels, tokens: the same neurons at another place
NEURON = 'neuron'  # runs over the neurons of a set
BROADCAST = 'broadcast'  # the array does not change along it


class Unsupported(Exception):
  """A step of the network that inference does not understand, and why."""


@dataclasses.dataclass(eq=False)
class Atom:
  """A factor of an array axis.

  Attributes:
    size: at least 2.
    kind: FREE, SPACE, NEURON or BROADCAST.
    parts: what it was split into, or the one atom it was found to be.
  """

  size: int
  kind: str
  parts: 'Axis' = ()


Axis = tuple[Atom, ...]


def new_axis(size: int, kind: str) -> Axis:
  """A fresh axis of one atom; none if `size` is 1. Jit: static."""
  return (Atom(size, kind),) if size > 1 else ()


def resolve(axis: Axis) -> Axis:
  """The axis in the atoms that are known now. Jit: static."""
  found: list[Atom] = []
  for atom in axis:
    found += resolve(atom.parts) if atom.parts else (atom,)
  return tuple(found)


def length(axis: Axis) -> int:
  """Number of entries along the axis. Jit: static."""
  return math.prod(atom.size for atom in axis)


def split(atom: Atom, outer: int) -> Axis:
  """Splits an atom into (outer, rest).

  Args:
    atom: not split yet.
    outer: size of the slower part, a proper divisor of the size.

  Returns:
    The two parts, of the kind of the atom. Jit: static.
  """
  inner = atom.size // outer
  atom.parts = (Atom(outer, atom.kind), Atom(inner, atom.kind))
  return atom.parts


def regroup(atoms: Axis, sizes: tuple[int, ...]) -> tuple[Axis, ...]:
  """Distributes atoms over axes of given sizes, as a reshape does.

  Args:
    atoms: in order of the array's memory.
    sizes: of the new axes.

  Returns:
    One axis per size. Jit: static.

  Raises:
    Unsupported: an atom would have to be cut where it does not divide.
  """
  pending = list(resolve(atoms))
  axes = []
  for size in sizes:
    axis: list[Atom] = []
    while length(tuple(axis)) < size:
      missing = size // length(tuple(axis))
      atom = pending.pop(0)
      if missing % atom.size:
        if atom.size % missing:
          raise Unsupported(
            f'it cuts an axis of {atom.size} at {missing}, which does not '
            'divide it'
          )
        atom, rest = split(atom, missing)
        pending.insert(0, rest)
      axis.append(atom)
    axes.append(tuple(axis))
  return tuple(axes)


def align(first: Axis, second: Axis) -> list[tuple[Atom, Atom]]:
  """Pairs the atoms of two axes of one length, splitting where needed.

  Args:
    first: an axis.
    second: one of the same length.

  Returns:
    Pairs of atoms of equal sizes. Jit: static.

  Raises:
    Unsupported: the factors of the two do not fit together.
  """
  a, b = list(resolve(first)), list(resolve(second))
  pairs = []
  while a and b:
    x, y = a.pop(0), b.pop(0)
    if x is not y and x.size != y.size:
      larger, smaller, rest = (x, y, a) if x.size > y.size else (y, x, b)
      if larger.size % smaller.size:
        raise Unsupported(
          f'it meets axes of factors {x.size} and {y.size}, which do not fit'
        )
      outer, inner = split(larger, smaller.size)
      rest.insert(0, inner)
      x, y = (outer, y) if larger is x else (x, outer)
    # Splitting may have split the next one too, when an atom is on both sides.
    a, b = list(resolve(tuple(a))), list(resolve(tuple(b)))
    pairs.append((x, y))
  return pairs


def unify(first: Axis, second: Axis) -> Axis:
  """The common axis of two arrays in an elementwise operation.

  Args:
    first: an axis.
    second: of the same length, or empty.

  Returns:
    The axis of the result; atoms that are found to be one are from now on.
    Jit: static.

  Raises:
    Unsupported: a neuron axis meets another axis.
  """
  first, second = resolve(first), resolve(second)
  if not first or not second:
    return first or second
  return tuple(_meet(x, y) for x, y in align(first, second))


def identify(first: Axis, second: Axis) -> None:
  """Makes two axes of one length one, whatever they are. Jit: static."""
  for x, y in align(first, second):
    if x is not y:
      y.parts = (x,)


def _meet(x: Atom, y: Atom) -> Atom:
  if x is y or y.kind == BROADCAST:
    return x
  if x.kind == BROADCAST:
    return y
  if y.kind == FREE:
    x, y = y, x
  if x.kind == FREE or (x.kind == SPACE and y.kind == SPACE):
    x.parts = (y,)
    return y
  raise Unsupported('it lays neurons against another axis')
