# SPDX-License-Identifier: Apache-2.0
"""Reads .npz and .safetensors files of plain arrays, within limits."""

from collections.abc import Mapping
import math
import os
import pathlib
from typing import Any
import zipfile
import zlib

import numpy as np
from numpy.lib import format as npy_format
import safetensors
from safetensors import numpy as safetensors_numpy

from ng_jax.files import limits

_KINDS = 'biufcUS'  # Booleans, numbers and texts; nothing that needs pickle.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PIECE = 2**20
_MAX_HEADER = 10_000
# What zipfile and zlib raise for damaged files.
_DAMAGE = (
  zipfile.BadZipFile,
  zlib.error,
  EOFError,
  NotImplementedError,  # Other methods and versions.
  OSError,  # Places before the beginning.
  OverflowError,
  RuntimeError,  # Encrypted members.
  ValueError,
)
# What safetensors raises for types that numpy lacks.
_NO_TYPE = (KeyError, TypeError, AttributeError)


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """Reads all arrays of an .npz file.

  Args:
    path: of the file.

  Returns:
    {name: array}, without the ending '.npy'. Jit: no.

  Raises:
    OSError: no such file.
    ValueError: a damaged file, one that unpacks to far more than its size, one
      of objects (which need pickle), or one with names that lead elsewhere.
  """
  path = pathlib.Path(path)
  with path.open('rb') as file:
    try:
      with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_members(path, members)
        return {
          member.filename.removesuffix('.npy'): _read_member(archive, member)
          for member in members
        }
    except _DAMAGE as error:
      raise ValueError(f'it is no .npz file of arrays: {error}') from error


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """Reads all arrays of a safetensors file.

  Args:
    path: of the file.

  Returns:
    {name: array}. Jit: no.

  Raises:
    OSError: no such file.
    ValueError: a damaged file, or one with types that numpy lacks.
  """
  try:
    return safetensors_numpy.load_file(path)
  except (safetensors.SafetensorError, ValueError, *_NO_TYPE) as error:
    raise ValueError(f'it is no safetensors file: {error!r}') from error


def read_safetensors_texts(path: str | os.PathLike[str]) -> dict[str, str]:
  """Reads the texts in the header of a safetensors file.

  Args:
    path: of the file.

  Returns:
    {name: text}; empty where there are none. Jit: no.

  Raises:
    OSError: no such file.
    ValueError: a damaged file.
  """
  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      return dict(file.metadata() or {})
  except safetensors.SafetensorError as error:
    raise ValueError(f'it is no safetensors file: {error!r}') from error


def map_npy(path: str | os.PathLike[str]) -> np.ndarray:
  """Opens an .npy file without reading its values.

  Args:
    path: of the file.

  Returns:
    The array, read-only, mapped. Jit: no.

  Raises:
    OSError: no such file.
    ValueError: a damaged file, or one of objects.
  """
  path = pathlib.Path(path)
  with path.open('rb') as file:
    shape, fortran, dtype = _read_header(file)
    start = file.tell()
  size = math.prod(shape) * dtype.itemsize
  if dtype.kind not in _KINDS or not size:
    raise ValueError(f'it holds {shape} {dtype}')
  if path.stat().st_size < start + size:
    raise ValueError(f'it is too short for {shape} {dtype}')
  order: Any = 'F' if fortran else 'C'
  return np.memmap(path, dtype, 'r', start, shape, order)


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """Reads a file of arrays by its ending, .npz or else safetensors. Jit: no."""
  if pathlib.Path(path).suffix == '.npz':
    return read_npz(path)
  return read_safetensors(path)


def _check_members(path: pathlib.Path, members: list[zipfile.ZipInfo]) -> None:
  names = [member.filename for member in members]
  if len(set(names)) < len(names):
    raise ValueError('it has two arrays of one name')
  for member in members:
    limits.inside(path, member.filename)
    if member.compress_type not in _METHODS:
      raise ValueError(f'{member.filename} is compressed in an unknown way')
  limits.check_unpacked(path, sum(member.file_size for member in members))


def _read_member(
  archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> np.ndarray:
  with archive.open(member) as file:
    shape, fortran, dtype = _read_header(file)
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in _KINDS or size > member.file_size:
      raise ValueError(
        f'{member.filename} says that it is {shape} {dtype}, which it is not'
      )
    content = bytearray(size)
    view = memoryview(content)
    done = 0
    while done < size:
      piece = file.read(min(_PIECE, size - done))
      if not piece:
        raise ValueError(f'{member.filename} ends early')
      view[done : done + len(piece)] = piece
      done += len(piece)
    if file.read(1):  # Reading to the end also checks the CRC-32.
      raise ValueError(f'{member.filename} goes on after its last value')
  flat = np.frombuffer(content, dtype) if size else np.empty(0, dtype)
  return flat.reshape(shape, order='F' if fortran else 'C')


def _read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
  readers: Mapping[tuple[int, int], Any] = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
  }
  version = npy_format.read_magic(file)
  if version not in readers:
    raise ValueError(f'unknown version {version} of .npy')
  try:
    shape, fortran, dtype = readers[version](file, max_header_size=_MAX_HEADER)
  except Exception as error:  # A damaged one can raise nearly anything.
    raise ValueError(
      f'a header that is none ({type(error).__name__})'
    ) from error
  # True passes for a number in NumPy's own reader.
  lengths = all(type(length) is int and length >= 0 for length in shape)
  if not lengths or dtype.hasobject:
    raise ValueError(f'an array of {shape} {dtype}')
  return shape, fortran, dtype
