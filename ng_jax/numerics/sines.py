# SPDX-License-Identifier: Apache-2.0
"""Sine and cosine together, fast in float32.

SIRENs and Fourier features spend most of their time in sines. XLA's CPU sine
is slow and computes one function at a time; here one range reduction to the
nearest quarter turn and two short polynomials give both, vectorised. float64
and 16-bit types keep XLA's functions: the first for accuracy, the others
because they are cheap already.
"""

import jax
import jax.numpy as jnp
import numpy as np

# Least-squares (Chebyshev-node) fits of sin(2 pi r) / r and cos(2 pi r) as
# polynomials in r^2, for r in [-1/8, 1/8]; largest error 9e-8.
_SIN_COEFFICIENTS = (
  6.283185307152424,
  -41.34170215344983,
  81.60520472860921,
  -76.69786814703177,
  41.472890685446295,
)
_COS_COEFFICIENTS = (
  0.9999999999525444,
  -19.739208650244333,
  64.93931617209603,
  -85.44284839830367,
  59.22028814305746,
)
_TURNS_PER_RADIAN = 1.0 / (2.0 * np.pi)


def _horner(u: jax.Array, coefficients: tuple[float, ...]) -> jax.Array:
  result = jnp.full_like(u, coefficients[-1])
  for coefficient in coefficients[-2::-1]:
    result = result * u + coefficient
  return result


def _polynomial_sin_cos_turns(t: jax.Array) -> tuple[jax.Array, jax.Array]:
  quarters = jnp.round(4.0 * t)
  r = t - 0.25 * quarters
  u = r * r
  sine = r * _horner(u, _SIN_COEFFICIENTS)
  cosine = _horner(u, _COS_COEFFICIENTS)
  # The quarter decides which polynomial is which, and the two signs.
  quadrant = quarters.astype(jnp.int32)
  swap = (quadrant & 1) == 1
  sin_sign = (1 - (quadrant & 2)).astype(t.dtype)
  cos_sign = (1 - ((quadrant + 1) & 2)).astype(t.dtype)
  return (
    sin_sign * jnp.where(swap, cosine, sine),
    cos_sign * jnp.where(swap, sine, cosine),
  )


@jax.custom_jvp
def sin_cos_turns(t: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns sin(2 pi t) and cos(2 pi t).

  Args:
    t: any shape, float; angle in turns. In float32 the error is at most 1.5e-7
      for |t| up to about 1e4 (beyond that float32 itself cannot tell turns
      apart); other dtypes use XLA's functions.

  Returns:
    Sine and cosine, each of the shape and dtype of `t`.

  Jit: yes. Differentiable in forward and reverse mode, to any order; the
  reverse pass reuses the values of the forward pass.
  """
  if t.dtype == jnp.float32:
    return _polynomial_sin_cos_turns(t)
  radians = (2.0 * np.pi) * t
  return jnp.sin(radians), jnp.cos(radians)


@sin_cos_turns.defjvp
def _sin_cos_turns_jvp(
  primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
  (t,), (t_dot,) = primals, tangents
  sine, cosine = sin_cos_turns(t)
  radians_dot = (2.0 * np.pi) * t_dot
  return (sine, cosine), (cosine * radians_dot, -sine * radians_dot)


def sin_cos(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns sin(x) and cos(x), for x in radians.

  Args:
    x: any shape, float, radians. float32 is reduced in float32, so the absolute
      error grows as 1.2e-7 |x|, twice what the rounding of x itself makes.

  Returns:
    Sine and cosine, each of the shape and dtype of `x`.

  Jit: yes. Differentiable as `sin_cos_turns`.
  """
  if x.dtype == jnp.float32:
    return sin_cos_turns(x * np.float32(_TURNS_PER_RADIAN))
  return _sin_cos_radians(x)


@jax.custom_jvp
def _sin_cos_radians(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  return jnp.sin(x), jnp.cos(x)


@_sin_cos_radians.defjvp
def _sin_cos_radians_jvp(
  primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
  (x,), (x_dot,) = primals, tangents
  sine, cosine = _sin_cos_radians(x)
  return (sine, cosine), (cosine * x_dot, -sine * x_dot)
