# SPDX-License-Identifier: Apache-2.0
"""Edits of images: exact, documented, and refused when they change the form."""

import pathlib

import numpy as np
import pytest

from ng_jax.data import image_edits

_GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'unit_dilate.npz'


def plain_max_filter(image):
  """The largest of the pixels around each one, channel by channel."""
  rows, columns, channels = image.shape
  result = np.zeros_like(image)
  for row in range(rows):
    for column in range(columns):
      window = image[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
      for channel in range(channels):
        result[row, column, channel] = window[..., channel].max()
  return result


@pytest.mark.parametrize('shape', [(7, 5, 1), (4, 6, 3), (1, 1, 1), (1, 4, 2)])
def test_dilation_is_a_maximum_over_neighbours(shape):
  image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
  before = image.copy()
  dilated = image_edits.dilate(image)
  np.testing.assert_array_equal(dilated, plain_max_filter(image))
  np.testing.assert_array_equal(image, before)
  assert dilated.dtype == np.uint8


@pytest.mark.parametrize(
  ('image', 'dilated'), [('image', 'dilated'), ('odd', 'odd_dilated')]
)
def test_dilation_is_that_of_the_reference(image, dilated):
  recorded = np.load(_GOLDEN)
  found = image_edits.dilate(recorded[f'in/{image}'][..., None])
  np.testing.assert_array_equal(found[..., 0], recorded[f'out/{dilated}'])


def test_contrast_moves_away_from_grey():
  values = np.array([0, 40, 43, 100, 127, 128, 200, 212, 213, 255], np.uint8)
  image = values.reshape(1, -1, 1)
  found = image_edits.contrast(image).reshape(-1)
  # 127.5 + 1.5 (x - 127.5), to the nearest whole number.
  expected = [0, 0, 1, 86, 127, 128, 236, 254, 256 - 1, 255]
  np.testing.assert_array_equal(found, expected)
  assert found.dtype == np.uint8


def test_edits_see_images_whose_white_is_255():
  digits = np.arange(17, dtype=np.uint8).reshape(1, 17, 1, 1)
  seen = []

  def remember(image):
    seen.append(image.copy())
    image[:] = 7  # An edit may work in place.
    return image

  edited = image_edits.apply(remember, digits, max_value=16)
  assert (edited == 7).all()
  assert digits[0, 16, 0, 0] == 16
  np.testing.assert_allclose(
    seen[0].reshape(-1) / 255, np.arange(17) / 16, atol=0.5 / 255
  )
  grey = np.full((2, 3, 3, 1), 90, np.uint8)
  same = image_edits.apply(lambda image: image, grey, max_value=255)
  np.testing.assert_array_equal(same, grey)


def test_edits_by_name_and_by_path():
  assert image_edits.find('dilate') is image_edits.dilate
  path = 'ng_jax.data.image_edits:contrast'
  assert image_edits.find(path) is image_edits.contrast
  assert image_edits.name_of(image_edits.contrast) == 'contrast'
  name = image_edits.name_of(plain_max_filter)
  assert name.endswith('test_image_edits:plain_max_filter')


@pytest.mark.parametrize(
  ('edit', 'message'),
  [
    ('dilat', r"unknown image edit 'dilat'; .*\['contrast', 'dilate'\]"),
    ('no_such_package:edit', "'no_such_package:edit' must be the path of a"),
    ('ng_jax.data.image_edits:none', 'cannot be imported .* check the path'),
    (':edit', 'cannot be imported'),
    (
      'ng_jax.data.image_edits:WHITE',
      'must be a function from image to image, got int',
    ),
  ],
)
def test_edits_that_cannot_be_found(edit, message):
  with pytest.raises(ValueError, match=message):
    image_edits.find(edit)


@pytest.mark.parametrize(
  ('edit', 'got'),
  [
    (lambda image: image[:-1], r'\(3, 5, 1\) uint8'),
    (lambda image: image / 255, r'\(4, 5, 1\) float64'),
    (lambda image: None, r'\(\) NoneType'),
  ],
)
def test_edits_that_change_the_form_are_refused(edit, got):
  images = np.zeros((2, 4, 5, 1), np.uint8)
  with pytest.raises(ValueError) as error:
    image_edits.apply(edit, images, max_value=255)
  text = str(error.value)
  assert 'must return the shape and dtype that it gets, (4, 5, 1) uint8' in text
  with pytest.raises(ValueError, match=got):
    image_edits.apply(edit, images, max_value=255)
