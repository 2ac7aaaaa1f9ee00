# SPDX-License-Identifier: Apache-2.0
"""Reads CIFAR-10 in the two forms its publishers give: binary and Python.

Binary: records of 1 label byte and 3,072 pixel bytes (a red, a green and a blue
plane of 32 x 32, row-major). Python: a pickled dictionary with b'data', [num,
3072] uint8, and b'labels'. Pickles can run code, so they are read by an
unpickler that knows arrays, bytes, numbers, lists and dictionaries and nothing
else.
"""

import pathlib

import numpy as np

from ng_jax.files import limits
from ng_jax.files import plain_pickle

_ROWS, _COLUMNS, _CHANNELS = 32, 32, 3
_PIXELS = _ROWS * _COLUMNS * _CHANNELS
_RECORD = 1 + _PIXELS
_NUM_CLASSES = 10


def read_binary(path: str | pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
  """Reads one file of the binary version.

  Args:
    path: of a data_batch_<k>.bin or test_batch.bin; it may hold fewer records
      than the published 10,000.

  Returns:
    pixels [num_images, 32, 32, 3] uint8 and labels [num_images] int32. Jit: no.

  Raises:
    ValueError: a size that is no whole number of records; a label above 9.
  """
  path = pathlib.Path(path)
  content = path.read_bytes()
  if not content or len(content) % _RECORD:
    raise ValueError(
      f'{path} must hold whole records of {_RECORD:,} bytes (CIFAR-10 binary '
      f'version), but has {len(content):,} bytes, '
      f'{len(content) / _RECORD:.3f} records; fetch it again, and note that '
      'CIFAR-100 has other records.'
    )
  records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
  return _checked(path, records[:, 1:], records[:, 0])


def read_python(path: str | pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
  """Reads one file of the Python version, without running what it contains.

  Args:
    path: of a data_batch_<k> or test_batch.

  Returns:
    pixels [num_images, 32, 32, 3] uint8 and labels [num_images] int32. Jit: no.

  Raises:
    ValueError: a damaged pickle, one with anything but plain data in it, or
      one of other contents.
  """
  path = pathlib.Path(path)
  try:
    content = plain_pickle.load(path.read_bytes())
  except plain_pickle.Refused as error:
    raise ValueError(
      f'{path} must be a pickle of arrays, numbers and bytes only, but asks '
      f'for {error}; such a file can run code, so it is not read. Use the '
      "publisher's file or the binary version."
    ) from error
  except Exception as error:  # A damaged pickle can raise nearly anything.
    raise ValueError(
      f'{path} must be a pickle (CIFAR-10 Python version), but cannot be read '
      f'({limits.told(error)}); fetch it again.'
    ) from error
  data = content.get(b'data') if isinstance(content, dict) else None
  labels = content.get(b'labels') if isinstance(content, dict) else None
  if (
    not isinstance(data, np.ndarray)
    or data.dtype != np.uint8
    or data.shape[1:] != (_PIXELS,)
    or not isinstance(labels, list)
    or not all(isinstance(label, int) for label in labels)
  ):
    known = sorted(map(str, content)) if isinstance(content, dict) else content
    holds = str(known)[:200]
    raise ValueError(
      f"{path} must hold b'data', [num_images, {_PIXELS}] uint8, and b'labels',"
      f' a list of numbers (CIFAR-10 Python version), but holds {holds}; '
      'CIFAR-100 and other sets cannot be read.'
    )
  if len(labels) != len(data):
    raise ValueError(
      f'{path} must hold one label an image, got {len(data):,} images and '
      f'{len(labels):,} labels; fetch it again.'
    )
  return _checked(path, data, np.asarray(labels))


def _checked(
  path: pathlib.Path, pixels: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Checks labels; turns planes into [num, rows, columns, channels]."""
  wrong = np.flatnonzero((labels < 0) | (labels >= _NUM_CLASSES))
  if wrong.size:
    raise ValueError(
      f'{path} must hold labels from 0 to {_NUM_CLASSES - 1}, but record '
      f'{wrong[0]} has {labels[wrong[0]]}; this is no CIFAR-10 file, or it is '
      'damaged.'
    )
  planes = pixels.reshape(-1, _CHANNELS, _ROWS, _COLUMNS)
  return (
    np.ascontiguousarray(np.transpose(planes, (0, 2, 3, 1))),
    labels.astype(np.int32),
  )
