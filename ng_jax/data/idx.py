# SPDX-License-Identifier: Apache-2.0
"""Reads IDX files, the format of MNIST and Fashion-MNIST, plain or gzipped.

Format: two zero bytes, a type byte (8 for uint8), the number of axes, the axis
lengths as big-endian uint32, then the values in row-major order.
"""

import gzip
import pathlib
import zlib

import numpy as np

_UINT8 = 8


def read(path: str | pathlib.Path, *, num_axes: int) -> np.ndarray:
  """Reads one IDX file of bytes.

  Args:
    path: of the file; gunzipped when its name ends in '.gz'.
    num_axes: that the file must have, 3 for images and 1 for labels.

  Returns:
    Read-only uint8 array of the file's shape. Jit: no.

  Raises:
    ValueError: the file is no IDX file of that kind, is cut short or goes on
      after its last value; a gzip stream that is damaged.
  """
  path = pathlib.Path(path)
  content = read_bytes(path)
  magic = bytes([0, 0, _UINT8, num_axes])
  if content[:4] != magic:
    raise ValueError(
      f'{path} must be an IDX file of bytes with {num_axes} axes, which begins '
      f'with the magic number {magic.hex(" ")}, but it begins with '
      f'{content[:4].hex(" ") or "nothing"}; check that it is the '
      "publisher's file and that images and labels are not exchanged."
    )
  start = 4 + 4 * num_axes
  if len(content) < start:
    raise ValueError(
      f'{path} must hold {num_axes} axis lengths after its magic number, but '
      f'ends after {len(content)} bytes; the download was cut short, fetch it '
      'again.'
    )
  shape = np.frombuffer(content, '>u4', count=num_axes, offset=4).tolist()
  expected = int(np.prod(shape, dtype=object))
  found = len(content) - start
  if found != expected:
    what = 'was cut short' if found < expected else 'has trailing bytes'
    raise ValueError(
      f'{path} must hold {expected:,} values for its shape {tuple(shape)}, but '
      f'holds {found:,}; it {what}, fetch it again.'
    )
  return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_bytes(path: pathlib.Path) -> bytes:
  """Reads a file whole, gunzipped when its name ends in '.gz'.

  Args:
    path: of the file.

  Returns:
    Its content. Jit: no.

  Raises:
    ValueError: a gzip stream that is damaged or cut short.
  """
  if path.suffix != '.gz':
    return path.read_bytes()
  try:
    with gzip.open(path, 'rb') as file:
      return file.read()
  except (OSError, EOFError, zlib.error) as error:
    raise ValueError(
      f'{path} must be a gzip file, but it cannot be unpacked ({error}); the '
      'download was damaged or cut short, fetch it again.'
    ) from error
