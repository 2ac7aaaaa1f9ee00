# SPDX-License-Identifier: Apache-2.0
"""LSTM of learned_optimization (Metz et al., 2020; l2o spec 2.3, 3.8).

An LSTM with a state per array of the optimizee runs over the steps of training
and tells a small MLP on each parameter what to make of its features. The MLP
answers with the update and with what the LSTM reads of the array next time.
"""

import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp
import optax

from ng_jax.optimizers import base
from ng_jax.optimizers import google_layers
from ng_jax.optimizers import google_recurrent_features as features_lib
from ng_jax.optimizers import joined

# Decays of the averages of gradients and of their squares.
DECAYS = (0.5, 0.9, 0.99, 0.999, 0.9999)
# Widths of what LSTM and MLP tell each other.
_TO_MLP = 17
_FROM_LSTM = 18
_FROM_MLP = 16


class _Start(nn.Module):
  """Learned states before the first step, zero when drawn."""

  lstm_size: int

  @nn.compact
  def __call__(self) -> dict[str, jax.Array]:
    sizes = {
      'output': self.lstm_size,
      'cell': self.lstm_size,
      'from_mlp': _FROM_MLP,
      'from_lstm': _FROM_LSTM,
    }
    zeros = nn.initializers.zeros_init()
    return {name: self.param(name, zeros, (n,)) for name, n in sizes.items()}


class RecurrentNetwork(nn.Module):
  """The LSTM on arrays and the MLP on parameters.

  Attributes:
    lstm_size: width of the LSTM.
    hidden_sizes: widths of the MLP's hidden layers.
  """

  lstm_size: int
  hidden_sizes: tuple[int, ...]

  @nn.compact
  def __call__(
    self,
    features: features_lib.Features,
    state: features_lib.RecurrentState,
    spread: tuple[int, ...],
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Computes directions and magnitudes.

    Args:
      features: of this step.
      state: of the last step.
      spread: sizes of the arrays.

    Returns:
      [2 + 16, num_params] of the MLP, and 'output', 'cell' and 'from_lstm' of
      the next state. Jit: yes.
    """
    output, cell = self._lstm(features.of_lstm, state.output, state.cell)
    kernel, bias = google_layers.LinearParams(_FROM_LSTM, name='from_lstm')(
      self.lstm_size
    )
    # The map is linear, so it may follow the mean.
    from_lstm = jnp.mean(output, axis=0) @ kernel + bias
    kernel, bias = google_layers.LinearParams(_TO_MLP, name='to_mlp')(
      self.lstm_size
    )
    of_arrays = [features.of_arrays, output @ kernel + bias]
    answer = google_layers.ColumnMlp(
      (*self.hidden_sizes, 2 + _FROM_MLP), name='mlp'
    )(
      features.of_params,
      features.of_step,
      (jnp.concatenate(of_arrays, axis=1),),
      spread,
    )
    return answer, {'output': output, 'cell': cell, 'from_lstm': from_lstm}

  def _lstm(
    self, inputs: jax.Array, output: jax.Array, cell: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """One step of [num_arrays, size] states; the forget gate starts open."""
    joint = jnp.concatenate([inputs, output], axis=1)
    kernel, bias = google_layers.LinearParams(4 * self.lstm_size, name='lstm')(
      joint.shape[1]
    )
    gates = joint @ kernel + bias
    entry, candidate, forget, leave = jnp.split(gates, 4, axis=1)
    cell = nn.sigmoid(forget + 1.0) * cell
    cell = cell + nn.sigmoid(entry) * jnp.tanh(candidate)
    return nn.sigmoid(leave) * jnp.tanh(cell), cell


@dataclasses.dataclass(frozen=True)
class GoogleRecurrent(base.LearnedOptimizer):
  """The LSTM of learned_optimization; it reads the loss.

  Validation losses, which the original can also read, are not given to optax:
  its feature for them is what it is there without any.

  Attributes: that of `LearnedOptimizer`, not used, and
    decays: of the averages.
    lstm_size: width of the LSTM.
    hidden_sizes: widths of the MLP's hidden layers.
    step_scale: of the update -step_scale a exp(exponent_scale b).
    exponent_scale: likewise.
    max_exponent: bound of |exponent_scale b|, or None.
  """

  decays: tuple[float, ...] = DECAYS
  lstm_size: int = 64
  hidden_sizes: tuple[int, ...] = (32, 32)
  step_scale: float = 0.001
  exponent_scale: float = 0.001
  max_exponent: float | None = None

  def _network(self) -> RecurrentNetwork:
    return RecurrentNetwork(self.lstm_size, self.hidden_sizes)

  def init(self, key: jax.Array) -> base.Theta:
    params = {'x': jnp.zeros(1)}
    start = _Start(self.lstm_size).init(key)['params']
    state = self.init_state({'start': start}, params)
    features = features_lib.compute(
      joined.Joined(params), params['x'], params['x'], jnp.zeros(()), state
    )
    network = self._network().init(key, features, state, (1,))['params']
    return optax.tree.cast({**network, 'start': start}, jnp.float32)

  def init_state(
    self, theta: base.Theta, params: dict[str, jax.Array]
  ) -> features_lib.RecurrentState:
    layout = joined.Joined(params)
    row = layout.join(params)
    averages = jnp.zeros((len(self.decays), *row.shape), row.dtype)
    repeated = {
      name: jnp.broadcast_to(
        vector.astype(row.dtype), (layout.num_arrays, *vector.shape)
      )
      for name, vector in theta['start'].items()
    }
    repeated['from_lstm'] = theta['start']['from_lstm'].astype(row.dtype)
    return features_lib.RecurrentState(
      step=jnp.zeros((), jnp.int32),
      averages=averages,
      squares=averages,
      loss=jnp.zeros(2, row.dtype),
      clip=jnp.asarray(features_lib.FIRST_CLIP, row.dtype),
      **repeated,
    )

  def update(
    self,
    theta: base.Theta,
    gradients: dict[str, jax.Array],
    state: features_lib.RecurrentState,
    params: dict[str, jax.Array],
    value: jax.Array | None,
  ) -> tuple[dict[str, jax.Array], features_lib.RecurrentState]:
    if value is None or jnp.shape(value) != ():
      raise ValueError(
        'google_lstm reads the loss, so value must be a scalar, got '
        f'{None if value is None else jnp.shape(value)}; call update(gradients,'
        ' state, params, value=loss).'
      )
    layout = joined.Joined(params)
    row = layout.join(params)
    value = jnp.asarray(value, row.dtype)
    gradient, state = features_lib.accumulate(
      layout, layout.join(gradients), value, state, self.decays
    )
    features = features_lib.compute(layout, row, gradient, value, state)
    network = {k: v for k, v in theta.items() if k != 'start'}
    answer, following = self._network().apply(
      {'params': network}, features, state, tuple(layout.sizes)
    )
    steps = google_layers.make_step(
      answer[0],
      answer[1],
      self.step_scale,
      self.exponent_scale,
      self.max_exponent,
    )
    following['from_mlp'] = layout.means(answer[2:]).T
    # A wider theta must not widen the state.
    kept = {name: x.astype(row.dtype) for name, x in following.items()}
    return layout.split(steps), state._replace(step=state.step + 1, **kept)
