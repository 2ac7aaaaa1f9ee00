# SPDX-License-Identifier: Apache-2.0
"""Elementary operations that XLA does slowly, or not exactly, by itself."""

from ng_jax.numerics.products import add_outer
from ng_jax.numerics.products import computed_once
from ng_jax.numerics.products import linear
from ng_jax.numerics.products import materialize
from ng_jax.numerics.products import max_along
from ng_jax.numerics.products import sum_outer
from ng_jax.numerics.sines import sin_cos
from ng_jax.numerics.sines import sin_cos_turns

__all__ = (
  'add_outer',
  'computed_once',
  'linear',
  'materialize',
  'max_along',
  'sin_cos',
  'sin_cos_turns',
  'sum_outer',
)
