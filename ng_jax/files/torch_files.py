# SPDX-License-Identifier: Apache-2.0
"""Reads torch's files of tensors (.pth, .pt) without running what is in them.

A pickle is a program: it names functions and has them called. Here the names
are read first, without unpickling, and a file that asks for anything but what
tensors are rebuilt from is refused; it is refused in the same words where torch
is not installed. So is one that would take far more memory than its size. What
is left is opened by torch's own restricted reader (weights_only=True). Files
that also hold a config of OmegaConf are read where that is asked for, see
`torch_configs`.
"""

from collections.abc import Iterable, Iterator, Mapping
import io
import mmap
import pathlib
import pickletools
from typing import Any
import warnings
import zipfile
import zlib

import numpy as np

from ng_jax.files import limits
from ng_jax.files import torch_configs

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
# Names in a message, and in a file with a config, which has a dozen.
_MAX_NAMES, _MAX_OF_A_CONFIG = 20, 1_000
_ZIP = b'PK\x03\x04'  # How torch tells the two kinds of its files apart.
# A file of the time before torch 1.6 is five pickles and then the numbers.
_NUM_PICKLES = 5
# Bytes that a step of a pickle may stand for, such as '}' for a dict; the sum
# is held against the bound of `limits`, now and then.
_STEP, _NOW_AND_THEN = 64, 2**14


# What zipfile and pickletools raise for damaged files.
_DAMAGE = (
  *(OSError, ValueError, EOFError, OverflowError, LookupError),
  *(RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error),
)


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
    return _Converter(path).to_arrays(content)
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
    ValueError: no such file, a damaged one, one that would take far more
      memory than its size, or one whose pickle names other functions than those
      that tensors are rebuilt from; they are listed.
  """
  try:
    with warnings.catch_warnings():
      # Of texts with backslashes that stand for nothing.
      warnings.simplefilter('ignore', DeprecationWarning)
      names = sorted(set(_named(path)) - _NAMES)
  except _DAMAGE as error:
    raise ValueError(
      f'{path} must be a file of torch.save, but cannot be read ({error}); '
      'fetch it again.'
    ) from error
  wrong = [name for name in names if not (configs and _is_of_a_config(name))]
  if not wrong:
    wrong = names[_MAX_OF_A_CONFIG:]
  if wrong:
    first = [repr(limits.shown(name)) for name in wrong[:_MAX_NAMES]]
    more = len(wrong) - len(first)
    raise ValueError(
      f'{path} must hold tensors{" and a config" if configs else ""} only, but '
      f'its pickle asks for {", ".join(first)}'
      f'{f" and {more:,} more" if more else ""}, which is not called: such a '
      'file can run any program. Save its state_dict alone, where you trust it.'
    )
  return names


def _is_of_a_config(name: str) -> bool:
  parts = name.replace(' ', '.').split('.')
  if name.startswith(_BY_OPCODE) or not all(map(str.isidentifier, parts)):
    return False
  return torch_configs.is_known(name) or torch_configs.may_be_mentioned(name)


def _named(path: pathlib.Path) -> Iterator[str]:
  """Names of all functions and classes that the pickles of a file ask for."""
  with path.open('rb') as file:
    if file.peek(4).startswith(_ZIP):
      with zipfile.ZipFile(file) as archive:
        pickles = _find_pickles(path, archive)
        parts = [io.BytesIO(archive.read(member)) for member in pickles]
      yield from _names_of(path, parts)
      return
    # Mapped: a length in a pickle may say anything, and no more is read than
    # there is.
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
      yield from _names_of(path, _until_end(content))


def _find_pickles(
  path: pathlib.Path, archive: zipfile.ZipFile
) -> list[zipfile.ZipInfo]:
  members = archive.infolist()
  # As torch finds them: it takes upper case for lower case.
  names = [member.filename.lower() for member in members]
  if len(set(names)) < len(names):
    raise ValueError('a zip file with two members of one name')
  for member in members:
    limits.inside(path, member.filename)
  limits.check_unpacked(path, sum(member.file_size for member in members))
  found = [
    member
    for member, name in zip(members, names, strict=True)
    if name.endswith('.pkl')
  ]
  if not found:
    raise ValueError('a zip file without a data.pkl')
  return found


def _until_end(content: mmap.mmap) -> Iterator[mmap.mmap]:
  """The file again and again, until it or its pickles end."""
  for _ in range(_NUM_PICKLES):
    yield content
    if content.tell() == len(content):
      return


def _names_of(path: pathlib.Path, pickles: Iterable[Any]) -> Iterator[str]:
  """Names in pickles; a file is left behind each."""
  num_steps = 0
  for file in pickles:
    for opcode, argument, _ in pickletools.genops(file):
      num_steps += 1
      if num_steps % _NOW_AND_THEN == 0:
        limits.check_unpacked(path, _STEP * num_steps)
      if opcode.name in _NAMING:
        yield str(argument)
      elif opcode.name in _HIDDEN:
        yield f'{_BY_OPCODE} {opcode.name}'


class _Converter:
  """Tensors become numpy arrays, whatever they are nested in.

  A tensor may be a view of few numbers that says that it is of many, and a list
  may hold another twice, which does the same: what is made is added up.
  """

  def __init__(self, path: pathlib.Path) -> None:
    self._path = path
    self._num_bytes = 0

  def to_arrays(self, content: Any) -> Any:
    """Converts; raises ValueError where it is too much, RecursionError too."""
    self._add(_STEP)
    if isinstance(content, Mapping):
      return {key: self.to_arrays(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
      return [self.to_arrays(value) for value in content]
    if hasattr(content, 'detach'):
      self._add(content.nelement() * content.element_size())
      return np.asarray(content.detach().numpy())
    return content

  def _add(self, num_bytes: int) -> None:
    self._num_bytes += num_bytes
    limits.check_unpacked(self._path, self._num_bytes)
