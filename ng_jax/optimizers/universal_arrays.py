# SPDX-License-Identifier: Apache-2.0
"""The arrays of an optimizee with a name for each axis, and back."""

import jax
import jax.numpy as jnp

from ng_jax import specs
from ng_jax.optimizers import tied_sets


class NamedArrays:
  """The optimizee's arrays with the names of their axes; static.

  Norms and skips between sets of one size make their neurons one, as a
  permutation must move them alike. Axes of a kernel have names of their own.

  Attributes:
    names: per leaf of the spec, those of its axes.
    shapes: per leaf, its sizes in the order of the names.
  """

  def __init__(self, spec: specs.NetworkSpec) -> None:
    self._spec = spec
    root = tied_sets.merge(spec)
    self.leaves = [leaf for leaf in spec.leaves if leaf.kind != 'buffer']
    self.names, self.shapes = [], []
    for leaf in self.leaves:
      ends = [leaf.fills]
      if leaf.kind == 'edge':
        block = spec.block(leaf.fills)
        ends = [block.source, block.target]
        if block.kind == 'diagonal':
          ends = [min(ends, key=lambda name: spec.neuron_set(name).size)]
      layout = spec.layout(leaf)
      channels = [layout.factors[i] for i in layout.order]
      channels = [
        (axis, size)
        for axis, size in channels
        if axis.split('_')[0] not in ('source', 'target') and size > 1
      ]
      own = [f'{leaf.path} {axis}' for axis, _ in channels]
      self.names.append((*(root[end] for end in ends), *own))
      sizes = [size for _, size in channels]
      self.shapes.append((*layout.unfolded[: len(ends)], *sizes))

  def unfold(self, values: dict[str, jax.Array]) -> list[jax.Array]:
    """{path: [num_features, *shape]} -> per leaf [*axes, num_features]."""
    return [
      jnp.moveaxis(
        self._spec.layout(leaf).unfold(values[leaf.path]).reshape(-1, *shape),
        0,
        -1,
      )
      for leaf, shape in zip(self.leaves, self.shapes, strict=True)
    ]

  def fold(self, values: list[jax.Array]) -> dict[str, jax.Array]:
    """Per leaf [*axes, num_features] -> {path: [num_features, *shape]}."""
    folded = {}
    for leaf, array in zip(self.leaves, values, strict=True):
      layout = self._spec.layout(leaf)
      rows = jnp.moveaxis(array, -1, 0).reshape(-1, *layout.unfolded)
      folded[leaf.path] = layout.fold(rows)
    return folded
