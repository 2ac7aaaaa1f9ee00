# SPDX-License-Identifier: Apache-2.0
"""The optimizers of the paper: one network on the features of all parameters.

They differ only in the network (`FF`, `LSTM`, `NFN`, `NG-GNN`, `NG-T`), which
gives each parameter a context besides its own features.
"""

import abc
import dataclasses
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp
import optax

from ng_jax.optimizers import base
from ng_jax.optimizers import features as features_lib


class MomentaState(NamedTuple):
  """State of the paper's optimizers.

  Attributes:
    step: [] int32, steps made.
    momenta: {path: [num_decays, *shape]} float32 or wider.
  """

  step: jax.Array
  momenta: dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class PerParameterOptimizer(base.LearnedOptimizer):
  """Momenta, 14 features a parameter, a network, an update a parameter.

  Attributes: those of `LearnedOptimizer` and
    decays: of the sums of past gradients.
    step_scale: lambda of the update lambda a exp(lambda b).
    max_exponent: bound of |lambda b|, or None.
  """

  decays: tuple[float, ...] = features_lib.DECAYS
  step_scale: float = 0.01
  max_exponent: float | None = None

  @abc.abstractmethod
  def network(self, paths: tuple[str, ...]) -> nn.Module:
    """The network: {path: features [num_features, *shape]} -> {path: update}.

    Args:
      paths: of the optimizee's arrays.

    Returns:
      A Flax module. Jit: static.
    """

  def example(self) -> tuple[nn.Module, dict[str, tuple[int, ...]]]:
    """A small optimizee to draw theta with, whose shapes it must not have.

    Returns:
      The network that reads it and its arrays' {path: shape}. Jit: static.
    """
    return self.network(('x',)), {'x': (1,)}

  @property
  def num_features(self) -> int:
    """Numbers that describe a parameter."""
    return 2 * (2 + len(self.decays))

  def init(self, key: jax.Array) -> base.Theta:
    network, shapes = self.example()
    inputs = {
      path: jnp.zeros((self.num_features, *shape))
      for path, shape in shapes.items()
    }
    theta = network.init(key, inputs)['params']
    return optax.tree.cast(theta, jnp.float32)

  def init_state(
    self, theta: base.Theta, params: dict[str, jax.Array]
  ) -> MomentaState:
    del theta
    momenta = {
      path: jnp.zeros((len(self.decays), *array.shape), array.dtype)
      for path, array in params.items()
    }
    return MomentaState(jnp.zeros((), jnp.int32), momenta)

  def update(
    self,
    theta: base.Theta,
    gradients: dict[str, jax.Array],
    state: MomentaState,
    params: dict[str, jax.Array],
    value: jax.Array | None,
  ) -> tuple[dict[str, jax.Array], MomentaState]:
    del value
    momenta = {
      path: features_lib.add_gradient(
        state.momenta[path], gradient, self.decays
      )
      for path, gradient in gradients.items()
    }
    inputs = {
      path: features_lib.describe(param, gradients[path], momenta[path])
      for path, param in params.items()
    }
    # Constants are given by the options, not by theta.
    updates, _ = self.network(tuple(params)).apply(
      {'params': theta}, inputs, mutable=['constants']
    )
    return updates, MomentaState(state.step + 1, momenta)

  def head_options(self) -> dict[str, Any]:
    """Options of the `UpdateHead` that the optimizer sets."""
    return {
      'step_scale': self.step_scale,
      'max_exponent': self.max_exponent,
    }
