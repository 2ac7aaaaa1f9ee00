# SPDX-License-Identifier: Apache-2.0
"""Networks that probes run through, each made for batches of weights."""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax

from ng_jax import networks
from ng_jax import specs
from tests import example_networks


@dataclasses.dataclass(frozen=True)
class Probed:
  """A network given by functions of one set of weights.

  Attributes:
    spec: of the weights.
    input_shape: of one input.
    one: (weights, [num, *input_shape]) -> [num, size] per neuron set.
  """

  spec: specs.NetworkSpec
  input_shape: tuple[int, ...]
  one: Callable[..., Any]

  def activations(self, weights: Any, x: Any) -> Any:
    if not specs.num_batch_axes(self.spec, weights):
      return self.one(weights, x)
    x_axis = 0 if x.ndim > len(self.input_shape) + 1 else None
    return jax.vmap(self.one, (0, x_axis))(weights, x)

  def apply(self, weights: Any, x: Any) -> Any:
    return self.activations(weights, x)[-1]


def conv() -> Probed:
  """Two convolutions, a norm and a dense layer, on images of 5 x 5 x 2."""
  example = example_networks.conv()
  return Probed(example.spec, example.input_shape, example.activations)


NETWORKS: dict[str, Any] = {
  'mlp': networks.Mlp((2, 5, 4, 3), 'tanh'),
  'siren': networks.Siren((2, 5, 7, 3)),
  'conv': conv(),
}
