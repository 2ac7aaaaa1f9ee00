# SPDX-License-Identifier: Apache-2.0
"""Names activation functions by their values on a grid.

Programs hold no dependable names of activation functions (gelu is taken apart,
relu is a call to a maximum), so each elementwise piece is evaluated, in numpy,
on a grid and compared with the functions that a spec can name.
"""

from collections.abc import Callable, Mapping
import math
from typing import Any

import jax
import numpy as np

GRID = np.linspace(-9.03, 9.0, 361)
_TOLERANCE = 1e-5
# Networks in 16 bits hold the constants of a gelu to three digits.
_NAMED_TOLERANCE = 3e-4
_erf = np.vectorize(math.erf, otypes=[float])


def _convert(x: np.ndarray, *, new_dtype: Any, **_: Any) -> np.ndarray:
  # Floats of any width stay float64: the grid knows no rounding.
  kind = np.dtype(new_dtype).kind if new_dtype != 'bfloat16' else 'f'
  return x.astype({'b': bool, 'i': np.int64, 'u': np.int64}.get(kind, float))


def _select(which: np.ndarray, *cases: np.ndarray, **_: Any) -> np.ndarray:
  return np.choose(which.astype(int), np.broadcast_arrays(*cases))


def _round(x: np.ndarray, *, rounding_method: Any, **_: Any) -> np.ndarray:
  if rounding_method == jax.lax.RoundingMethod.TO_NEAREST_EVEN:
    return np.round(x)
  return np.sign(x) * np.floor(np.abs(x) + 0.5)


def _plain(fn: Callable[..., Any]) -> Callable[..., Any]:
  return lambda *values, **_: fn(*values)


_IDENTITIES = ('copy', 'copy_p', 'stop_gradient', 'reduce_precision')
# Elementwise primitives: (arrays, static arguments) -> array.
FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
  **{name: _plain(lambda x: x) for name in _IDENTITIES},
  **{
    name: _plain(getattr(np, name))
    for name in (
      'abs', 'ceil', 'cos', 'cosh', 'exp', 'exp2', 'expm1', 'floor', 'log',
      'log1p', 'sign', 'sin', 'sinh', 'sqrt', 'square', 'tan', 'tanh', 'power',
    )
  },
  'acos': _plain(np.arccos),
  'acosh': _plain(np.arccosh),
  'add': _plain(np.add),
  'add_any': _plain(np.add),
  'and': _plain(np.bitwise_and),
  'asin': _plain(np.arcsin),
  'asinh': _plain(np.arcsinh),
  'atan': _plain(np.arctan),
  'atan2': _plain(np.arctan2),
  'atanh': _plain(np.arctanh),
  'cbrt': _plain(np.cbrt),
  'clamp': _plain(lambda low, x, high: np.clip(x, low, high)),
  'convert_element_type': _convert,
  'div': _plain(np.divide),
  'eq': _plain(np.equal),
  'erf': _plain(_erf),
  'erfc': _plain(lambda x: 1.0 - _erf(x)),
  'ge': _plain(np.greater_equal),
  'gt': _plain(np.greater),
  'integer_pow': lambda x, *, y, **_: np.asarray(x, float) ** y,
  'is_finite': _plain(np.isfinite),
  'le': _plain(np.less_equal),
  'logistic': _plain(lambda x: 1.0 / (1.0 + np.exp(-x))),
  'lt': _plain(np.less),
  'max': _plain(np.maximum),
  'min': _plain(np.minimum),
  'mul': _plain(np.multiply),
  'ne': _plain(np.not_equal),
  'neg': _plain(np.negative),
  'not': _plain(np.invert),
  'or': _plain(np.bitwise_or),
  'pow': _plain(lambda x, y: np.power(np.asarray(x, float), y)),
  'rem': _plain(np.fmod),
  'round': _round,
  'rsqrt': _plain(lambda x: 1.0 / np.sqrt(x)),
  'select_n': _select,
  'sub': _plain(np.subtract),
  'xor': _plain(np.bitwise_xor),
}  # fmt: skip


def _relu(u: np.ndarray) -> np.ndarray:
  return np.maximum(u, 0.0)


def _sigmoid(u: np.ndarray) -> np.ndarray:
  return 1.0 / (1.0 + np.exp(-u))


def _gelu_tanh(u: np.ndarray) -> np.ndarray:
  return 0.5 * u * (1 + np.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)))


# What a spec can name; a piece may be any of these, scaled and shifted.
_NAMED: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
  ('relu', _relu),
  ('gelu', lambda u: 0.5 * u * (1.0 + _erf(u / math.sqrt(2.0)))),
  ('gelu', _gelu_tanh),
  ('silu', lambda u: u * _sigmoid(u)),
  ('tanh', np.tanh),
  ('sigmoid', _sigmoid),
  ('elu', lambda u: np.where(u > 0, u, np.expm1(np.minimum(u, 0.0)))),
  ('softplus', lambda u: np.logaddexp(u, 0.0)),
)


def evaluate(
  name: str, params: Mapping[str, Any], values: list[np.ndarray]
) -> np.ndarray:
  """Evaluates an elementwise primitive on the grid.

  Args:
    name: of the primitive, a key of `FUNCTIONS`.
    params: its static arguments.
    values: operands, [len(GRID)] or scalars.

  Returns:
    [len(GRID)]; may hold infinities. Jit: static.
  """
  with np.errstate(all='ignore'):
    return np.asarray(FUNCTIONS[name](*map(np.asarray, values), **params))


def is_affine(curve: np.ndarray) -> bool:
  """Whether the values are a scaled and shifted grid. Jit: static."""
  return _fits(curve, GRID)


def classify(curve: np.ndarray) -> str:
  """Names an elementwise piece.

  Args:
    curve: [len(GRID)] its values on the grid.

  Returns:
    One of `specs.ACTIVATIONS`; 'none' if it only scales and shifts, 'other' if
    nothing fits. Scales and shifts around a function do not count, nor do the
    frequency and phase of a sine or the slope of a leaky relu. Jit: static.
  """
  if curve.dtype == bool or not np.all(np.isfinite(curve)):
    return 'other'
  if is_affine(curve):
    return 'none'
  for name, function in _NAMED:
    if _fits(curve, function(GRID), tolerance=_NAMED_TOLERANCE):
      return name
  if _fits(curve, _relu(GRID), -_relu(-GRID)):
    rising, falling = curve[-1] - curve[-2], curve[1] - curve[0]
    return 'leaky_relu' if 0 < falling / rising < 1 else 'other'
  return 'sine' if _is_sine(curve) else 'other'


def _is_sine(curve: np.ndarray) -> bool:
  """Whether f(u - h) + f(u + h) = 2 cos(w h) f(u) + shift, for any w."""
  sums = curve[:-2] + curve[2:]
  design = np.stack([curve[1:-1], np.ones(len(curve) - 2)], axis=1)
  found, *_ = np.linalg.lstsq(design, sums, rcond=None)
  error = np.max(np.abs(design @ found - sums))
  return bool(abs(found[0]) < 2 and error <= _TOLERANCE * np.ptp(curve))


def _fits(
  curve: np.ndarray, *functions: np.ndarray, tolerance: float = _TOLERANCE
) -> bool:
  """Whether the curve is a combination of functions and a constant."""
  design = np.stack([*functions, np.ones_like(GRID)], axis=1)
  with np.errstate(all='ignore'):
    found, *_ = np.linalg.lstsq(design, curve, rcond=None)
    error = np.max(np.abs(design @ found - curve))
  scale = np.ptp(curve)
  return bool(error <= tolerance * max(scale, 1e-30))
