# SPDX-License-Identifier: Apache-2.0
"""Learning curves hold what they should."""

from ng_jax import plots

LINES = [
  {'step': 10, 'train_loss': 2.0, 'train_accuracy': 0.3},
  {'step': 20, 'train_loss': 1.0, 'validation_accuracy': 0.5},
  {'step': 20, 'test_accuracy': 0.6, 'best_step': 20},
]


def test_learning_curves_label_what_they_show():
  figure = plots.learning_curves(LINES, title='a run')
  loss, accuracy = figure.axes
  assert loss.get_ylabel() == 'cross-entropy (nats)'
  labels = [text.get_text() for text in accuracy.get_legend().get_texts()]
  assert labels == ['training batches', 'validation', 'test 0.600']


def test_error_curves_show_what_no_edit_costs():
  lines = [
    {'step': 10, 'train_loss': 0.2},
    {'step': 20, 'train_loss': 0.1, 'validation_mse': 0.15},
    {'step': 20, 'test_mse': 0.16, 'no_edit_mse': 0.3, 'best_step': 20},
  ]
  (panel,) = plots.error_curves(lines, title='an edit').axes
  assert panel.get_yscale() == 'log'
  labels = [text.get_text() for text in panel.get_legend().get_texts()]
  assert labels == [
    'training batches',
    'validation',
    'test 16.00',
    'test, no edit 30.00',
  ]
