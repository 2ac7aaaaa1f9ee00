# SPDX-License-Identifier: Apache-2.0
"""Reads IDX files, the format of MNIST and Fashion-MNIST, plain or gzipped.

Format: two zero bytes, a type byte (8 for uint8), the number of axes, the axis
lengths as big-endian uint32, then the values in row-major order.
"""

import gzip
import math
import pathlib
from typing import Any
import zlib

import numpy as np

from ng_jax.files import limits

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
  opened = gzip.open if path.suffix == '.gz' else open
  try:
    with opened(path, 'rb') as file:
      shape = _read_shape(path, file, num_axes)
      # Of a plain file no more is there; a gzipped one may unpack to anything.
      expected = math.prod(shape)
      limits.check_unpacked(path, min(expected, _size(path)))
      plain = path.suffix != '.gz'
      content = file.read() if plain else file.read(expected + 1)
  except (EOFError, zlib.error, gzip.BadGzipFile) as error:
    raise ValueError(
      f'{path} must be a gzip file, but it cannot be unpacked ({error}); the '
      'download was damaged or cut short, fetch it again.'
    ) from error
  if len(content) != expected:
    what = 'was cut short' if len(content) < expected else 'has trailing bytes'
    # A gzipped file is not unpacked beyond what it should hold.
    more = '' if plain or len(content) < expected else 'at least '
    raise ValueError(
      f'{path} must hold {expected:,} values for its shape {tuple(shape)}, but '
      f'holds {more}{len(content):,}; it {what}, fetch it again.'
    )
  return np.frombuffer(content, np.uint8).reshape(shape)


def _read_shape(path: pathlib.Path, file: Any, num_axes: int) -> list[int]:
  """Reads magic number and axis lengths."""
  magic = bytes([0, 0, _UINT8, num_axes])
  content = file.read(4 + 4 * num_axes)
  if content[:4] != magic:
    raise ValueError(
      f'{path} must be an IDX file of bytes with {num_axes} axes, which begins '
      f'with the magic number {magic.hex(" ")}, but it begins with '
      f'{content[:4].hex(" ") or "nothing"}; check that it is the '
      "publisher's file and that images and labels are not exchanged."
    )
  if len(content) < 4 + 4 * num_axes:
    raise ValueError(
      f'{path} must hold {num_axes} axis lengths after its magic number, but '
      f'ends after {len(content)} bytes; the download was cut short, fetch it '
      'again.'
    )
  shape: list[int] = np.frombuffer(content, '>u4', offset=4).tolist()
  if not all(shape):
    raise ValueError(
      f'{path} must hold at least one value, got the shape {tuple(shape)}; the '
      'file was damaged, fetch it again.'
    )
  return shape


def _size(path: pathlib.Path) -> float:
  """Bytes that a plain file can give; no bound for a gzipped one."""
  return math.inf if path.suffix == '.gz' else path.stat().st_size
