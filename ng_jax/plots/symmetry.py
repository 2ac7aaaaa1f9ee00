# SPDX-License-Identifier: Apache-2.0
"""How far models are from being equivariant, in units of rounding."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ng_jax.plots import canvas

_FLOOR = 1e-18  # Where differences of exactly zero are drawn.


def equivariance_errors(
  errors: Mapping[str, Sequence[float] | np.ndarray], *, title: str = ''
) -> Any:
  """Draws how much functions notice hidden permutations.

  Args:
    errors: {name: [num_draws] float}, for each function and each permutation
      the largest difference between f(permuted weights) and, permuted where the
      function is to be equivariant, f(weights), divided by the largest value.
    title: above the figure.

  Returns:
    A matplotlib Figure: a row for each function, a point for each draw, a bar
    at the median, on a logarithmic scale; dotted lines mark the rounding of
    float32 and of float64. Jit: no.

  Raises:
    ValueError: negative or non-finite errors, or a function without any.
  """
  rows = {name: _check(name, values) for name, values in errors.items()}
  figure = canvas.new_figure((6.6, 1.3 + 0.42 * len(rows)))
  panel = figure.subplots()
  generator = np.random.default_rng(0)
  for i, values in enumerate(rows.values()):
    spread = generator.uniform(-0.18, 0.18, values.size)
    shown = np.maximum(values, _FLOOR)
    panel.plot(
      shown, i + spread, 'o', color=canvas.BLUE, ms=4, alpha=0.5, mew=0
    )
    panel.plot(np.median(shown), i, '|', color=canvas.ORANGE, ms=17, mew=2.5)
  panel.set_xscale('log')
  panel.set_yticks(range(len(rows)), list(rows))
  panel.set_ylim(len(rows) - 0.5, -0.5)
  panel.set_xlabel('difference under a hidden permutation, relative')
  canvas.tidy(panel)
  _mark_rounding(panel, zeros=any(np.any(v == 0) for v in rows.values()))
  if title:
    figure.suptitle(title)
  return figure


def _check(name: str, values: Sequence[float] | np.ndarray) -> np.ndarray:
  array = np.asarray(values, np.float64).reshape(-1)
  if not array.size or not np.all(np.isfinite(array)) or np.any(array < 0):
    raise ValueError(
      f'errors of {name!r} must be one or more finite numbers that are not '
      f'negative, got {array[:5].tolist()}.'
    )
  return array


def _mark_rounding(panel: Any, *, zeros: bool) -> None:
  """Marks the spacing of floating point numbers, and where zero is drawn."""
  marks = {
    'float32': float(np.finfo(np.float32).eps),
    'float64': float(np.finfo(np.float64).eps),
  }
  if zeros:
    marks['exactly 0'] = _FLOOR
  low, high = panel.get_xlim()
  panel.set_xlim(min([low, *(x / 4 for x in marks.values())]), max(high, 1.0))
  for name, value in marks.items():
    panel.axvline(value, color=canvas.GREY, linestyle=':', linewidth=1)
    panel.annotate(
      name,
      (value, 1.0),
      xycoords=('data', 'axes fraction'),
      xytext=(0, 3),
      textcoords='offset points',
      ha='center',
      fontsize=8,
      color=canvas.GREY,
    )
