# SPDX-License-Identifier: Apache-2.0
"""Figures hold what they should and are written as pictures."""

import numpy as np

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
    'test 0.1600',
    'test, no edit 0.3000',
  ]


def test_rows_of_pictures_are_named():
  images = np.linspace(-0.5, 1.5, 2 * 16).reshape(2, 4, 4, 1)
  figure = plots.picture_rows(
    {'INR': images, 'target': images, 'edited INR': images}, titles=['a', 'b']
  )
  assert len(figure.axes) == 6
  names = [axes.get_ylabel() for axes in figure.axes[::2]]
  assert names == ['INR', 'target', 'edited INR']
  assert [axes.get_title() for axes in figure.axes[:2]] == ['a', 'b']


def test_confusion_matrix_shows_the_counts():
  figure = plots.confusion_matrix(
    np.array([[7, 1], [0, 5]]), class_names=('cat', 'dog'), title='test'
  )
  assert {text.get_text() for text in figure.axes[0].texts} == {'7', '1', '5'}


def test_renderings_of_grey_and_colour():
  for channels in (1, 3):
    images = np.linspace(0, 1, 2 * 16 * channels).reshape(2, 4, 4, channels)
    figure = plots.renderings(images, images - 1, titles=['0', '1'])
    assert len(figure.axes) == 4


def test_pictures_are_written_and_read_as_arrays(tmp_path):
  figure = plots.learning_curves(LINES)
  plots.save(figure, tmp_path / 'new' / 'curves.png')
  assert [p.name for p in (tmp_path / 'new').iterdir()] == ['curves.png']
  pixels = plots.to_array(figure)
  assert pixels.dtype == np.uint8
  assert pixels.shape[-1] == 3
