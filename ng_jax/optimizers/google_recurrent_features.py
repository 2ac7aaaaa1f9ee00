# SPDX-License-Identifier: Apache-2.0
"""What the LSTM of learned_optimization sees (Metz et al., 2020; spec 2.3)."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax.optimizers import google_features
from ng_jax.optimizers import joined

# Average of the gradients' root mean squares before the first step.
FIRST_CLIP = 0.01
_CLIP_DECAY = 0.99
_CLIP_FACTOR = 10.0
_LOSS_DECAY = 0.9
# Axes of an array whose sizes are told; a rank above it merges the last ones.
_MAX_RANK = 4


class RecurrentState(NamedTuple):
  """State of the LSTM of learned_optimization.

  Attributes:
    step: [] int32, steps made.
    averages: [num_decays, num_params] of gradients.
    squares: [num_decays, num_params] of their squares.
    output: [num_arrays, lstm_size], of the LSTM.
    cell: [num_arrays, lstm_size], of the LSTM.
    from_mlp: [num_arrays, 16], what the MLP said of each array.
    from_lstm: [18], what the LSTM said of all arrays.
    loss: [2], averages of the losses and of their squared deviations.
    clip: [], average of the gradients' root mean squares.
  """

  step: jax.Array
  averages: jax.Array
  squares: jax.Array
  output: jax.Array
  cell: jax.Array
  from_mlp: jax.Array
  from_lstm: jax.Array
  loss: jax.Array
  clip: jax.Array


class Features(NamedTuple):
  """Inputs of the network.

  Attributes:
    of_lstm: [num_arrays, 52].
    of_params: [23, num_params], of the MLP, and so the others.
    of_step: [12].
    of_arrays: [num_arrays, 2].
  """

  of_lstm: jax.Array
  of_params: jax.Array
  of_step: jax.Array
  of_arrays: jax.Array


def accumulate(
  layout: joined.Joined,
  gradient: jax.Array,
  value: jax.Array,
  state: RecurrentState,
  decays: Sequence[float],
) -> tuple[jax.Array, RecurrentState]:
  """Clips a gradient and brings the averages up to date.

  Args:
    layout: of the optimizee.
    gradient: [num_params] float.
    value: [], the loss.
    state: of the last step.
    decays: of the averages.

  Returns:
    The clipped gradient and the state with this step's averages. Jit: yes.
  """
  # The number of averaged values is that of the steps, and one to begin with.
  weight = 1.0 - _CLIP_DECAY ** (state.step + 1).astype(gradient.dtype)
  limit = _CLIP_FACTOR * state.clip / weight
  gradient = jnp.clip(gradient, -limit, limit)
  size = jnp.sqrt(1e-8 + jnp.mean(layout.means(gradient[None] ** 2)))
  mean = _LOSS_DECAY * state.loss[0] + (1 - _LOSS_DECAY) * value
  deviation = (mean - value) ** 2
  variance = _LOSS_DECAY * state.loss[1] + (1 - _LOSS_DECAY) * deviation
  averages = google_features.average(state.averages, gradient, decays)
  squares = google_features.average(state.squares, gradient**2, decays)
  return gradient, state._replace(
    averages=averages,
    squares=squares,
    loss=jnp.stack([mean, variance]),
    clip=_CLIP_DECAY * state.clip + (1 - _CLIP_DECAY) * size,
  )


def compute(
  layout: joined.Joined,
  params: jax.Array,
  gradient: jax.Array,
  value: jax.Array,
  state: RecurrentState,
) -> Features:
  """The features of one step.

  Args:
    layout: of the optimizee.
    params: [num_params] float.
    gradient: [num_params], clipped.
    value: [], the loss.
    state: of `accumulate`.

  Returns:
    The features. Jit: yes.
  """
  dtype = params.dtype
  norms = _safe_sqrt(
    layout.means(jnp.stack([params, gradient]) ** 2)
    * jnp.asarray(layout.sizes, dtype)
  )
  step = google_features.sine_of_step(state.step, dtype)
  count = jnp.full(1, np.log(layout.num_arrays) - 1.0, dtype)
  sizes = jnp.asarray(np.log(layout.sizes), dtype)
  return Features(
    _of_lstm(layout, params, norms, value, state),
    layout.standardize(_of_params(params, gradient, state)),
    jnp.concatenate([step, count]),
    jnp.stack([jnp.log(norms[0] + 1e-8), sizes], axis=1),
  )


def _of_params(
  params: jax.Array, gradient: jax.Array, state: RecurrentState
) -> jax.Array:
  inverse = jax.lax.rsqrt(state.squares + 1e-6)
  own = [gradient, params, jnp.log(jnp.abs(params) + 1e-8)]
  rows = [state.averages, state.squares, state.averages * inverse, inverse]
  return jnp.concatenate([jnp.stack(own), *rows])


def _of_lstm(
  layout: joined.Joined,
  params: jax.Array,
  norms: jax.Array,
  value: jax.Array,
  state: RecurrentState,
) -> jax.Array:
  """[num_arrays, 52], in the alphabetical order of the original's names."""
  dtype, num = params.dtype, layout.num_arrays
  quantities = [params[None], state.averages, state.squares]
  (mean, mean_average, mean_square), variances = _moments(layout, quantities)
  log = google_features.clipped_log
  is_scalar = [1.0 if shape == () else -1.0 for shape in layout.shapes.values()]
  columns = [
    log(norms[1]),
    jnp.asarray(is_scalar, dtype),
    log(mean_average),
    jnp.sign(mean_average),
    log(mean_square),
    jnp.sign(mean_square),
    log(mean),
    jnp.sign(mean),
    log(norms[0]),
  ]
  shared = [*_log_shapes(layout, dtype), *_of_loss(value, state)]
  columns += [jnp.broadcast_to(column, (num,)) for column in shared]
  columns += [log(variances[i]) for i in (1, 2, 0)]
  from_lstm = jnp.broadcast_to(state.from_lstm, (num, len(state.from_lstm)))
  return jnp.concatenate(
    [from_lstm, state.from_mlp, jnp.stack(columns, axis=1)], axis=1
  )


def _moments(
  layout: joined.Joined, quantities: Sequence[jax.Array]
) -> tuple[list[jax.Array], list[jax.Array]]:
  """Means and variances over each array, and over the decays, jointly."""
  counts = [len(rows) for rows in quantities]
  ends = np.cumsum(counts)[:-1]
  means = [
    jnp.mean(part, axis=0)
    for part in jnp.split(layout.means(jnp.concatenate(quantities)), ends)
  ]
  spread = layout.spread(jnp.stack(means))
  centred = [rows - spread[i] for i, rows in enumerate(quantities)]
  squares = layout.means(jnp.concatenate(centred) ** 2)
  return means, [jnp.mean(part, axis=0) for part in jnp.split(squares, ends)]


def _log_shapes(layout: joined.Joined, dtype: jnp.dtype) -> list[jax.Array]:
  shapes = []
  for shape in layout.shapes.values():
    merged = (*shape[: _MAX_RANK - 1], np.prod(shape[_MAX_RANK - 1 :]))
    shapes.append([*merged, *[1] * (_MAX_RANK - len(merged))])
  return list(jnp.asarray(np.log(np.asarray(shapes).T) - 1.0, dtype))


def _of_loss(value: jax.Array, state: RecurrentState) -> list[jax.Array]:
  """The training loss, and the validation loss, of which there is none."""
  mean, variance = state.loss
  steps = (state.step + 1).astype(mean.dtype)
  correction = 1.0 / (1.0 - _LOSS_DECAY**steps + 1e-8)
  scale = jax.lax.rsqrt(correction * variance + 1e-8)
  return [
    jnp.clip((loss - correction * mean) * scale, -5.0, 5.0)
    for loss in (value, jnp.zeros_like(value))
  ]


def _safe_sqrt(x: jax.Array) -> jax.Array:
  """Its slope at zero, where biases often start, is zero and not infinite."""
  positive = x > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)
