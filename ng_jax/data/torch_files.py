# SPDX-License-Identifier: Apache-2.0
"""Reads torch's files of tensors (.pth, .pt) without running what is in them.

A pickle is a program: it names functions and has them called. Here the names
are read first, without unpickling, and a file that asks for anything but what
tensors are rebuilt from is refused; it is refused in the same words where torch
is not installed. What is left is opened by torch's own restricted reader
(weights_only=True). Files that also hold a config of OmegaConf are read where
that is asked for, see `torch_configs`.
"""

from collections.abc import Iterator, Mapping
import io
import pathlib
import pickletools
from typing import Any, BinaryIO
import zipfile

import numpy as np

from ng_jax.data import torch_configs

# What torch.save writes for nested dicts of tensors, numbers and texts.
_NAMES = frozenset(
  {
    'collections OrderedDict',
    'torch Size',
    'torch device',
    'torch._utils _rebuild_parameter',
    'torch._utils _rebuild_tensor_v2',
    'torch.storage UntypedStorage',
    *(
      f'torch {kind}Storage'
      for kind in (
        *('Double', 'Float', 'Half', 'BFloat16', 'Bool'),
        *('Long', 'Int', 'Short', 'Char', 'Byte'),
      )
    ),
  }
)
# Opcodes that find a function by name, the name being their argument.
_NAMING = ('GLOBAL', 'INST')
# The same by a name from the stack, which torch.save does not use, or by a
# number of the extension registry.
_HIDDEN = ('STACK_GLOBAL', 'EXT1', 'EXT2', 'EXT4')
_BY_OPCODE = 'a name by the opcode'
_ZIP = b'PK\x03\x04'  # How torch tells the two kinds of its files apart.
# A file of the time before torch 1.6 is five pickles and then the numbers.
_NUM_PICKLES = 5


def read(path: pathlib.Path, *, configs: bool = False) -> Any:
  """Reads a file of nested dicts and lists of tensors, numbers and texts.

  Args:
    path: of the file.
    configs: whether it may hold configs of OmegaConf.

  Returns:
    The contents, numpy arrays in the place of tensors. A config is to be turned
    into a dict with `torch_configs.to_plain`. Jit: no.

  Raises:
    ValueError: no such file, a damaged one, or one that is more than tensors.
    ImportError: without torch.
  """
  names = check(path, configs=configs)
  try:
    import torch
  except ImportError as error:
    raise ImportError(
      f'{path} is read with torch, which is not installed; install it with pip '
      "install 'ng_jax[torch]'."
    ) from error
  inert: list[Any] = torch_configs.stand_ins(names) if configs else []
  try:
    with torch.serialization.safe_globals(inert):
      content = torch.load(path, map_location='cpu', weights_only=True)
    return _to_arrays(content)
  except Exception as error:  # torch raises its own, by what it met.
    raise ValueError(
      f'{path} cannot be read as a torch file of tensors '
      f'({type(error).__name__}: {_reason(error)}); fetch it again.'
    ) from error


def _reason(error: Exception) -> str:
  """The line of torch's message that says what it met."""
  lines = [line.strip() for line in str(error).strip().splitlines()] or ['']
  met = [line for line in lines if line.startswith('WeightsUnpickler error')]
  return (met or lines)[0]


def check(path: pathlib.Path, *, configs: bool = False) -> list[str]:
  """Refuses a file that asks for more than tensors, without unpickling it.

  Args:
    path: of the file; torch is not needed.
    configs: whether it may hold configs of OmegaConf.

  Returns:
    What it names besides tensors; nothing without configs. Jit: no.

  Raises:
    ValueError: no such file, a damaged one, or one whose pickle names other
      functions than those that tensors are rebuilt from; they are listed.
  """
  try:
    names = sorted(set(_named(path)) - _NAMES)
  except (OSError, ValueError, zipfile.BadZipFile) as error:
    raise ValueError(
      f'{path} must be a file of torch.save, but cannot be read ({error}); '
      'fetch it again.'
    ) from error
  wrong = [name for name in names if not (configs and _is_of_a_config(name))]
  if wrong:
    raise ValueError(
      f'{path} must hold tensors{" and a config" if configs else ""} only, but '
      f'its pickle asks for {", ".join(repr(name) for name in wrong)}, which '
      'is not called: such a file can run any program. Save its state_dict '
      'alone, where you trust it.'
    )
  return names


def _is_of_a_config(name: str) -> bool:
  if name.startswith(_BY_OPCODE):
    return False
  return torch_configs.is_known(name) or torch_configs.may_be_mentioned(name)


def _named(path: pathlib.Path) -> Iterator[str]:
  """Names of all functions and classes that the pickles of a file ask for."""
  with path.open('rb') as file:
    if file.peek(4).startswith(_ZIP):
      with zipfile.ZipFile(file) as archive:
        members = [n for n in archive.namelist() if n.endswith('.pkl')]
        if not members:
          raise ValueError('a zip file without a data.pkl')
        for member in members:
          yield from _names_of(io.BytesIO(archive.read(member)))
      return
    for _ in range(_NUM_PICKLES):
      yield from _names_of(file)
      if not file.peek(1):
        return


def _names_of(file: BinaryIO) -> Iterator[str]:
  """Names in one pickle; the file is left behind it."""
  for opcode, argument, _ in pickletools.genops(file):
    if opcode.name in _NAMING:
      yield str(argument)
    elif opcode.name in _HIDDEN:
      yield f'{_BY_OPCODE} {opcode.name}'


def _to_arrays(content: Any) -> Any:
  """Tensors become numpy arrays, whatever they are nested in."""
  if isinstance(content, Mapping):
    return {key: _to_arrays(value) for key, value in content.items()}
  if isinstance(content, list | tuple):
    return [_to_arrays(value) for value in content]
  if hasattr(content, 'detach'):
    return np.asarray(content.detach().numpy())
  return content
