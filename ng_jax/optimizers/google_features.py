# SPDX-License-Identifier: Apache-2.0
"""What the optimizers of learned_optimization see of each parameter.

Moving averages of gradients, here with factor 1 - decay, and the number of the
step on eleven scales of time. Rows are features, columns are parameters, see
`joined.Joined`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

# Steps; from one to 100,000.
TIME_SCALES = tuple(
  float(digit * 10**power) for power in range(5) for digit in (1, 3)
) + (1e5,)


def average(
  averages: jax.Array, values: jax.Array, decays: Sequence[float]
) -> jax.Array:
  """Exponential moving averages after one more value, not corrected at first.

  Args:
    averages: [num_decays, num_params] float.
    values: [num_params] float.
    decays: of the averages.

  Returns:
    [num_decays, num_params]: m <- decay m + (1 - decay) value. Jit: yes.
  """
  decay = np.asarray(decays)[:, None]
  old = jnp.asarray(decay, averages.dtype)
  return old * averages + jnp.asarray(1.0 - decay, averages.dtype) * values


def tanh_of_step(step: jax.Array, dtype: jnp.dtype) -> jax.Array:
  """tanh(t / tau - 1) for each time scale tau (Metz et al., 2019).

  Args:
    step: [] int, steps made before this one.
    dtype: of the result.

  Returns:
    [11]. Jit: yes.
  """
  return jnp.tanh(step.astype(dtype) / jnp.asarray(TIME_SCALES, dtype) - 1.0)


def sine_of_step(step: jax.Array, dtype: jnp.dtype) -> jax.Array:
  """sin(t / (pi tau)) for each time scale tau (Metz et al., 2020).

  Args:
    step: [] int, steps made before this one.
    dtype: of the result.

  Returns:
    [11]. Jit: yes.
  """
  scales = jnp.asarray(np.pi * np.asarray(TIME_SCALES), dtype)
  return jnp.sin(step.astype(dtype) / scales)


def clipped_log(x: jax.Array) -> jax.Array:
  """ln(|x| + 1e-8), at most 5 from zero.

  Args:
    x: float, any shape.

  Returns:
    The same shape. Jit: yes.
  """
  return jnp.clip(jnp.log(1e-8 + jnp.abs(x)), -5.0, 5.0)
