# SPDX-License-Identifier: Apache-2.0
"""Hidden permutations that leave a network's function unchanged.

Symmetry is computed from the spec, not assumed. A diagonal block (a skip, a
normalisation scale) ties neuron c of its source to neuron c of its target, on
its first min(size) neurons. Sets that are tied, directly or through others,
form a cluster; cutting the cluster's channel range wherever a tie ends gives
intervals, and each interval of tied sets has one permutation of its own. What
is tied to an input or output cannot move. Where a set has groups, neurons move
inside their group and whole groups trade places.
"""

from collections.abc import Mapping
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax.specs import parts
from ng_jax.specs import spec as spec_lib
from ng_jax.specs import weights as weights_lib

# Neuron set name -> [size] int32.
Permutation = Mapping[str, jax.Array | np.ndarray]


@dataclasses.dataclass(frozen=True)
class Orbit:
  """Channels [start, stop) that move together in all sets of `members`.

  Attributes:
    members: names of the tied neuron sets.
    start: first channel.
    stop: one past the last channel.
    groups: sizes of nested groups, coarse to fine; each divides the one before,
      and the first divides the interval. Empty: all channels are alike.
  """

  members: tuple[str, ...]
  start: int
  stop: int
  groups: tuple[int, ...] = ()


@functools.cache
def orbits(spec: spec_lib.NetworkSpec) -> tuple[Orbit, ...]:
  """Finds which channels of which hidden sets may be permuted together.

  Args:
    spec: of the network.

  Returns:
    Orbits that do not overlap; channels in none of them stay where they are.
    Jit: no, static.
  """
  sets = {s.name: s for s in spec.neuron_sets}
  ties = [
    (b.source, b.target, min(sets[b.source].size, sets[b.target].size))
    for b in spec.blocks
    if b.kind == 'diagonal'
  ]
  found = []
  for cluster in _components(list(sets), [(a, b) for a, b, _ in ties]):
    members = [sets[name] for name in cluster]
    inside = [tie for tie in ties if tie[0] in cluster]
    cuts = sorted({0, *(s.size for s in members), *(tie[2] for tie in inside)})
    for start, stop in zip(cuts[:-1], cuts[1:], strict=True):
      present = [s.name for s in members if s.size >= stop]
      links = [(a, b) for a, b, width in inside if width >= stop]
      for names in _components(present, links):
        if all(sets[name].role == 'hidden' for name in names):
          found += _grouped([sets[name] for name in names], start, stop)
  return tuple(found)


def draw_permutation(key: jax.Array, spec: spec_lib.NetworkSpec) -> Permutation:
  """Draws a hidden permutation, uniformly from the group of the spec.

  Args:
    key: typed PRNG key.
    spec: of the network.

  Returns:
    {neuron set name: [size] int32}; neuron i of the permuted network is neuron
    permutation[i] of the original. Jit: yes, with the spec static.
  """
  permutation: dict[str, jax.Array] = {
    s.name: jnp.arange(s.size, dtype=jnp.int32) for s in spec.neuron_sets
  }
  for i, orbit in enumerate(orbits(spec)):
    moved = orbit.start + _draw_nested(
      jax.random.fold_in(key, i), orbit.stop - orbit.start, orbit.groups
    )
    for name in orbit.members:
      permutation[name] = (
        permutation[name]
        .at[orbit.start : orbit.stop]
        .set(moved.astype(jnp.int32))
      )
  return permutation


def permute(
  spec: spec_lib.NetworkSpec,
  weights: weights_lib.Weights,
  permutation: Permutation,
) -> dict[str, object]:
  """Acts on weights with a permutation of neurons.

  Args:
    spec: of the network.
    weights: leaves [*batch, *leaf_shape], any dtype.
    permutation: {neuron set name: [size] int}; sets left out stay as they are.

  Returns:
    Weights of the same shapes, whose neuron i of a set is the original's neuron
    permutation[set][i]. Jit: yes, with the spec static.

  Raises:
    ValueError: weights that do not fit the spec.
  """
  sets = {s.name: s for s in spec.neuron_sets}

  def act(leaf: parts.Leaf, array: jax.Array) -> jax.Array:
    ends = [leaf.fills]
    if leaf.kind == 'edge':
      block = spec.block(leaf.fills)
      ends = [block.source, block.target]
      if block.kind == 'diagonal':
        ends = [min(ends, key=lambda name: sets[name].size)]
    layout = spec.layout(leaf)
    values = layout.unfold(array)
    for i, name in enumerate(ends):
      if name in permutation:
        axis = values.ndim - len(ends) - 1 + i
        values = jnp.take(values, permutation[name], axis=axis)
    return layout.fold(values)

  return weights_lib.map_leaves(act, spec, weights)


def _components(
  names: list[str], links: list[tuple[str, str]]
) -> list[tuple[str, ...]]:
  """Connected components of an undirected graph, in order of `names`."""
  component = {name: {name} for name in names}
  for a, b in links:
    merged = component[a] | component[b]
    component.update({name: merged for name in merged})
  unique = {id(members): members for members in component.values()}
  return [tuple(n for n in names if n in m) for m in unique.values()]


def _grouped(
  members: list[parts.NeuronSet], start: int, stop: int
) -> list[Orbit]:
  """Orbits of one interval of tied sets, restricted by the sets' groups."""
  names = tuple(s.name for s in members)
  sizes = {s.size // s.num_groups for s in members if s.num_groups > 1}
  if not sizes:
    return [Orbit(names, start, stop)]
  nested = tuple(sorted(sizes, reverse=True))
  whole = all(start % size == 0 and stop % size == 0 for size in nested)
  divides = all(
    a % b == 0 for a, b in zip(nested[:-1], nested[1:], strict=True)
  )
  if whole and divides and all(s.size == stop - start for s in members):
    return [Orbit(names, start, stop, nested)]
  # Groups that the interval cuts cannot trade places: only move inside them.
  borders = {start, stop}
  for size in sizes:
    borders |= {b for b in range(0, stop, size) if start < b < stop}
  ordered = sorted(borders)
  return [
    Orbit(names, a, b) for a, b in zip(ordered[:-1], ordered[1:], strict=True)
  ]


def _draw_nested(
  key: jax.Array, size: int, groups: tuple[int, ...]
) -> jax.Array:
  """Draws a permutation of `size` channels that respects nested groups."""
  if not groups:
    return jax.random.permutation(key, size)
  group, *finer = groups
  outer_key, inner_key = jax.random.split(key)
  order = jax.random.permutation(outer_key, size // group)
  inner = jnp.stack(
    [
      _draw_nested(jax.random.fold_in(inner_key, i), group, tuple(finer))
      for i in range(size // group)
    ]
  )
  return (order[:, None] * group + inner).reshape(size)


def identity(spec: spec_lib.NetworkSpec) -> dict[str, np.ndarray]:
  """The permutation that moves nothing.

  Args:
    spec: of the network.

  Returns:
    {neuron set name: [size] int32}. Jit: static.
  """
  return {s.name: np.arange(s.size, dtype=np.int32) for s in spec.neuron_sets}
