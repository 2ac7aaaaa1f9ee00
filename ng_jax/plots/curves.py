# SPDX-License-Identifier: Apache-2.0
"""Learning curves: metrics over optimizer steps, of one run or of seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from ng_jax.plots import canvas

# (name in metrics.jsonl, label, colour, line style)
_CURVES = (
  ('train', 'training batches', canvas.BLUE, '-'),
  ('validation', 'validation', canvas.ORANGE, '--'),
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
  figure = canvas.new_figure((9.0, 3.6))
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
  panels[1].legend(frameon=False)
  if title:
    figure.suptitle(title)
  return figure


def error_curves(
  lines: Sequence[Mapping[str, float]], *, title: str = ''
) -> Any:
  """Draws 100 x the squared error of edits over steps, logarithmically.

  Args:
    lines: of metrics.jsonl: 'step' and any of 'train_loss', 'validation_mse',
      'test_mse', 'no_edit_mse' and 'best_step'.
    title: above the figure.

  Returns:
    A matplotlib Figure with one panel. Jit: no.
  """
  figure = canvas.new_figure((5.4, 3.6))
  panel = figure.subplots()
  names = ('train_loss', 'validation_mse', 'test_mse', 'no_edit_mse')
  lines = [
    {name: x * 100 if name in names else x for name, x in line.items()}
    for line in lines
  ]
  _draw_curves(panel, lines, names[:2])
  _mark_test(panel, lines, 'test_mse', digits=2)
  before = [x['no_edit_mse'] for x in lines if 'no_edit_mse' in x]
  if before:
    panel.axhline(
      before[-1],
      color=canvas.GREY,
      linestyle=':',
      label=f'test, no edit {before[-1]:.2f}',
    )
  panel.set_yscale('log')
  canvas.plain_numbers(panel)
  panel.set_ylabel('squared error of a pixel x 100 (white is 1)')
  panel.legend(frameon=False)
  if title:
    figure.suptitle(title)
  return figure


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
  canvas.tidy(panel)
  canvas.whole_numbers(panel)
  panel.set_xlim(left=0)


def _mark_test(
  panel: Any,
  lines: Sequence[Mapping[str, float]],
  name: str,
  digits: int | None = None,
) -> None:
  """Marks the test metric with a star at the step that was selected."""
  final = [x for x in lines if name in x]
  if digits is None:
    digits = 3 if name == 'test_accuracy' else 4
  if final:
    panel.plot(
      final[-1].get('best_step', final[-1]['step']),
      final[-1][name],
      color='black',
      linestyle='none',
      marker='*',
      markersize=10,
      label=f'test {final[-1][name]:.{digits}f}',
    )
