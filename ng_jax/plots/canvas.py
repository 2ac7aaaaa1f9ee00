# SPDX-License-Identifier: Apache-2.0
"""Where figures are drawn, their colours, and how they are saved.

Figures are made without pyplot, so nothing opens a window or changes a global
setting. Colours are from the palette of Okabe and Ito, told apart by
colour-blind readers.
"""

import pathlib
from typing import Any

import numpy as np

BLUE = '#0072B2'
ORANGE = '#D55E00'
GREY = '#666666'
# In the order in which lines of one panel take them.
CYCLE = (BLUE, ORANGE, '#009E73', '#CC79A7', '#56B4E9', '#E69F00', 'black')
GRID = '#dddddd'


def new_figure(size: tuple[float, float]) -> Any:
  """Makes an empty matplotlib Figure.

  Args:
    size: (width, height) in inches.

  Returns:
    A Figure whose panels make room for their labels. Jit: no.
  """
  from matplotlib import figure

  return figure.Figure(figsize=size, layout='constrained')


def diverging_map() -> Any:
  """The colours of signed values: blue below zero, orange above, grey at zero.

  Returns:
    A matplotlib Colormap. Jit: no.
  """
  from matplotlib import colors

  return colors.LinearSegmentedColormap.from_list(
    'blue_grey_orange',
    ('#00436b', BLUE, '#9cc4dc', '#e4e4e4', '#efb48c', ORANGE, '#7f3500'),
  )


def tidy(panel: Any) -> None:
  """Draws a light grid and takes away the frame's top and right.

  Args:
    panel: matplotlib Axes, changed here.
  """
  panel.grid(color=GRID, linewidth=0.6)
  panel.set_axisbelow(True)
  panel.spines[['top', 'right']].set_visible(False)


def whole_numbers(panel: Any) -> None:
  """Marks the horizontal axis at whole numbers only.

  Args:
    panel: matplotlib Axes, changed here.
  """
  from matplotlib import ticker

  panel.xaxis.set_major_locator(ticker.MaxNLocator('auto', integer=True))


def plain_numbers(panel: Any) -> None:
  """Writes 20 beside a logarithmic vertical axis, not 2 x 10^1.

  Args:
    panel: matplotlib Axes, changed here.
  """
  from matplotlib import ticker

  panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
  panel.yaxis.set_major_formatter(ticker.FormatStrFormatter('%g'))
  panel.yaxis.set_minor_formatter(ticker.NullFormatter())


def save(figure: Any, path: str | pathlib.Path) -> None:
  """Writes a figure as a picture, under a temporary name first.

  Args:
    figure: of this module.
    path: ends in .png, .pdf or .svg.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.part-{path.name}')
  figure.savefig(temporary, dpi=150)
  temporary.replace(path)


def to_array(figure: Any) -> np.ndarray:
  """Returns the pixels of a figure, [rows, columns, 3] uint8."""
  from matplotlib.backends import backend_agg

  canvas = backend_agg.FigureCanvasAgg(figure)
  canvas.draw()
  return np.asarray(canvas.buffer_rgba())[..., :3].copy()
