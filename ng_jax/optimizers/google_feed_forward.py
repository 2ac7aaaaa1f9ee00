# SPDX-License-Identifier: Apache-2.0
"""FF of learned_optimization (Metz et al., 2019; l2o spec 2.2, 3.8)."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ng_jax.optimizers import base
from ng_jax.optimizers import google_features
from ng_jax.optimizers import google_layers
from ng_jax.optimizers import joined

# Decays of the averages of gradients.
DECAYS = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)


class AveragesState(NamedTuple):
  """State of the optimizers that read averages of gradients only.

  Attributes:
    step: [] int32, steps made.
    averages: [num_decays, num_params] float32 or wider.
  """

  step: jax.Array
  averages: jax.Array


def start_averages(
  params: dict[str, jax.Array], num_decays: int
) -> AveragesState:
  """Averages before the first step.

  Args:
    params: {path: array}.
    num_decays: number of averages a parameter.

  Returns:
    Zeros. Jit: yes.
  """
  row = joined.Joined(params).join(params)
  averages = jnp.zeros((num_decays, *row.shape), row.dtype)
  return AveragesState(jnp.zeros((), jnp.int32), averages)


@dataclasses.dataclass(frozen=True)
class GoogleFeedForward(base.LearnedOptimizer):
  """An MLP on 19 features of each parameter.

  They are the gradient, the parameter and six averages of gradients, each over
  its root mean square in its array, and the number of the step.

  Attributes: that of `LearnedOptimizer`, not used, and
    decays: of the averages.
    hidden_sizes: widths of the hidden layers.
    step_scale: of the update -step_scale a exp(exponent_scale b).
    exponent_scale: likewise.
    max_exponent: bound of |exponent_scale b|, or None.
  """

  decays: tuple[float, ...] = DECAYS
  hidden_sizes: tuple[int, ...] = (32, 32)
  step_scale: float = 0.001
  exponent_scale: float = 0.001
  max_exponent: float | None = None

  def _network(self) -> google_layers.ColumnMlp:
    return google_layers.ColumnMlp((*self.hidden_sizes, 2))

  def init(self, key: jax.Array) -> base.Theta:
    of_params = jnp.zeros((2 + len(self.decays), 1))
    of_step = jnp.zeros(len(google_features.TIME_SCALES))
    theta = self._network().init(key, of_params, of_step)['params']
    return optax.tree.cast(theta, jnp.float32)

  def init_state(
    self, theta: base.Theta, params: dict[str, jax.Array]
  ) -> AveragesState:
    del theta
    return start_averages(params, len(self.decays))

  def update(
    self,
    theta: base.Theta,
    gradients: dict[str, jax.Array],
    state: AveragesState,
    params: dict[str, jax.Array],
    value: jax.Array | None,
  ) -> tuple[dict[str, jax.Array], AveragesState]:
    del value
    layout = joined.Joined(params)
    gradient, row = layout.join(gradients), layout.join(params)
    averages = google_features.average(state.averages, gradient, self.decays)
    raw = jnp.concatenate([gradient[None], row[None], averages])
    answer: Any = self._network().apply(
      {'params': theta},
      layout.standardize(raw),
      google_features.tanh_of_step(state.step, row.dtype),
    )
    steps = google_layers.make_step(
      answer[0],
      answer[1],
      self.step_scale,
      self.exponent_scale,
      self.max_exponent,
    )
    return layout.split(steps), AveragesState(state.step + 1, averages)
