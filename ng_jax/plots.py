# SPDX-License-Identifier: Apache-2.0
"""Figures of a run: learning curves, confusion matrix, rows of pictures.

Needs matplotlib (extra `demo`), imported when a figure is made. Figures are
made without pyplot, so nothing opens a window or changes a global setting.
Colours are from the palette of Okabe and Ito, told apart by colour-blind
readers, and lines differ in style as well.
"""

from collections.abc import Mapping, Sequence
import pathlib
from typing import Any

import numpy as np

_BLUE = '#0072B2'
_ORANGE = '#D55E00'
_GREY = '#666666'
# (name in metrics.jsonl, label, colour, line style)
_CURVES = (
  ('train', 'training batches', _BLUE, '-'),
  ('validation', 'validation', _ORANGE, '--'),
)


def learning_curves(
  lines: Sequence[Mapping[str, float]],
  *,
  title: str = '',
  quantity: str = 'accuracy',
) -> Any:
  """Draws loss and accuracy, or another quantity, over steps.

  Args:
    lines: of metrics.jsonl: 'step' and any of 'train_loss',
      'train_accuracy', 'validation_loss', 'validation_accuracy',
      'test_accuracy' and 'best_step'.
    title: above the figure.
    quantity: in place of 'accuracy' in these names, at most 1.

  Returns:
    A matplotlib Figure with two panels. Jit: no.
  """
  figure = new_figure((9.0, 3.6))
  panels = figure.subplots(1, 2)
  for panel, name in zip(panels, ('loss', quantity), strict=True):
    _draw_curves(panel, lines, [f'{prefix}_{name}' for prefix, *_ in _CURVES])
  panels[0].set_ylabel('cross-entropy (nats)')
  panels[0].set_ylim(bottom=0)
  panels[1].set_ylabel(quantity)
  panels[1].set_ylim(top=1.02)
  if quantity == 'accuracy':
    panels[1].set_ylim(bottom=0)
  _mark_test(panels[1], lines, f'test_{quantity}')
  panels[1].legend(frameon=False, loc='lower right')
  if title:
    figure.suptitle(title)
  return figure


def error_curves(
  lines: Sequence[Mapping[str, float]], *, title: str = ''
) -> Any:
  """Draws the squared error of edits over steps, on a logarithmic scale.

  Args:
    lines: of metrics.jsonl: 'step' and any of 'train_loss', 'validation_mse',
      'test_mse', 'no_edit_mse' and 'best_step'.
    title: above the figure.

  Returns:
    A matplotlib Figure with one panel. Jit: no.
  """
  figure = new_figure((5.4, 3.6))
  panel = figure.subplots()
  _draw_curves(panel, lines, ('train_loss', 'validation_mse'))
  _mark_test(panel, lines, 'test_mse')
  before = [x['no_edit_mse'] for x in lines if 'no_edit_mse' in x]
  if before:
    panel.axhline(
      before[-1],
      color=_GREY,
      linestyle=':',
      label=f'test, no edit {before[-1]:.4f}',
    )
  panel.set_yscale('log')
  panel.set_ylabel('squared error of a pixel (white is 1)')
  panel.legend(frameon=False)
  if title:
    figure.suptitle(title)
  return figure


def confusion_matrix(
  counts: np.ndarray, *, class_names: Sequence[str], title: str = ''
) -> Any:
  """Draws how often each class is taken for each other one.

  Args:
    counts: [num_classes, num_classes] int, rows are labels.
    class_names: num_classes names.
    title: above the figure.

  Returns:
    A matplotlib Figure; a cell holds the count, its shade is the fraction of
    the row. Jit: no.
  """
  num_classes = counts.shape[0]
  fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  size = 2.4 + 0.42 * num_classes
  figure = new_figure((size + 0.8, size))
  panel = figure.subplots()
  shades = panel.imshow(fractions, cmap='Blues', vmin=0, vmax=1)
  for row in range(num_classes):
    for column in range(num_classes):
      if counts[row, column]:
        panel.text(
          column,
          row,
          str(counts[row, column]),
          ha='center',
          va='center',
          fontsize=8,
          color='white' if fractions[row, column] > 0.5 else 'black',
        )
  turn = 0 if max(map(len, class_names)) <= 3 else 60
  panel.set_xticks(range(num_classes), class_names, rotation=turn)
  panel.set_yticks(range(num_classes), class_names)
  panel.set_xlabel('prediction')
  panel.set_ylabel('label')
  bar = figure.colorbar(shades, ax=panel, shrink=0.8)
  bar.set_label('fraction of the label')
  if title:
    panel.set_title(title)
  return figure


def scatter(
  targets: np.ndarray, predictions: np.ndarray, *, title: str = ''
) -> Any:
  """Draws predicted against true accuracies.

  Args:
    targets: [num_networks] float in [0, 1].
    predictions: [num_networks] float in [0, 1].
    title: above the figure.

  Returns:
    A matplotlib Figure, with a line where both are equal. Jit: no.
  """
  figure = new_figure((4.6, 4.6))
  panel = figure.subplots()
  panel.plot((0, 1), (0, 1), color=_GREY, linestyle=':', linewidth=1)
  panel.scatter(targets, predictions, s=9, color=_BLUE, alpha=0.5, linewidths=0)
  low = float(min(np.min(targets), np.min(predictions))) - 0.02
  high = float(max(np.max(targets), np.max(predictions))) + 0.02
  panel.set(xlim=(low, high), ylim=(low, high), aspect='equal')
  panel.set_xlabel('true test accuracy')
  panel.set_ylabel('predicted test accuracy')
  panel.set_title(title, fontsize=9)
  return figure


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
  figure = new_figure((0.6 + 1.0 * len(titles), 0.8 + 1.1 * len(rows)))
  panels = figure.subplots(len(rows), len(titles), squeeze=False)
  for i, (name, stack) in enumerate(rows.items()):
    for panel, picture in zip(panels[i], stack, strict=True):
      picture = np.clip(picture, 0.0, 1.0)
      if picture.shape[-1] == 1:
        picture = picture[..., 0]
      panel.imshow(
        picture, cmap='gray', vmin=0, vmax=1, interpolation='nearest'
      )
      panel.set_xticks([])
      panel.set_yticks([])
    panels[i, 0].set_ylabel(name)
  for panel, text in zip(panels[0], titles, strict=True):
    panel.set_title(text, fontsize=8)
  if title:
    figure.suptitle(title, color=_GREY, fontsize=10)
  return figure


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


def _draw_curves(
  panel: Any, lines: Sequence[Mapping[str, float]], names: Sequence[str]
) -> None:
  """Draws the metrics of training and of validation that the lines have."""
  for name, (_, label, colour, style) in zip(names, _CURVES, strict=True):
    points = [(x['step'], x[name]) for x in lines if name in x]
    if points:
      panel.plot(
        *zip(*points, strict=True),
        color=colour,
        linestyle=style,
        marker='o' if len(points) < 30 else None,
        markersize=3,
        label=label,
      )
  panel.set_xlabel('optimizer step')
  panel.grid(color='#dddddd', linewidth=0.6)
  panel.spines[['top', 'right']].set_visible(False)
  panel.set_xlim(left=0)


def _mark_test(
  panel: Any, lines: Sequence[Mapping[str, float]], name: str
) -> None:
  """Marks the test metric with a star at the step that was selected."""
  final = [x for x in lines if name in x]
  if final:
    panel.plot(
      final[-1].get('best_step', final[-1]['step']),
      final[-1][name],
      color='black',
      linestyle='none',
      marker='*',
      markersize=10,
      label=f'test {final[-1][name]:.{3 if name == "test_accuracy" else 4}f}',
    )


def new_figure(size: tuple[float, float]) -> Any:
  """Makes an empty matplotlib Figure, without pyplot.

  Args:
    size: (width, height) in inches.

  Returns:
    The figure. Jit: no.
  """
  from matplotlib import figure

  return figure.Figure(figsize=size, layout='constrained')
