# SPDX-License-Identifier: Apache-2.0
"""Images of a task on the device: bytes, normalised when a batch is taken."""

from collections.abc import Mapping
import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax.data import images as images_lib
from ng_jax.data.cnn_zoo import pixels as zoo_pixels

# Mean and standard deviation of a channel, of pixels in [0, 1]. Those of
# Fashion-MNIST are MNIST's, as in the experiments of the paper.
_MNIST = ((0.1307,), (0.3081,))
_NORMALISATIONS = {
  'cifar10': (
    (0.49139968, 0.48215827, 0.44653124),
    (0.24703233, 0.24348505, 0.26158768),
  ),
  'digits': ((0.3055,), (0.3761,)),
  'fashion_mnist': _MNIST,
  'mnist': _MNIST,
}
_TITLES = {
  'cifar10': 'CIFAR-10',
  'digits': 'digits',
  'fashion_mnist': 'Fashion-MNIST',
  'mnist': 'MNIST',
}
_MAX_HOLD_OUT = 5_000
# Images that are made smaller at a time, which bounds memory.
_CHUNK = 500


class Batch(NamedTuple):
  """A batch of a task.

  Attributes:
    images: [batch_size, rows, columns, channels] float32, normalised.
    labels: [batch_size] int32.
  """

  images: Any
  labels: Any


class Pixels(NamedTuple):
  """Labelled images on the device; an argument of compiled functions.

  Attributes:
    images: [num_images, rows, columns, channels] uint8, 255 is white.
    labels: [num_images] int32.
    mean: [channels] float32 of images / 255.
    std: [channels] float32 of images / 255.
  """

  images: Any
  labels: Any
  mean: Any
  std: Any

  def take(self, rows: jax.Array) -> Batch:
    """Takes images by number and normalises them.

    Args:
      rows: [batch_size] int32.

    Returns:
      The batch, (images / 255 - mean) / std. Jit: yes.
    """
    x = self.images[rows].astype(jnp.float32) / 255.0
    return Batch((x - self.mean) / self.std, self.labels[rows])


@dataclasses.dataclass(frozen=True)
class Splits:
  """All images of a task.

  Attributes:
    train: to train on.
    hold_out: of the published training images, to choose by.
    test: the published test images.
    name: of the data set; where it is incomplete, with its size, as 'CIFAR-10
      subset, 5,085 train images'. Such figures are labelled with it.
    note: what is missing from the published set, or nothing.
  """

  train: Pixels
  hold_out: Pixels
  test: Pixels
  name: str
  note: str = ''

  @property
  def sizes(self) -> dict[str, int]:
    """Images of each split. Jit: no."""
    parts = {'train': self.train, 'hold_out': self.hold_out, 'test': self.test}
    return {name: len(part.labels) for name, part in parts.items()}


def read(
  source: str,
  *,
  image_dir: str | None = None,
  image_size: int = 0,
  num_hold_out: int | None = None,
  hold_out_seed: int | None = None,
) -> Splits:
  """Reads the images of a source and puts them on the device.

  Args:
    source: 'fashion_mnist', 'cifar10', 'mnist' or 'digits', or one of them
      prepared by TFDS, as 'tfds:cifar10'.
    image_dir: folder of the publishers' files, or of one folder a source, see
      `ng_jax.data.image_folders.find`; not needed for 'digits'.
    image_size: rows and columns after averaging over areas, as 14 or 8; 0 for
      images as they are.
    num_hold_out: training images that are kept to choose by; 5,000 by default,
      or a tenth of the training images where that is less. With 0, as the
      paper's final figures have it, `hold_out` is empty.
    hold_out_seed: draws them; by default they are the last ones.

  Returns:
    The splits. Jit: no.

  Raises:
    ValueError: unknown source; files that are missing; an image_size above
      that of the images; fewer training images than are kept.
  """
  _known(source)
  found = images_lib.read(source, image_dir=image_dir)
  return split(
    found,
    image_size=image_size,
    num_hold_out=num_hold_out,
    hold_out_seed=hold_out_seed,
  )


def split(
  found: Mapping[str, images_lib.Images],
  *,
  image_size: int = 0,
  num_hold_out: int | None = None,
  hold_out_seed: int | None = None,
) -> Splits:
  """As `read`, of images that were read before.

  Args:
    found: {'train', 'test'} from `ng_jax.data.images.read`.
    image_size: as `read`.
    num_hold_out: as `read`.
    hold_out_seed: as `read`.

  Returns:
    The splits. Jit: no.

  Raises:
    ValueError: an image_size above that of the images; fewer training images
      than are kept.
  """
  train, test = found['train'], found['test']
  total = len(train.labels)
  if num_hold_out is None:
    num_hold_out = min(_MAX_HOLD_OUT, total // 10)
  if not 0 <= num_hold_out < total:
    raise ValueError(
      f'num_hold_out must be at least 0 and below {total:,}, the training '
      f'images of {train.name!r}, got {num_hold_out:,}; leave it out for a '
      'tenth of them.'
    )
  order = np.arange(total)
  if hold_out_seed is not None:
    order = np.random.default_rng(hold_out_seed).permutation(total)
  kept, held = np.split(order, [total - num_hold_out])
  name = _TITLES[_known(train.name)]
  if train.note:
    name = f'{name} subset, {total:,} train images'
  return Splits(
    _place(train, np.sort(kept), image_size),
    _place(train, np.sort(held), image_size),
    _place(test, np.arange(len(test.labels)), image_size),
    name,
    train.note,
  )


def shrink(images: np.ndarray, size: int) -> np.ndarray:
  """Makes images smaller by averaging over areas.

  Args:
    images: [num_images, rows, columns, channels] uint8.
    size: rows and columns of the result; where it does not divide those of the
      images, areas share pixels by their overlap. 0 for no change.

  Returns:
    [num_images, size, size, channels] uint8, rounded. Jit: no.

  Raises:
    ValueError: a size above that of the images, or below 0.
  """
  rows, columns = images.shape[1:3]
  if not 0 <= size <= min(rows, columns):
    raise ValueError(
      f'image_size must be from 1 to {min(rows, columns)}, the size of the '
      f'images, or 0 for images as they are, got {size}.'
    )
  if size == 0 or size == rows == columns:
    return images
  # Pixels are repeated until the size divides: the same areas.
  down, across = (size // math.gcd(size, n) for n in (rows, columns))
  smaller = np.empty((len(images), size, size, images.shape[3]), np.uint8)
  for start in range(0, len(images), _CHUNK):
    chunk = images[start : start + _CHUNK].repeat(down, 1).repeat(across, 2)
    areas = zoo_pixels.average_areas(chunk, size)
    smaller[start : start + _CHUNK] = np.rint(areas)
  return smaller


def _known(source: str) -> str:
  """Name of a source that is known here, without that of TFDS."""
  name = source.removeprefix('tfds:').partition(':')[0]
  if name not in _NORMALISATIONS:
    raise ValueError(
      f'unknown source {source!r}; expected one of {sorted(_NORMALISATIONS)}, '
      "or one of them from TFDS, as 'tfds:cifar10'."
    )
  return name


def _place(
  images: images_lib.Images, rows: np.ndarray, image_size: int
) -> Pixels:
  """Puts some images on the device, with 255 for white."""
  values = images.pixels[rows]
  if images.max_value != 255:
    scaled = values.astype(np.float32) * (255.0 / images.max_value)
    values = np.rint(scaled).astype(np.uint8)
  mean, std = _NORMALISATIONS[_known(images.name)]
  placed: Pixels = jax.device_put(
    Pixels(
      shrink(values, image_size),
      images.labels[rows].astype(np.int32),
      np.array(mean, np.float32),
      np.array(std, np.float32),
    )
  )
  return placed
