# SPDX-License-Identifier: Apache-2.0
"""Predictions against the truth: confusion matrix and scatter."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ng_jax.plots import canvas


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
  figure = canvas.new_figure((size + 0.8, size))
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
  figure = canvas.new_figure((4.6, 4.6))
  panel = figure.subplots()
  panel.plot((0, 1), (0, 1), color=canvas.GREY, linestyle=':', linewidth=1)
  panel.scatter(
    targets, predictions, s=9, color=canvas.BLUE, alpha=0.5, linewidths=0
  )
  low = float(min(np.min(targets), np.min(predictions))) - 0.02
  high = float(max(np.max(targets), np.max(predictions))) + 0.02
  panel.set(xlim=(low, high), ylim=(low, high), aspect='equal')
  panel.set_xlabel('true test accuracy')
  panel.set_ylabel('predicted test accuracy')
  panel.set_title(title, fontsize=9)
  return figure
