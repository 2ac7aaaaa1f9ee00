# SPDX-License-Identifier: Apache-2.0
"""What a learned optimizer of the paper sees of each parameter: 14 numbers.

The parameter, its gradient and five sums of past gradients (momenta), each as
two numbers by the log-sign map of Andrychowicz et al. (2016).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

# Decays of the sums of past gradients.
DECAYS = (0.5, 0.9, 0.99, 0.999, 0.9999)
# The parameter, its gradient, the sums, two numbers each.
NUM_FEATURES = 2 * (2 + len(DECAYS))
# Logarithms of magnitudes are divided by it; what is below exp(-10) is linear.
LOG_RANGE = 10.0


def log_sign(x: jax.Array) -> jax.Array:
  """Magnitude and sign of a number over many orders of magnitude.

  (ln|x| / p, sign x) where |x| >= exp(-p), else (-1, exp(p) x), with p = 10
  (Andrychowicz et al., 2016, appendix A).

  Args:
    x: float, any shape.

  Returns:
    [2, *x.shape] in x's dtype. Jit: yes; the gradient is finite everywhere.
  """
  magnitude = jnp.abs(x)
  is_large = magnitude >= jnp.exp(jnp.asarray(-LOG_RANGE, x.dtype))
  # The logarithm of what is not chosen must be finite for the gradient's sake.
  logarithm = jnp.log(jnp.where(is_large, magnitude, 1.0)) / LOG_RANGE
  small = jnp.asarray(np.exp(LOG_RANGE), x.dtype) * x
  return jnp.stack(
    [
      jnp.where(is_large, logarithm, -1.0),
      jnp.where(is_large, jnp.sign(x), small),
    ]
  )


def add_gradient(
  momenta: jax.Array, gradient: jax.Array, decays: Sequence[float] = DECAYS
) -> jax.Array:
  """The sums of past gradients after one more: m <- decay m + g.

  They are not normalised: no factor 1 - decay, no correction of the start.

  Args:
    momenta: [num_decays, *shape] float.
    gradient: [*shape] float.
    decays: of the sums.

  Returns:
    [num_decays, *shape]. Jit: yes.
  """
  shape = (len(decays),) + (1,) * gradient.ndim
  return jnp.asarray(decays, momenta.dtype).reshape(shape) * momenta + gradient


def describe(
  param: jax.Array, gradient: jax.Array, momenta: jax.Array
) -> jax.Array:
  """The features of each entry of one array.

  Args:
    param: [*shape] float.
    gradient: [*shape].
    momenta: [num_decays, *shape], this gradient added.

  Returns:
    [2 (2 + num_decays), *shape], the two numbers of each quantity side by side:
    the parameter, the gradient, the momenta in the order of their decays. Jit:
    yes.
  """
  raw = jnp.concatenate([param[None], gradient[None], momenta])
  pairs = log_sign(raw)
  return pairs.swapaxes(0, 1).reshape(2 * raw.shape[0], *param.shape)
