# SPDX-License-Identifier: Apache-2.0
"""Curves of several seeds: mean and standard deviation."""

import numpy as np
import pytest

from ng_jax import plots

_RUNS = {
  'NG-GNN': [
    [{'step': 10, 'accuracy': 0.2}, {'step': 20, 'accuracy': 0.6}],
    [{'step': 10, 'accuracy': 0.4}, {'step': 15, 'loss': 1.0},
     {'step': 20, 'accuracy': 0.8}, {'step': 30, 'accuracy': 0.9}],
  ],
  'NG-T': [[{'step': 10, 'accuracy': 0.5}]],
}  # fmt: skip


def test_mean_and_deviation_over_the_common_steps():
  (panel,) = plots.seed_curves(_RUNS, 'accuracy').axes
  container = panel.containers[0]
  line, _, (bars,) = container
  np.testing.assert_allclose(line.get_xdata(), [10, 20])
  np.testing.assert_allclose(line.get_ydata(), [0.3, 0.7])
  ends = np.array([segment[:, 1] for segment in bars.get_segments()])
  deviation = 0.2 / np.sqrt(2)  # Of two numbers that are 0.2 apart.
  np.testing.assert_allclose(ends[:, 0], [0.3 - deviation, 0.7 - deviation])
  np.testing.assert_allclose(ends[:, 1], [0.3 + deviation, 0.7 + deviation])
  labels = [text.get_text() for text in panel.get_legend().get_texts()]
  assert labels == ['NG-GNN (2 seeds)', 'NG-T (1 seed)']


def test_seeds_without_a_common_step_are_refused():
  runs = {'NG-T': [[{'step': 1, 'loss': 1.0}], [{'step': 2, 'loss': 1.0}]]}
  with pytest.raises(ValueError, match="seeds of 'NG-T' must share steps"):
    plots.seed_curves(runs, 'loss')
