# SPDX-License-Identifier: Apache-2.0
"""Names and signatures of the public packages, as text.

Written again, after a change that is meant, with

  .venv/bin/python -m tests.project.public_api > tests/project/public_api.txt
"""

from collections.abc import Iterator
import dataclasses
import importlib
import inspect
import types
import typing
from typing import Any

from flax import linen as nn

# Packages and modules whose names users may rely on.
PUBLIC = (
  'ng_jax',
  'ng_jax.data.cnn_zoo',
  'ng_jax.data.inr',
  'ng_jax.graphs',
  'ng_jax.layers',
  'ng_jax.meta',
  'ng_jax.meta.estimators',
  'ng_jax.models',
  'ng_jax.networks',
  'ng_jax.numerics',
  'ng_jax.optimizers',
  'ng_jax.plots',
  'ng_jax.pretrained',
  'ng_jax.processes',
  'ng_jax.specs',
  'ng_jax.testing',
  'ng_jax.train.classification',
  'ng_jax.train.editing',
  'ng_jax.train.generalization',
  'ng_jax.train.running',
  'ng_jax.weights',
)
# Written out as defaults; others (functions, sentinels) are only said to be.
_PLAIN = (bool, int, float, str, type(None))
# Fields that Flax gives every module.
_OF_FLAX = ('parent', 'name')


def lines() -> Iterator[str]:
  """One line a public name, function and method.

  Yields:
    Texts, in order.
  """
  for module_name in PUBLIC:
    module = importlib.import_module(module_name)
    for name in sorted(names(module)):
      yield from _describe(f'{module_name}.{name}', getattr(module, name))


def names(module: types.ModuleType) -> list[str]:
  """Public names: of __all__, or what the module itself defines."""
  listed = getattr(module, '__all__', None)
  if listed is not None:
    return list(listed)
  return [
    name
    for name, value in vars(module).items()
    if not name.startswith('_')
    and getattr(value, '__module__', None) == module.__name__
  ]


def _describe(name: str, value: Any) -> Iterator[str]:
  if isinstance(value, types.ModuleType):
    yield f'{name}: module'
  elif typing.get_origin(value) is not None:
    yield f'{name}: type'
  elif inspect.isclass(value):
    yield f'{name}{_fields(value)}'
    for member, method in sorted(vars(value).items()):
      if member.startswith('_') or member in _field_names(value):
        continue
      if isinstance(method, property):
        yield f'  .{member}'
      elif isinstance(method, classmethod | staticmethod):
        yield f'  .{member}{_signature(method.__func__)}'
      elif inspect.isfunction(method):
        yield f'  .{member}{_signature(method)}'
  elif callable(value):
    yield f'{name}{_signature(value)}'
  elif isinstance(value, dict):
    yield f'{name}: {sorted(map(str, value))}'
  else:
    yield f'{name}: {type(value).__name__}'


def _field_names(value: Any) -> list[str]:
  if not dataclasses.is_dataclass(value):
    return list(getattr(value, '_fields', ()))
  return [field.name for field in _own_fields(value)]


def _own_fields(value: Any) -> list[dataclasses.Field]:
  hidden = _OF_FLAX if issubclass(value, nn.Module) else ()
  return [f for f in dataclasses.fields(value) if f.name not in hidden]


def _fields(value: Any) -> str:
  """What a class is made of."""
  if not dataclasses.is_dataclass(value):
    return f'({", ".join(_field_names(value))})'
  parts = [
    field.name + _default(field.default, field.default_factory)
    for field in _own_fields(value)
    if field.init
  ]
  return f'({", ".join(parts)})'


def _default(value: Any, factory: Any = dataclasses.MISSING) -> str:
  if value in (dataclasses.MISSING, inspect.Parameter.empty):
    return '' if factory is dataclasses.MISSING else '=...'
  if isinstance(value, _PLAIN) or (
    isinstance(value, tuple) and all(isinstance(x, _PLAIN) for x in value)
  ):
    return f'={value!r}'
  return '=...'


def _signature(function: Any) -> str:
  try:
    found = inspect.signature(function).parameters.values()
  except (TypeError, ValueError):
    return '(...)'
  parts, keyword_only = [], False
  for parameter in found:
    if parameter.kind is parameter.VAR_POSITIONAL:
      parts.append(f'*{parameter.name}')
      keyword_only = True
      continue
    if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
      parts.append('*')
      keyword_only = True
    stars = '**' if parameter.kind is parameter.VAR_KEYWORD else ''
    parts.append(f'{stars}{parameter.name}{_default(parameter.default)}')
  return f'({", ".join(parts)})'


if __name__ == '__main__':
  for line in lines():
    print(line)
