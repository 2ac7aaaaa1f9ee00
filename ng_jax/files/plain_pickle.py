# SPDX-License-Identifier: Apache-2.0
"""Reads pickles of arrays, bytes, numbers, lists and dictionaries.

A pickle is a program. Its steps are looked at before any is done: only those
that make plain data are known, few of them may make something larger than they
are, and what they call is ours. Nothing is imported.
"""

import io
import pickle
import pickletools
from typing import Any
import warnings

import numpy as np

# Steps that make plain data.
_KNOWN = frozenset(
  'PROTO FRAME STOP MARK POP_MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 '
  'BININT2 LONG1 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES '
  'UNICODE BINUNICODE SHORT_BINUNICODE EMPTY_LIST LIST APPEND APPENDS '
  'EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS PUT '
  'BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL '
  'REDUCE BUILD'.split()
)
# Those that make more than their own length; the published files have few.
_COSTLY = frozenset(
  'MARK EMPTY_LIST LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT '
  'REDUCE BUILD GLOBAL STACK_GLOBAL NEWTRUE NEWFALSE NONE'.split()
)
_MEMO = frozenset('PUT BINPUT LONG_BINPUT'.split())
_MAX_COSTLY = 2_000
# Of the texts that Python 3 writes bytes of Python 2 as, times the file.
_MAX_ENCODED = 2
_DTYPES = ('u1', '|u1', 'i4', 'i8', '<i4', '<i8')


class Refused(ValueError):
  """A pickle asks for something that is not plain data."""


def load(content: bytes) -> Any:
  """Reads a pickle.

  Args:
    content: of the file.

  Returns:
    What it holds; its texts of Python 2 as bytes. Jit: no.

  Raises:
    Refused: it asks for more than plain data.
    Exception: of nearly any kind, for a damaged pickle.
  """
  with warnings.catch_warnings():
    # Of texts with backslashes that stand for nothing.
    warnings.simplefilter('ignore', DeprecationWarning)
    _check_steps(content)
    found = _Unpickler(content).load()
  return _finish(found)


def _check_steps(content: bytes) -> None:
  num_costly, num_steps = 0, 0
  for step, argument, _ in pickletools.genops(content):
    num_steps += 1
    num_costly += step.name in _COSTLY
    if step.name not in _KNOWN:
      raise Refused(f'the step {step.name}')
    if num_costly > _MAX_COSTLY:
      raise Refused(f'more than {_MAX_COSTLY:,} containers and calls')
    if step.name in _MEMO and int(argument or 0) > num_steps:
      raise Refused(f'the place {argument} of its memory')


class _Dtype:
  """Stands for a dtype in a pickle."""

  def __init__(self, code: Any, *unused_flags: Any) -> None:
    name = code.decode('ascii') if isinstance(code, bytes) else str(code)
    if name not in _DTYPES:
      raise Refused(f'an array of dtype {name!r}')
    self.dtype = np.dtype(name.lstrip('|'))

  def __setstate__(self, state: Any) -> None:
    """Leaves the byte order and the rest as they are."""


class _Array:
  """Stands for an array in a pickle, and takes what it consists of."""

  def __init__(self, subtype: Any, shape: Any, code: Any) -> None:
    if subtype is not _Array:
      raise Refused(f'an array of type {subtype!r}')
    self.array = np.empty(0, np.uint8)

  def __setstate__(self, state: Any) -> None:
    """Takes version, shape, dtype, order and bytes."""
    _, shape, dtype, fortran, raw = state
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
      raise Refused('an array of objects')
    flat = np.frombuffer(raw, dtype.dtype)
    self.array = flat.reshape(shape, order='F' if fortran else 'C')


class _Unpickler(pickle.Unpickler):
  """Knows the names that pickles of arrays ask for."""

  def __init__(self, content: bytes) -> None:
    super().__init__(io.BytesIO(content), encoding='bytes')
    self._left = _MAX_ENCODED * len(content)

  def find_class(self, module_name: str, global_name: str) -> Any:
    """Ours of that name; nothing is imported."""
    known: dict[tuple[str, str], Any] = {
      ('numpy', 'ndarray'): _Array,
      ('numpy', 'dtype'): _Dtype,
      ('numpy.core.multiarray', '_reconstruct'): _Array,
      ('numpy._core.multiarray', '_reconstruct'): _Array,
      ('_codecs', 'encode'): self._encode,
    }
    if (module_name, global_name) not in known:
      raise Refused(f'{module_name}.{global_name}')
    return known[module_name, global_name]

  def _encode(self, text: Any, encoding: Any) -> bytes:
    """How Python 3 writes bytes for Python 2."""
    if encoding not in ('latin1', b'latin1'):
      raise Refused(f'the encoding {encoding!r}')
    self._left -= len(text)
    if self._left < 0:
      raise Refused('one text again and again')
    return text if isinstance(text, bytes) else text.encode('latin1')


def _finish(value: Any) -> Any:
  """Puts the arrays into a dictionary of them."""
  if isinstance(value, _Array):
    return value.array
  if type(value) is dict:
    return {
      name: x.array if isinstance(x, _Array) else x for name, x in value.items()
    }
  return value
