# SPDX-License-Identifier: Apache-2.0
"""Tiny images for tests: each class has its own bright row."""

import numpy as np

from ng_jax import meta


def draw(num_images=24, *, seed=0, size=6, channels=1, num_classes=4):
  """Pixels of `num_classes` classes that a small network can tell apart."""
  rng = np.random.default_rng(seed)
  labels = np.arange(num_images, dtype=np.int32) % num_classes
  images = rng.integers(0, 90, (num_images, size, size, channels))
  images[np.arange(num_images), labels] += 150
  full = np.full(channels, 0.3, np.float32)
  return meta.Pixels(images.astype(np.uint8), labels, full, full)
