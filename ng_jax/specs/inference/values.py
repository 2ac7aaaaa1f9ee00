# SPDX-License-Identifier: Apache-2.0
"""What is known of an array while a network is read."""

import dataclasses
from typing import Any

import numpy as np

from ng_jax.specs.inference import axes as axes_lib
from ng_jax.specs.inference import curves
from ng_jax.specs.inference import draft as draft_lib


@dataclasses.dataclass(frozen=True)
class Constant:
  """An array that depends on neither weights nor inputs."""

  array: Any

  @property
  def scalar(self) -> np.ndarray | None:
    """Its value, [] numpy, if all entries are equal; else None."""
    array = np.asarray(self.array)
    if not array.size or any(
      stride and size > 1
      for stride, size in zip(array.strides, array.shape, strict=True)
    ):
      if not array.size or np.any(array != array.reshape(-1)[0]):
        return None
    return array.reshape(-1)[0]


@dataclasses.dataclass(frozen=True)
class Parameter:
  """An array made of leaves alone, or of leaves and statistics.

  Attributes:
    axes: of the array.
    leaves: paths of the leaves in it.
    statistics: those of them that are no parameter: running statistics, and
      what only enters through a root or a division.
    scaled: whether activations are multiplied into it.
  """

  axes: tuple[axes_lib.Axis, ...]
  leaves: tuple[str, ...]
  statistics: frozenset[str] = frozenset()
  scaled: bool = False


@dataclasses.dataclass(frozen=True)
class Statistic:
  """An array that hidden permutations leave alone: means, attention scores.

  Attributes:
    axes: of the array; whole groups of neurons may be among them.
    scores: (query, key) if it was made from their product.
  """

  axes: tuple[axes_lib.Axis, ...]
  scores: 'tuple[Activation, Activation] | None' = None


@dataclasses.dataclass(frozen=True)
class Activation:
  """An array that has one value per neuron of a set.

  Attributes:
    axes: of the array.
    layer: the neuron set.
    activation: what was applied to it, up to the start of `curve`.
    curve: [len(GRID)] what has been applied since, as values on the grid.
    base: identifies the array where `curve` starts.
    is_open: whether nothing but this array has read the set so far, and nothing
      was applied to it, so that more may be added to the set.
    is_shared: whether more than one step reads this array.
    pooled: whether it was reduced over space.
    part: (atom, index) if it is one part of a fused set.
    visible: number of leading neurons, if these are not all, or are padded.
    probe: the array that holds all the set's neurons.
  """

  axes: tuple[axes_lib.Axis, ...]
  layer: draft_lib.Layer
  activation: str = 'none'
  curve: np.ndarray = dataclasses.field(
    default_factory=lambda: curves.GRID, repr=False
  )
  base: object = dataclasses.field(default_factory=object)
  is_open: bool = True
  is_shared: bool = False
  pooled: bool = False
  part: tuple[axes_lib.Atom, int] | None = None
  visible: int | None = None
  probe: draft_lib.Probe | None = None

  @property
  def is_whole(self) -> bool:
    """Whether the array has all neurons of the set, and nothing else."""
    return self.part is None and self.visible is None

  @property
  def is_plain(self) -> bool:
    """Whether nothing was applied but scales and shifts."""
    return self.activation == 'none' and curves.is_affine(self.curve)

  @property
  def neurons(self) -> axes_lib.Axis:
    """Atoms of the array that run over neurons, in order of the set."""
    present = [a for axis in self.axes for a in axes_lib.resolve(axis)]
    if self.visible is not None and self.part is None:
      return tuple(a for a in present if a.kind == axes_lib.NEURON)
    return tuple(
      a for a in axes_lib.resolve(self.layer.atoms or ()) if a in present
    )

  def settle(self) -> 'Activation':
    """Ends the elementwise piece: names it and starts a new one."""
    found = curves.classify(self.curve)
    names = {self.activation, found} - {'none'}
    name = names.pop() if len(names) == 1 else 'other' if names else 'none'
    if self.activation != 'none' and found != 'none':
      name = 'other'
    return dataclasses.replace(
      self,
      activation=name,
      curve=curves.GRID,
      base=object(),
      is_open=False,
    )


Value = Constant | Parameter | Statistic | Activation


def has_atoms(
  axes: tuple[axes_lib.Axis, ...], atoms: axes_lib.Axis
) -> tuple[int, ...]:
  """Numbers of the axes that hold any of the atoms. Jit: static."""
  wanted = axes_lib.resolve(atoms)
  return tuple(
    i
    for i, axis in enumerate(axes)
    if any(atom in wanted for atom in axes_lib.resolve(axis))
  )
