# SPDX-License-Identifier: Apache-2.0
"""Configs of OmegaConf in torch's files, read without OmegaConf.

A pickled config names classes: those of its nodes, and a dataclass of the
project that it was made from. None of them is imported. torch's restricted
reader gets inert classes of the same names, which keep what they are given and
do nothing; afterwards they are turned into dicts and lists. A class of a
project is only ever mentioned in such a file; who calls it is refused.
"""

from collections.abc import Iterable, Mapping
import sys
from typing import Any

# What the pickles of configs and of records beside them name, besides nodes.
_KNOWN = frozenset(
  {
    '_codecs encode',
    '_operator getitem',
    'collections defaultdict',
    'numpy dtype',
    'numpy.core.multiarray scalar',
    'numpy._core.multiarray scalar',
    *(
      f'{module} {name}'
      for module in ('builtins', '__builtin__')
      for name in (
        *('bool', 'bytes', 'dict', 'float', 'int', 'list', 'long'),
        *('object', 'str', 'tuple', 'type', 'unicode'),
      )
    ),
    *(
      f'typing {name}'
      for name in ('Any', 'Dict', 'List', 'Optional', 'Tuple', 'Union')
    ),
  }
)
_NODES = ('base', 'dictconfig', 'listconfig', 'nodes')
_CONTENT, _VALUE = '_content', '_val'
# Modules whose functions do things; a config mentions none of them.
_REFUSED = frozenset({*sys.stdlib_module_names, 'numpy', 'omegaconf', 'torch'})
# Real ones have a few dozen values, and three levels.
_MAX_VALUES, _MAX_DEPTH = 10_000, 100


class Inert:
  """Stands for an object of a pickled config, and keeps its state."""

  state: Any = None

  def __new__(cls, *unused_arguments: Any) -> 'Inert':
    """Takes anything, and does nothing with it."""
    return object.__new__(cls)

  def __init__(self, *unused_arguments: Any) -> None:
    """Takes anything; a pickle may leave this out."""

  def __setstate__(self, state: Any) -> None:
    """Keeps the state."""
    self.state = state


def is_known(name: str) -> bool:
  """Whether a config may name this and have it called.

  Args:
    name: 'module name', as pickles have it.

  Returns:
    True for nodes of OmegaConf and for types. Jit: no.
  """
  module = name.partition(' ')[0]
  return name in _KNOWN or module in {f'omegaconf.{node}' for node in _NODES}


def may_be_mentioned(name: str) -> bool:
  """Whether a name may be a class of the project that a config is of.

  Args:
    name: 'module name', as pickles have it.

  Returns:
    False for names of Python itself, of torch and of numpy. Jit: no.
  """
  return name.partition('.')[0].partition(' ')[0] not in _REFUSED


def stand_ins(names: Iterable[str]) -> list[type[Inert]]:
  """Inert classes of the given names.

  Args:
    names: 'module name', as pickles have them.

  Returns:
    A class for each, and for those that any config may name. One that is not
    known raises ValueError when it is called. Jit: no.
  """
  found = []
  # torch knows the builtins of Python 2 by their later names.
  for name in sorted({*names, *_KNOWN}):
    module, _, qualified = name.partition(' ')
    fields: dict[str, Any] = {'__module__': module, '__qualname__': qualified}
    if not is_known(name):
      fields['__new__'] = _refuse_call
    found.append(type(qualified, (Inert,), fields))
  return found


def _refuse_call(cls: type[Inert], *unused_arguments: Any) -> Inert:
  raise ValueError(
    f'it calls {cls.__module__}.{cls.__qualname__}, and not only mentions it'
  )


def to_plain(content: Any) -> Any:
  """Turns a config into dicts, lists and values.

  Args:
    content: as read with the stand-ins, or plain already.

  Returns:
    The config; None where a node has no value. Jit: no.

  Raises:
    ValueError: an object that is no node of a config; too many values, too
      deep.
  """
  left = [_MAX_VALUES]

  def convert(value: Any, depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > _MAX_DEPTH:
      raise ValueError(
        f'a config of more than {_MAX_VALUES:,} values or {_MAX_DEPTH} levels'
      )
    if isinstance(value, Inert):
      state = value.state
      if not isinstance(state, Mapping) or not {_CONTENT, _VALUE} & set(state):
        raise ValueError(f'a config with an object of {type(value).__name__}')
      return convert(state.get(_CONTENT, state.get(_VALUE)), depth + 1)
    if isinstance(value, Mapping):
      return {str(key): convert(x, depth + 1) for key, x in value.items()}
    if isinstance(value, list | tuple):
      return [convert(x, depth + 1) for x in value]
    return value

  return convert(content, 0)
