# SPDX-License-Identifier: Apache-2.0
"""Where in a program the values of a neuron set are, one per neuron."""

import dataclasses
from typing import Any

from ng_jax.specs.inference import axes as axes_lib
from ng_jax.specs.inference import draft as draft_lib


@dataclasses.dataclass(frozen=True)
class Readout:
  """Takes the values of a neuron set out of an array.

  Attributes:
    number: of the array in its program.
    factors: shape of the array with all its axes taken apart.
    places: numbers of the factors that are pixels or tokens.
    order: of the other factors, as in the set.
  """

  number: int
  factors: tuple[int, ...]
  places: tuple[int, ...]
  order: tuple[int, ...]

  def take(self, array: Any) -> Any:
    """Averages over places.

    Args:
      array: of one example.

    Returns:
      [size of the set]. Jit: yes.
    """
    values = array.reshape(self.factors).mean(axis=self.places)
    return values.transpose(self.order).reshape(-1)


def locate(layer: draft_lib.Layer) -> Readout:
  """Finds where a set can be read.

  Args:
    layer: that is read under one activation.

  Returns:
    What takes its values out of the array that the next layer reads. Jit:
    static.
  """
  number, axes = next(iter(layer.readers.values()))
  atoms = [a for axis in axes for a in axes_lib.resolve(axis)]
  neurons = axes_lib.resolve(layer.atoms or ())
  stored = [a for a in atoms if a in neurons]
  return Readout(
    number,
    tuple(a.size for a in atoms),
    tuple(i for i, a in enumerate(atoms) if a not in neurons),
    tuple(stored.index(a) for a in neurons),
  )
