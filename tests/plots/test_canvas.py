# SPDX-License-Identifier: Apache-2.0
"""Figures are written as pictures, and their colours are told apart."""

import numpy as np

from ng_jax import plots
from ng_jax.plots import canvas


def test_pictures_are_written_and_read_as_arrays(tmp_path):
  figure = plots.scatter(np.array([0.1, 0.9]), np.array([0.2, 0.8]))
  plots.save(figure, tmp_path / 'new' / 'scatter.png')
  assert [p.name for p in (tmp_path / 'new').iterdir()] == ['scatter.png']
  pixels = plots.to_array(figure)
  assert pixels.dtype == np.uint8
  assert pixels.shape[-1] == 3


def _luminance(colours: np.ndarray) -> np.ndarray:
  """Relative luminance of sRGB colours [..., 3]."""
  linear = np.where(
    colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4
  )
  return linear @ np.array([0.2126, 0.7152, 0.0722])


def test_signed_values_are_told_apart_without_red_and_green():
  values = np.linspace(0, 1, 65)
  colours = np.asarray(canvas.diverging_map()(values))[:, :3]
  # Brightest at zero, darker towards both ends.
  luminance = _luminance(colours)
  assert np.argmax(luminance) == 32
  assert np.all(np.diff(luminance[:33]) > 0)
  assert np.all(np.diff(luminance[32:]) < 0)
  # The sign is in yellow against blue, which all common kinds of colour
  # blindness see.
  yellow = colours[:, :2].mean(axis=1) - colours[:, 2]
  assert np.all(yellow[:28] < -0.05)
  assert np.all(yellow[37:] > 0.05)
