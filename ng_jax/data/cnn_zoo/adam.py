# SPDX-License-Identifier: Apache-2.0
"""AdamW with a learning rate and a weight decay that are traced values."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

_ADAM = optax.scale_by_adam()


class Hyper(NamedTuple):
  """What a step of a run needs besides its weights; all [] arrays.

  Attributes:
    learning_rate: float32.
    weight_decay: float32, decoupled.
    step: int32, steps made.
  """

  learning_rate: Any
  weight_decay: Any
  step: Any


def init(weights: Any) -> dict[str, Any]:
  """State of a run: its weights, and moments of zero.

  Args:
    weights: tree of arrays.

  Returns:
    {'weights', 'mu', 'nu'}, three like trees. Jit: yes.
  """
  zeros = jax.tree.map(jnp.zeros_like, weights)
  return {'weights': weights, 'mu': zeros, 'nu': zeros}


def step(state: dict[str, Any], gradient: Any, hyper: Hyper) -> dict[str, Any]:
  """One step of AdamW (betas 0.9 and 0.999, eps 1e-8).

  Args:
    state: {'weights', 'mu', 'nu'}, like trees.
    gradient: like the weights.
    hyper: of the run.

  Returns:
    The next state. Jit: yes.
  """
  before = optax.ScaleByAdamState(hyper.step, state['mu'], state['nu'])
  updates, after = _ADAM.update(gradient, before)
  rate, decay = hyper.learning_rate, hyper.weight_decay
  weights = jax.tree.map(
    lambda w, u: w * (1 - rate * decay) - rate * u, state['weights'], updates
  )
  return {'weights': weights, 'mu': after.mu, 'nu': after.nu}
