# SPDX-License-Identifier: Apache-2.0
"""Dots with error bars: one line for each method of a table."""

from collections.abc import Sequence
import dataclasses
from typing import Any

from ng_jax.plots import canvas

_BELOW = 0.25  # Of the distance of two lines.


@dataclasses.dataclass(frozen=True)
class Dot:
  """A line of the figure.

  Attributes:
    label: at its left.
    mean: where the dot is.
    deviation: half the length of its bar; 0 for none.
    values: of the single seeds, drawn as small crosses below the dot.
    is_faint: whether it is drawn in grey, as what is not to be compared.
  """

  label: str
  mean: float
  deviation: float = 0.0
  values: Sequence[float] = ()
  is_faint: bool = False


def dots(
  lines: Sequence[Dot], *, title: str = '', xlabel: str = '', note: str = ''
) -> Any:
  """Draws dots with error bars, the first line at the top.

  Args:
    lines: at least one.
    title: above the figure.
    xlabel: of the axis.
    note: below it, in grey; says what bars and crosses are.

  Returns:
    A matplotlib Figure, wider for long labels. Jit: no.

  Raises:
    ValueError: no lines.
  """
  if not lines:
    raise ValueError('lines must hold at least one dot, got none; add one.')
  # Labels and panel side by side, in inches.
  width = 4.4 + 0.075 * max(len(line.label) for line in lines)
  size = (max(width, 7.0), 1.4 + 0.32 * len(lines))
  figure = canvas.new_figure(size)
  panel = figure.subplots()
  for height, line in enumerate(lines):
    colour = canvas.GREY if line.is_faint else canvas.BLUE
    panel.plot(
      line.values,
      [height + _BELOW] * len(line.values),
      color=canvas.ORANGE,
      linestyle='none',
      marker='x',
      markersize=4,
    )
    panel.errorbar(
      line.mean,
      height,
      xerr=line.deviation or None,
      color=colour,
      marker='o',
      markerfacecolor='none' if line.is_faint else colour,
      capsize=3,
    )
  panel.set_yticks(range(len(lines)), [line.label for line in lines])
  panel.set_xlabel(xlabel)
  canvas.tidy(panel)
  panel.set_ylim(len(lines) - 0.4, -0.6)
  if title:
    figure.suptitle(title)
  if note:
    figure.supxlabel(note, color=canvas.GREY, fontsize=9)
  return figure
