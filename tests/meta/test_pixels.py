# SPDX-License-Identifier: Apache-2.0
"""Tests of images on the device."""

import jax
import numpy as np
import pytest

from ng_jax.meta import pixels as pixels_lib
from tests.data import publisher_files
from tests.meta import tiny_pixels


def test_batches_are_normalised():
  pixels = tiny_pixels.draw(channels=3)
  pixels = pixels._replace(
    mean=np.array([0.1, 0.2, 0.3], np.float32),
    std=np.array([0.5, 1.0, 2.0], np.float32),
  )
  rows = np.array([3, 0, 3])
  batch = jax.jit(lambda p, r: p.take(r))(jax.device_put(pixels), rows)
  expected = (pixels.images[rows] / 255 - pixels.mean) / pixels.std
  np.testing.assert_allclose(batch.images, expected, atol=1e-6)
  assert batch.images.dtype == np.float32
  np.testing.assert_array_equal(batch.labels, pixels.labels[rows])


def test_digits_are_split_without_overlap():
  splits = pixels_lib.read('digits')
  total = len(splits.train.labels) + len(splits.hold_out.labels)
  assert len(splits.hold_out.labels) == total // 10
  assert splits.train.images.dtype == np.uint8
  assert splits.train.images.max() == 255
  assert (splits.name, splits.note) == ('digits', '')
  everything = pixels_lib.read('digits', num_hold_out=0)
  assert len(everything.train.labels) == total
  np.testing.assert_array_equal(
    np.concatenate([splits.train.images, splits.hold_out.images]),
    everything.train.images,
  )
  batch = everything.train.take(np.arange(total))
  assert abs(batch.images.mean()) < 2e-3 and abs(batch.images.std() - 1) < 2e-3


def test_a_drawn_hold_out_depends_on_its_seed():
  draws = [
    pixels_lib.read('digits', num_hold_out=40, hold_out_seed=seed)
    for seed in (0, 0, 1)
  ]
  first, again, other = (np.asarray(d.hold_out.images) for d in draws)
  assert len(first) == 40
  np.testing.assert_array_equal(first, again)
  assert not np.array_equal(first, other)
  kept = {image.tobytes() for image in np.asarray(draws[0].train.images)}
  assert not kept & {image.tobytes() for image in first}


def test_normalisation_is_that_of_the_paper(tmp_path):
  publisher_files.write_mnist(tmp_path, shape=(28, 28))
  splits = pixels_lib.read('fashion_mnist', image_dir=str(tmp_path))
  batch = splits.train.take(np.arange(2))
  expected = (np.asarray(splits.train.images[:2]) / 255 - 0.1307) / 0.3081
  np.testing.assert_allclose(batch.images, expected, atol=1e-5)
  assert splits.name == 'Fashion-MNIST subset, 12 train images'
  assert 'of 60,000 published' in splits.note


def test_areas_are_averaged():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (3, 28, 28, 2)).astype(np.uint8)
  half = pixels_lib.shrink(images, 14)
  blocks = images.reshape(3, 14, 2, 14, 2, 2).mean(axis=(2, 4))
  np.testing.assert_array_equal(half, np.rint(blocks.astype(np.float32)))
  assert pixels_lib.shrink(images, 0) is images


def test_areas_that_share_pixels_count_the_overlap():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (3, 28, 28, 1)).astype(np.uint8)
  found = pixels_lib.shrink(images, 8)
  # Overlap of pixel [k, k + 1] with area [3.5 i, 3.5 (i + 1)].
  starts = 3.5 * np.arange(8)[:, None]
  low = np.maximum(starts, np.arange(28))
  high = np.minimum(starts + 3.5, np.arange(1, 29))
  overlap = np.maximum(high - low, 0) / 3.5
  expected = np.einsum('ai,bj,nijc->nabc', overlap, overlap, images)
  assert found.dtype == np.uint8
  assert np.max(np.abs(found - expected)) <= 0.5 + 1e-3


def test_errors_name_the_rule():
  with pytest.raises(ValueError, match="unknown source 'imagenet'.*cifar10"):
    pixels_lib.read('imagenet')
  with pytest.raises(ValueError, match='num_hold_out must be at least 0 and b'):
    pixels_lib.read('digits', num_hold_out=5_000)
  with pytest.raises(ValueError, match='image_size must be from 1 to 8'):
    pixels_lib.read('digits', image_size=14)
