# SPDX-License-Identifier: Apache-2.0
"""What the rules of reading share: the draft, and how layers are read."""

import dataclasses

from ng_jax.specs.inference import axes as axes_lib
from ng_jax.specs.inference import draft as draft_lib
from ng_jax.specs.inference import values as values_lib


@dataclasses.dataclass(frozen=True)
class Context:
  """State of one reading.

  Attributes:
    draft: the network as far as it is read.
    token_kind: 'buffer' or 'node', what leaves with one entry per place and
      neuron are (position embeddings, class tokens).
  """

  draft: draft_lib.Draft
  token_kind: str = 'buffer'

  def read(self, value: values_lib.Activation) -> values_lib.Activation:
    """Ends the elementwise piece, as new edges start here.

    Args:
      value: what they read.

    Returns:
      The same, settled; its set knows that it is read. Jit: static.
    """
    value = value.settle()
    if value.probe is not None:
      value.layer.readers.setdefault(value.activation, value.probe)
    return value

  def locate_input(
    self, value: values_lib.Activation, atoms: axes_lib.Axis
  ) -> None:
    """Says which axes of the network's input are its neurons.

    Only the first call counts; other sets know their axes from the start.

    Args:
      value: that a layer reads.
      atoms: that it reads as neurons.

    Jit: static.
    """
    layer = value.layer
    if layer.atoms is None:
      layer.atoms = axes_lib.resolve(atoms)
      layer.size = axes_lib.length(layer.atoms)
      for atom in layer.atoms:
        atom.kind = axes_lib.NEURON

  def require_whole(self, value: values_lib.Activation) -> None:
    """Refuses a part of a layer, or a padded one.

    Args:
      value: that a layer reads.

    Raises:
      Unsupported: it is not the whole layer.

    Jit: static.
    """
    if not value.is_whole:
      raise axes_lib.Unsupported(
        f'it reads only some neurons of the layer {value.layer.name!r}'
      )
