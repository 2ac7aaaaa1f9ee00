# SPDX-License-Identifier: Apache-2.0
"""Edits of images, which editors of INRs learn to make on the weights.

An edit is a function from one image to another of the same shape:

    def invert(image):  # [rows, columns, channels] uint8, 255 is white.
      return 255 - image

Give the function itself to `ng_jax.train.editing.run(..., image_edit=invert)`,
its path 'package.module:invert' in a config, or enter it in `EDITS`.
"""

from collections.abc import Callable
import importlib

import numpy as np

WHITE = 255
# Differences from mid-grey grow by this much in `contrast`.
CONTRAST_FACTOR = 1.5

# image [rows, columns, channels] uint8 -> the same shape and dtype.
ImageEdit = Callable[[np.ndarray], np.ndarray]


def dilate(image: np.ndarray) -> np.ndarray:
  """Dilation by a 3x3 square: the largest of a pixel and its neighbours.

  Neighbours outside the image do not count. The paper's style edit of MNIST
  (section 4.1; one iteration of OpenCV's `dilate`).

  Args:
    image: [rows, columns, channels] uint8; channels are independent.

  Returns:
    The same shape and dtype. Jit: no.
  """
  # No value is below the 0 of the padding.
  padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
  rows = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
  return np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])


def contrast(image: np.ndarray) -> np.ndarray:
  """Raises the contrast around mid-grey: 127.5 + 1.5 (x - 127.5), clipped.

  Differs from the paper's contrast edit of CIFAR-10, which is OpenCV's CLAHE
  on the lightness of an 8-bit LAB image and cannot be had to the bit without
  OpenCV's tables. Results of the two are not comparable.

  Args:
    image: [rows, columns, channels] uint8.

  Returns:
    The same shape and dtype, rounded. Jit: no.
  """
  middle = 0.5 * WHITE
  stretched = middle + CONTRAST_FACTOR * (image.astype(np.float64) - middle)
  return np.clip(np.round(stretched), 0, WHITE).astype(np.uint8)


EDITS: dict[str, ImageEdit] = {'contrast': contrast, 'dilate': dilate}


def find(edit: str) -> ImageEdit:
  """Finds an edit by name or by the path of a function.

  Args:
    edit: a key of `EDITS`, or 'package.module:function'.

  Returns:
    The function. Jit: no.

  Raises:
    ValueError: unknown name (the known ones are listed), no such function.
  """
  if edit in EDITS:
    return EDITS[edit]
  module, colon, name = edit.partition(':')
  if not colon:
    raise ValueError(
      f'unknown image edit {edit!r}; expected one of {sorted(EDITS)}, or the '
      "path of a function, 'package.module:function'."
    )
  try:
    found = getattr(importlib.import_module(module), name)
  except (ImportError, AttributeError, ValueError) as error:
    raise ValueError(
      f'image edit {edit!r} must be the path of a function, but cannot be '
      f'imported ({error}); check the path and PYTHONPATH.'
    ) from error
  if not callable(found):
    raise ValueError(
      f'image edit {edit!r} must be a function from image to image, got '
      f'{type(found).__name__}; name a function.'
    )
  return found


def name_of(edit: ImageEdit) -> str:
  """What a config calls an edit: its name in `EDITS`, or its path.

  Args:
    edit: a function.

  Returns:
    'dilate' or 'package.module:function'. Jit: no.
  """
  for name, known in EDITS.items():
    if known is edit:
      return name
  module = getattr(edit, '__module__', type(edit).__module__)
  return f'{module}:{getattr(edit, "__qualname__", type(edit).__qualname__)}'


def apply(edit: ImageEdit, images: np.ndarray, *, max_value: int) -> np.ndarray:
  """Edits images one by one.

  Args:
    edit: of images whose white is 255.
    images: [num_images, rows, columns, channels] uint8.
    max_value: what is white in them; they are brought to 255 first, rounded
      (the digits, whose white is 16, by at most 0.002 of white).

  Returns:
    The same shape, uint8, 255 is white. Jit: no.

  Raises:
    ValueError: the edit does not keep shape and dtype.
  """
  if max_value != WHITE:
    scaled = images.astype(np.float64) * (WHITE / max_value)
    images = np.clip(np.round(scaled), 0, WHITE).astype(np.uint8)
  edited = np.empty_like(images)
  for number, image in enumerate(images):
    result = edit(image.copy())
    shape, dtype = np.shape(result), getattr(result, 'dtype', None)
    if shape != image.shape or dtype != np.uint8:
      raise ValueError(
        f'the image edit {name_of(edit)!r} must return the shape and dtype '
        f'that it gets, {image.shape} uint8, got {shape} '
        f'{dtype or type(result).__name__}; let it return such an array.'
      )
    edited[number] = result
  return edited
