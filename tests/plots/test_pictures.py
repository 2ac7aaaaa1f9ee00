# SPDX-License-Identifier: Apache-2.0
"""Rows of pictures are named and show what they are given."""

import numpy as np

from ng_jax import plots


def test_rows_of_pictures_are_named():
  images = np.linspace(-0.5, 1.5, 2 * 16).reshape(2, 4, 4, 1)
  figure = plots.picture_rows(
    {'INR': images, 'target': images, 'edited INR': images}, titles=['a', 'b']
  )
  assert len(figure.axes) == 6
  names = [axes.get_ylabel() for axes in figure.axes[::2]]
  assert names == ['INR', 'target', 'edited INR']
  assert [axes.get_title() for axes in figure.axes[:2]] == ['a', 'b']


def test_renderings_of_grey_and_colour():
  for channels in (1, 3):
    images = np.linspace(0, 1, 2 * 16 * channels).reshape(2, 4, 4, channels)
    figure = plots.renderings(images, images - 1, titles=['0', '1'])
    assert len(figure.axes) == 4


def test_edit_panels_show_the_errors_and_the_difference():
  original = np.zeros((2, 4, 4, 1))
  target = np.ones((2, 4, 4, 1))
  edited = np.stack([np.full((4, 4, 1), 0.5), target[1]])
  figure = plots.edit_panels(original, target, edited, title='an edit')
  panels = figure.axes[:8]
  names = [panel.get_ylabel() for panel in panels[::2]]
  assert names == ['original', 'target', 'edited', 'difference']
  titles = [panel.get_title() for panel in panels[:2]]
  assert titles == ['100.00 to 25.00', '100.00 to 0.00']
  differences = [panel.images[0].get_array() for panel in panels[6:]]
  np.testing.assert_array_equal(differences[0], np.full((4, 4), -0.5))
  np.testing.assert_array_equal(differences[1], np.zeros((4, 4)))
