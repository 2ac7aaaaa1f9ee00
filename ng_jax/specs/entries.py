# SPDX-License-Identifier: Apache-2.0
"""Entries of a spec from JSON, where a value may be of any type."""

from collections.abc import Callable, Iterator
import dataclasses
from typing import Any


def read(kind: Any, content: Any) -> Iterator[Any]:
  """Makes the entries of one kind.

  Args:
    kind: class of `parts`.
    content: list of dicts, as JSON has them.

  Yields:
    The entries. Jit: no.

  Raises:
    ValueError: a value of another type than the field's.
    TypeError: no list of dicts, or other fields.
  """
  types = {field.name: field.type for field in dataclasses.fields(kind)}
  for entry in content:
    if not isinstance(entry, dict):
      raise TypeError(f'a {kind.__name__} must be an object, got {entry!r}')
    fields = {name: _to_tuple(value) for name, value in entry.items()}
    for name, value in fields.items():
      if name in types and not _FITS[types[name]](value):
        raise ValueError(
          f'{name} of a {kind.__name__} must be {types[name]}, got {value!r}'
        )
    yield kind(**fields)


def _to_tuple(value: Any) -> Any:
  return tuple(map(_to_tuple, value)) if isinstance(value, list) else value


def _is_tuple(value: Any, *kinds: type) -> bool:
  return type(value) is tuple and tuple(map(type, value)) == kinds


# Type of a field of the parts -> whether a value is of it; True is no number.
_FITS: dict[Any, Callable[[Any], bool]] = {
  str: lambda value: type(value) is str,
  int: lambda value: type(value) is int,
  tuple[int, int] | None: lambda value: (
    value is None or _is_tuple(value, int, int)
  ),
  tuple[tuple[str, int], ...]: lambda value: (
    type(value) is tuple and all(_is_tuple(x, str, int) for x in value)
  ),
}
