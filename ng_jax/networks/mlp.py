# SPDX-License-Identifier: Apache-2.0
"""Multi-layer perceptrons that are read: init, apply, activations, spec."""

from collections.abc import Callable
import dataclasses
import functools

import jax
import jax.numpy as jnp

from ng_jax import specs

# Activation functions by the name that a spec gives them: array -> array.
ACTIVATION_FUNCTIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
  'none': lambda x: x,
  'relu': jax.nn.relu,
  'gelu': functools.partial(jax.nn.gelu, approximate=False),
  'silu': jax.nn.silu,
  'tanh': jnp.tanh,
  'sigmoid': jax.nn.sigmoid,
  'leaky_relu': functools.partial(jax.nn.leaky_relu, negative_slope=0.01),
  'sine': jnp.sin,
  'elu': jax.nn.elu,
  'softplus': jax.nn.softplus,
}


@dataclasses.dataclass(frozen=True)
class Mlp:
  """A multi-layer perceptron with linear output.

  Attributes:
    layer_sizes: (inputs, hidden widths..., outputs).
    activation: of the hidden layers, a key of `ACTIVATION_FUNCTIONS`.
  """

  layer_sizes: tuple[int, ...]
  activation: str = 'relu'

  def __post_init__(self) -> None:
    if self.activation not in ACTIVATION_FUNCTIONS:
      raise ValueError(
        f'unknown activation {self.activation!r}; expected one of '
        f'{sorted(ACTIVATION_FUNCTIONS)}.'
      )

  @property
  def spec(self) -> specs.NetworkSpec:
    """Spec of the weights."""
    return specs.mlp(self.layer_sizes, self.activation)

  def init(self, key: jax.Array) -> specs.Weights:
    """Draws weights as PyTorch does: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    Args:
      key: typed PRNG key.

    Returns:
      {'layer_l': {'kernel': [n_(l-1), n_l], 'bias': [n_l]}} float32. Jit: yes.
    """
    weights = {}
    for i, (fan_in, size) in enumerate(
      zip(self.layer_sizes[:-1], self.layer_sizes[1:], strict=True)
    ):
      kernel_key, bias_key = jax.random.split(jax.random.fold_in(key, i))
      bound = fan_in**-0.5
      weights[f'layer_{i + 1}'] = {
        'kernel': jax.random.uniform(
          kernel_key, (fan_in, size), minval=-bound, maxval=bound
        ),
        'bias': jax.random.uniform(
          bias_key, (size,), minval=-bound, maxval=bound
        ),
      }
    return weights

  def activations(
    self, weights: specs.Weights, x: jax.Array
  ) -> tuple[jax.Array, ...]:
    """Post-activation values of every neuron set.

    Args:
      weights: leaves [*batch, ...] float.
      x: [*batch or nothing, num_points, n_0] float, network inputs.

    Returns:
      One array [*batch, num_points, n_l] per neuron set l = 0..L; the first is
      `x` itself, the last the output. Jit: yes.
    """
    activate = ACTIVATION_FUNCTIONS[self.activation]
    values = [x]
    for i in range(1, len(self.layer_sizes)):
      layer = weights[f'layer_{i}']
      x = x @ layer['kernel'] + layer['bias'][..., None, :]
      x = activate(x) if i < len(self.layer_sizes) - 1 else x
      values.append(x)
    return tuple(values)

  def apply(self, weights: specs.Weights, x: jax.Array) -> jax.Array:
    """Output of the network.

    Args:
      weights: leaves [*batch, ...] float.
      x: [*batch or nothing, num_points, n_0] float.

    Returns:
      [*batch, num_points, n_L]. Jit: yes.
    """
    return self.activations(weights, x)[-1]
