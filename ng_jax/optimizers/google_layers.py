# SPDX-License-Identifier: Apache-2.0
"""Linear layers and the step of the optimizers of learned_optimization."""

from collections.abc import Sequence

from flax import linen as nn
import jax
import jax.numpy as jnp


class LinearParams(nn.Module):
  """Parameters of a linear map whose rows are used in parts.

  Attributes:
    features: output width.
  """

  features: int

  @nn.compact
  def __call__(self, fan_in: int) -> tuple[jax.Array, jax.Array]:
    """Declares them.

    Args:
      fan_in: input width.

    Returns:
      Kernel [fan_in, features], normal with standard deviation
      1 / sqrt(fan_in) cut off at two of them, and bias [features], zero. Jit:
      yes.
    """
    draw = nn.initializers.truncated_normal(fan_in**-0.5)
    kernel = self.param('kernel', draw, (fan_in, self.features))
    bias = self.param('bias', nn.initializers.zeros_init(), (self.features,))
    return kernel, bias


def apply_columns(kernel: jax.Array, columns: jax.Array) -> jax.Array:
  """Product with features in the first axis, W^T x.

  Args:
    kernel: [in, out].
    columns: [in, num_params].

  Returns:
    [out, num_params]. Jit: yes.
  """
  return jnp.einsum('io,ip->op', kernel, columns)


class ColumnMlp(nn.Module):
  """An MLP with ReLU whose first layer reads three kinds of features.

  Attributes:
    sizes: widths of the layers, the output's last.
  """

  sizes: tuple[int, ...]

  @nn.compact
  def __call__(
    self,
    of_params: jax.Array,
    of_step: jax.Array,
    of_arrays: tuple[jax.Array, ...] = (),
    spread: Sequence[int] = (),
  ) -> jax.Array:
    """Applies the layers.

    Args:
      of_params: [num_own, num_params], features of each parameter.
      of_step: [num_shared], features that all parameters share.
      of_arrays: empty, or one [num_arrays, num_of_arrays], those that an
        array's parameters share.
      spread: sizes of the arrays.

    Returns:
      [sizes[-1], num_params]. Jit: yes.
    """
    num_own, num_shared = len(of_params), len(of_step)
    widths = [num_own, num_shared, *(x.shape[1] for x in of_arrays)]
    kernel, bias = LinearParams(self.sizes[0], name='layer_0')(sum(widths))
    # What parameters share is multiplied once.
    shift = bias + of_step @ kernel[num_own : num_own + num_shared]
    hidden = apply_columns(kernel[:num_own], of_params)
    if of_arrays:
      own_shift = of_arrays[0] @ kernel[num_own + num_shared :] + shift
      hidden = hidden + jnp.concatenate(
        [
          jnp.broadcast_to(row[:, None], (self.sizes[0], size))
          for row, size in zip(own_shift, spread, strict=True)
        ],
        axis=1,
      )
    else:
      hidden = hidden + shift[:, None]
    for i, size in enumerate(self.sizes[1:], start=1):
      kernel, bias = LinearParams(size, name=f'layer_{i}')(len(hidden))
      hidden = apply_columns(kernel, nn.relu(hidden)) + bias[:, None]
    return hidden


def make_step(
  direction: jax.Array,
  magnitude: jax.Array,
  step_scale: float,
  exponent_scale: float,
  max_exponent: float | None,
) -> jax.Array:
  """What is added to parameters: -step_scale a exp(exponent_scale b).

  Args:
    direction: a, any shape.
    magnitude: b, likewise.
    step_scale: see above.
    exponent_scale: see above.
    max_exponent: bound of |exponent_scale b|, or None.

  Returns:
    The same shape. Jit: yes.
  """
  exponent = exponent_scale * magnitude
  if max_exponent is not None:
    exponent = jnp.clip(exponent, -max_exponent, max_exponent)
  return -step_scale * direction * jnp.exp(exponent)
