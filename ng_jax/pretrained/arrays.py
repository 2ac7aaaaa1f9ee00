# SPDX-License-Identifier: Apache-2.0
"""Files of arrays: safetensors, .npz and .pt, none of which may run code.

A pickled file is a program. Where safetensors is expected, one is refused by
its first bytes; torch files are read as `files.torch_files` says.
"""

from collections.abc import Mapping
import os
import pathlib
from typing import Any

import numpy as np

from ng_jax.files import arrays
from ng_jax.files import torch_files

_PICKLE, _ZIP = b'\x80', b'PK'
# A safetensors file begins with the length of its header, which is JSON.
_SIZE_BYTES = 8


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """Reads a safetensors file.

  Args:
    path: of the file.

  Returns:
    {name: array}. Jit: no.

  Raises:
    ValueError: no such file, a pickled or zipped file, or a damaged one.
  """
  path = _existing(path)
  with open(path, 'rb') as file:
    first = file.read(_SIZE_BYTES + 1)
  # A header may be as long as the first bytes of those files say.
  has_header = first[_SIZE_BYTES:] == b'{'
  if first.startswith((_PICKLE, _ZIP)) and not has_header:
    raise ValueError(
      f'{path} must be a safetensors file, but its first bytes are those of a '
      'pickled or zipped one, which can run code when it is read; save it with '
      'safetensors.torch.save_file, or give a trusted torch file the ending '
      '.pt to experiments/convert_official.py.'
    )
  try:
    return arrays.read_safetensors(path)
  except ValueError as error:
    raise ValueError(
      f'{path} must be a safetensors file, but it cannot be read: {error}; it '
      'is damaged or of another format.'
    ) from error


def read_state(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """Reads a saved `state_dict`.

  Args:
    path: of a .safetensors, .npz or .pt/.pth file. In an .npz file that has
      names 'param/...', only those are read, without 'param/'. A .pt file may
      hold the state under 'state_dict' or 'model'.

  Returns:
    {official name: array}. Jit: no.

  Raises:
    ValueError: no such file, another ending, contents that are no arrays or
      that need pickle; a .pt file where torch is not installed.
  """
  readers = {
    '.safetensors': read_safetensors,
    '.npz': _read_npz,
    '.pt': _read_torch,
    '.pth': _read_torch,
  }
  ending = pathlib.Path(path).suffix
  if ending not in readers:
    raise ValueError(
      f'{path}: unknown ending {ending!r}; expected one of {sorted(readers)}.'
    )
  return readers[ending](path)


def _existing(path: str | os.PathLike[str]) -> pathlib.Path:
  path = pathlib.Path(path)
  if not path.is_file():
    raise ValueError(f'no file {path}; check the name of the file and folder.')
  return path


def _read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  path = _existing(path)
  try:
    found = arrays.read_npz(path)
  except ValueError as error:
    raise ValueError(
      f'{path} must be an .npz file of plain arrays, but it cannot be read: '
      f'{error}; pickled objects are never read.'
    ) from error
  names = [n for n in found if n.startswith('param/')] or list(found)
  return {name.removeprefix('param/'): found[name] for name in names}


def _read_torch(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  path = _existing(path)
  try:
    content: Any = torch_files.read(path)
  except ImportError as error:
    raise ValueError(
      f'{path} needs torch, which is not installed; install ng_jax[torch], or '
      'save the state_dict with safetensors.torch.save_file where torch is.'
    ) from error
  for name in ('state_dict', 'model'):
    if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
      content = content[name]
  if not isinstance(content, Mapping) or not all(
    isinstance(value, np.ndarray) for value in content.values()
  ):
    raise ValueError(
      f'{path} must hold a state_dict of tensors, or one under the name '
      "'state_dict' or 'model'; got something else."
    )
  return dict(content)
