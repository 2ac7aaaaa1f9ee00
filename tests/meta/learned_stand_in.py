# SPDX-License-Identifier: Apache-2.0
"""A learned optimizer as small as can be: it reads the loss and keeps state."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class State(NamedTuple):
  """Mean gradient and steps made."""

  momentum: Any
  step: Any


@dataclasses.dataclass(frozen=True)
class LearnedMomentum:
  """Momentum of learned rate and decay; its steps read the loss."""

  name: str = 'momentum'

  def init(self, key):
    del key
    return {'rate': jnp.float32(0.1), 'decay': jnp.float32(0.9)}

  def transformation(self, theta):
    def init(params):
      return State(jax.tree.map(jnp.zeros_like, params), jnp.int32(0))

    def update(grads, state, params=None, *, value, **extra):
      del params, extra
      momentum = jax.tree.map(
        lambda m, g: theta['decay'] * m + g, state.momentum, grads
      )
      rate = -theta['rate'] / (1.0 + value)
      updates = jax.tree.map(lambda m: rate * m, momentum)
      return updates, State(momentum, state.step + 1)

    return optax.GradientTransformationExtraArgs(init, update)
