# SPDX-License-Identifier: Apache-2.0
"""The images that a CNN zoo is trained and tested on, on the device."""

from collections.abc import Mapping
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax.data import images as images_lib
from ng_jax.data.cnn_zoo import settings as settings_lib

_SPLITS = ('train', 'test')


class Pixels(NamedTuple):
  """Labelled images on the device.

  Attributes:
    values: [num_images, rows, columns, channels], uint8 or float32, unscaled.
    labels: [num_images] int32.
    mean: [channels] float32 of the training images.
    std: [channels] float32 of the training images.
  """

  values: Any
  labels: Any
  mean: Any
  std: Any


@dataclasses.dataclass(frozen=True)
class Chosen:
  """Training and test images of a zoo.

  Attributes:
    train: to train on.
    test: to measure the accuracy on.
    num_classes: of the labels.
  """

  train: Pixels
  test: Pixels
  num_classes: int

  @property
  def shape(self) -> tuple[int, ...]:
    """(rows, columns, channels). Jit: static."""
    return tuple(self.train.values.shape[1:])


def choose(
  settings: settings_lib.ZooSettings, source: Mapping[str, images_lib.Images]
) -> Chosen:
  """Draws the images of a zoo and puts them on the device.

  Args:
    settings: of the zoo.
    source: from `images.read`.

  Returns:
    The images; mean and standard deviation of each channel are those of the
    training images. Jit: no.

  Raises:
    ValueError: fewer images than asked for; a size that does not divide.
  """
  counts = num_images(settings, source)
  drawn, labels = [], []
  for i, name in enumerate(_SPLITS):
    images = source[name]
    rng = np.random.default_rng([settings.split_seed, i])
    rows = np.sort(rng.permutation(len(images.labels))[: counts[name]])
    drawn.append(average_areas(images.pixels[rows], settings.image_size))
    labels.append(images.labels[rows])
  values = drawn[0].reshape(-1, drawn[0].shape[-1])
  mean = values.mean(axis=0, dtype=np.float64).astype(np.float32)
  std = values.std(axis=0, dtype=np.float64).astype(np.float32)
  train, test = (
    jax.device_put(Pixels(x, y, mean, np.maximum(std, 1e-6)))
    for x, y in zip(drawn, labels, strict=True)
  )
  return Chosen(train, test, len(source['train'].class_names))


def num_images(
  settings: settings_lib.ZooSettings, source: Mapping[str, images_lib.Images]
) -> dict[str, int]:
  """Numbers of images that a zoo uses.

  Args:
    settings: of the zoo.
    source: from `images.read`.

  Returns:
    {'train', 'test'}. Jit: no.

  Raises:
    ValueError: fewer images than asked for.
  """
  counts = {}
  for name in _SPLITS:
    field = f'num_{name}_images'
    wanted, found = getattr(settings, field), len(source[name].labels)
    if wanted > found:
      raise ValueError(
        f'{field} must be at most {found:,}, the {name} images of '
        f'{settings.source!r}, got {wanted:,}; use 0 for all.'
      )
    counts[name] = wanted or found
  return counts


def average_areas(pixels: np.ndarray, size: int) -> np.ndarray:
  """Images made smaller by averaging over areas.

  Args:
    pixels: [num_images, rows, columns, channels] uint8.
    size: rows and columns of the result, a divisor of both; 0 for no change.

  Returns:
    [num_images, size, size, channels] float32, or the pixels. Jit: no.

  Raises:
    ValueError: a size that does not divide.
  """
  num, rows, columns, channels = pixels.shape
  if size in (0, rows) and size in (0, columns):
    return pixels
  if rows % size or columns % size:
    raise ValueError(
      f'image_size must divide the size of the images, {rows} x {columns}, got '
      f'{size}; use 0 for images as they are.'
    )
  parts = pixels.reshape(
    num, size, rows // size, size, columns // size, channels
  )
  return parts.mean(axis=(2, 4), dtype=np.float32)


def take(
  pixels: Pixels, rows: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """A batch, normalised.

  Args:
    pixels: on the device.
    rows: [batch] int32, negative is padding.

  Returns:
    Images [batch, rows, columns, channels] float32 of mean 0 and variance 1,
    labels [batch] int32, and the mask [batch] float32 of real images. Jit: yes.
  """
  chosen = jnp.maximum(rows, 0)
  x = pixels.values[chosen].astype(jnp.float32)
  x = (x - pixels.mean) / pixels.std
  return x, pixels.labels[chosen], (rows >= 0).astype(jnp.float32)
