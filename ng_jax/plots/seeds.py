# SPDX-License-Identifier: Apache-2.0
"""Learning curves of several seeds: the mean, and how far they are apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ng_jax.plots import canvas

_STYLES = ('-', '--', '-.', ':')
_MARKERS = 'osD^vP'
_Run = Sequence[Mapping[str, float]]


def seed_curves(
  runs: Mapping[str, Sequence[_Run]],
  name: str,
  *,
  title: str = '',
  ylabel: str = '',
  logarithmic: bool = False,
) -> Any:
  """Draws a metric over steps, averaged over seeds, with error bars.

  Args:
    runs: {label: one list of lines for each seed}, lines as in metrics.jsonl
      with 'step' and, in some of them, the metric. A run must not have a step
      twice.
    name: of the metric, such as 'validation_accuracy'.
    title: above the figure.
    ylabel: of the vertical axis; the metric's name by default.
    logarithmic: whether the vertical axis is.

  Returns:
    A matplotlib Figure: at each step that all seeds of a label have, the mean
    and one standard deviation (with num_seeds - 1) to both sides; no bars for
    one seed. Jit: no.

  Raises:
    ValueError: seeds of a label that share no step with the metric.
  """
  figure = canvas.new_figure((6.0, 3.8))
  panel = figure.subplots()
  for i, (label, seeds) in enumerate(runs.items()):
    steps, values = _align(label, seeds, name)
    num_seeds = values.shape[0]
    panel.errorbar(
      steps,
      values.mean(axis=0),
      yerr=values.std(axis=0, ddof=1) if num_seeds > 1 else None,
      color=canvas.CYCLE[i % len(canvas.CYCLE)],
      linestyle=_STYLES[i % len(_STYLES)],
      marker=_MARKERS[i % len(_MARKERS)] if steps.size < 40 else None,
      markersize=4,
      capsize=2.5,
      elinewidth=1,
      label=f'{label} ({num_seeds} seed{"s"[: num_seeds > 1]})',
    )
  if logarithmic:
    panel.set_yscale('log')
  panel.set_xlabel('optimizer step')
  panel.set_ylabel(ylabel or name.replace('_', ' '))
  canvas.tidy(panel)
  canvas.whole_numbers(panel)
  panel.legend(frameon=False)
  if title:
    figure.suptitle(title)
  return figure


def _align(
  label: str, seeds: Sequence[_Run], name: str
) -> tuple[np.ndarray, np.ndarray]:
  """Common steps, [num_steps], and values, [num_seeds, num_steps]."""
  points = [{x['step']: x[name] for x in run if name in x} for run in seeds]
  common = set.intersection(*map(set, points)) if points else set()
  if not common:
    raise ValueError(
      f'the seeds of {label!r} must share steps that have {name!r}, got steps '
      f'{[sorted(p)[:5] for p in points]}.'
    )
  steps = sorted(common)
  values = [[found[step] for step in steps] for found in points]
  return np.array(steps), np.array(values, np.float64)
