# SPDX-License-Identifier: Apache-2.0
"""Pictures that networks represent, in rows: renderings and edits."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ng_jax.plots import canvas

_BAR_WIDTH = 0.9  # Inches.


def renderings(
  images: np.ndarray,
  rendered: np.ndarray,
  *,
  titles: Sequence[str],
  title: str = '',
) -> Any:
  """Draws images and, below each, what its INR represents.

  Args:
    images: [num_images, rows, columns, channels] float in [0, 1], one or
      three channels.
    rendered: the same shape, clipped to [0, 1] here.
    titles: num_images short texts, above the columns.
    title: above the figure.

  Returns:
    A matplotlib Figure. Jit: no.
  """
  return picture_rows(
    {'image': images, 'its INR': rendered}, titles=titles, title=title
  )


def picture_rows(
  rows: Mapping[str, np.ndarray],
  *,
  titles: Sequence[str],
  title: str = '',
) -> Any:
  """Draws rows of pictures, one column an example.

  Args:
    rows: {label: [num_images, rows, columns, channels] float}, from top to
      bottom, one or three channels; clipped to [0, 1] here.
    titles: num_images short texts, above the columns.
    title: above the figure.

  Returns:
    A matplotlib Figure. Jit: no.
  """
  figure, panels = _grid(list(rows), titles, title)
  for row, stack in zip(panels, rows.values(), strict=True):
    for panel, picture in zip(row, stack, strict=True):
      _show(panel, picture)
  return figure


def edit_panels(
  original: np.ndarray,
  target: np.ndarray,
  edited: np.ndarray,
  *,
  title: str = '',
) -> Any:
  """Draws pictures before and after an edit, the target and what is missing.

  Args:
    original: [num_images, rows, columns, channels] float, what the networks
      drew; black is 0 and white is 1, values beyond are cut off.
    target: the same shape, what they should draw.
    edited: the same shape, what the edited networks draw.
    title: above the figure.

  Returns:
    A matplotlib Figure with four rows; in the last one, edited minus target
    (the mean of the channels), orange is too bright and blue too dark. Above
    each column are the mean squared errors x 100 against the target, before and
    after. Jit: no.
  """
  before, after = (
    100 * np.mean((x - target) ** 2, axis=(1, 2, 3)) for x in (original, edited)
  )
  titles = [f'{a:.2f} to {b:.2f}' for a, b in zip(before, after, strict=True)]
  rows = {'original': original, 'target': target, 'edited': edited}
  figure, panels = _grid([*rows, 'difference'], titles, title, _BAR_WIDTH)
  for row, stack in zip(panels, rows.values(), strict=False):
    for panel, picture in zip(row, stack, strict=True):
      _show(panel, picture)
  differences = (edited - target).mean(axis=-1)
  for panel, difference in zip(panels[-1], differences, strict=True):
    shades = panel.imshow(
      difference, cmap=canvas.diverging_map(), vmin=-1, vmax=1
    )
  bar = figure.colorbar(shades, ax=list(panels[-1]), shrink=0.9, aspect=12)
  bar.ax.tick_params(labelsize=7)
  bar.set_label('edited - target', fontsize=7)
  return figure


def _grid(
  names: Sequence[str],
  titles: Sequence[str],
  title: str,
  bar_width: float = 0.0,
) -> tuple[Any, np.ndarray]:
  """An empty panel for each row and column, with their names."""
  width = 0.6 + 1.0 * len(titles) + bar_width
  figure = canvas.new_figure((width, 0.8 + 1.05 * len(names)))
  panels = figure.subplots(len(names), len(titles), squeeze=False)
  for panel in panels.flat:
    panel.set_xticks([])
    panel.set_yticks([])
  for panel, name in zip(panels[:, 0], names, strict=True):
    panel.set_ylabel(name)
  for panel, text in zip(panels[0], titles, strict=True):
    panel.set_title(text, fontsize=8)
  if title:
    figure.suptitle(title, color=canvas.GREY, fontsize=10)
  return figure, panels


def _show(panel: Any, picture: np.ndarray) -> None:
  picture = np.clip(picture, 0.0, 1.0)
  if picture.shape[-1] == 1:
    picture = picture[..., 0]
  panel.imshow(picture, cmap='gray', vmin=0, vmax=1, interpolation='nearest')
