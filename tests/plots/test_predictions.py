# SPDX-License-Identifier: Apache-2.0
"""Predictions against the truth."""

import numpy as np

from ng_jax import plots


def test_confusion_matrix_shows_the_counts():
  figure = plots.confusion_matrix(
    np.array([[7, 1], [0, 5]]), class_names=('cat', 'dog'), title='test'
  )
  assert {text.get_text() for text in figure.axes[0].texts} == {'7', '1', '5'}


def test_scatter_shows_every_network():
  targets, predictions = np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.5, 0.7])
  (panel,) = plots.scatter(targets, predictions, title='tau').axes
  (points,) = panel.collections
  np.testing.assert_allclose(
    points.get_offsets(), np.stack([targets, predictions], axis=1)
  )
