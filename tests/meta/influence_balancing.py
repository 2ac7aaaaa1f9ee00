# SPDX-License-Identifier: Apache-2.0
"""A linear system whose short-term and long-term gradients differ in sign.

Influence balancing (Tallec and Ollivier, 2017): theta drives the first 10 of 23
coordinates up and the others down; what it does to the last ones reaches the
first one, which alone has a loss, many steps later.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

SIZE, NUM_POSITIVE, NUM_STEPS, THETA = 23, 10, 100, 0.5
# Of the mean loss over 100 steps from ones at theta = 0.5, in closed form.
GRADIENT = 35.7163
_MATRIX = 0.5 * (np.eye(SIZE) + np.eye(SIZE, k=1)).astype(np.float32)
_DRIVE = np.where(np.arange(SIZE) < NUM_POSITIVE, 1.0, -1.0).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class InfluenceBalancing:
  """An `InnerProblem`; the state is [23], theta {'drive': []}."""

  noise: float = 0.0  # Standard deviation of the first state, around 1.
  breaks_above: float = np.inf  # First coordinate at which the loss is NaN.
  ceiling: float = np.inf

  @property
  def loss_follows_update(self):
    return True

  def init(self, theta, key, data):
    del theta, data
    return 1.0 + self.noise * jax.random.normal(key, (SIZE,))

  def draw(self, key, first_step, num_steps, data):
    del data
    steps = first_step + jnp.arange(num_steps)
    return jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i)))(
      steps
    )

  def step(self, theta, state, inputs, data, *, first_order):
    del first_order
    state = _MATRIX @ state + theta['drive'] * _DRIVE
    return state, self.loss(state, inputs, data)

  def loss(self, state, inputs, data):
    # Data is the size of the noise that the stream adds to the target.
    target = 1.0 + (0.0 if data is None else data * inputs)
    loss = 0.5 * (state[0] - target) ** 2
    return jnp.where(state[0] > self.breaks_above, jnp.nan, loss)

  def normalise(self, loss):
    if np.isinf(self.ceiling):
      return loss
    return jnp.where(jnp.isfinite(loss), loss, self.ceiling)


def theta(value=THETA):
  return {'drive': jnp.asarray(value, jnp.float32)}
