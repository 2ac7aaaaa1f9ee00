# SPDX-License-Identifier: Apache-2.0
"""Options of models as JSON: dataclasses carry a tag, nothing is pickled.

A tag names a public dataclass of ng_jax, such as 'networks.Siren'; reading one
builds that class from its fields and can do nothing else.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from ng_jax import networks
from ng_jax import specs
from ng_jax import weights

_TAG = '__type__'
_PARTS = {'networks': networks, 'specs': specs, 'weights': weights}


def _known_types() -> dict[str, Any]:
  return {
    f'{part}.{name}': value
    for part, module in _PARTS.items()
    for name in module.__all__
    if dataclasses.is_dataclass(value := getattr(module, name))
    and isinstance(value, type)
  }


def to_json(value: Any, *, name: str) -> Any:
  """Turns an option into JSON types.

  Args:
    value: None, bool, number, string, dtype, a public dataclass of networks,
      specs or weights, or a tuple, list or str-keyed mapping of such.
    name: of the option, for messages.

  Returns:
    What `json.dumps` takes. Jit: no.

  Raises:
    ValueError: a value of another type.
  """
  if value is None or isinstance(value, bool | int | float | str):
    return value
  if isinstance(value, np.bool_ | np.number):
    return value.item()
  if isinstance(value, tuple | list):
    return [to_json(x, name=name) for x in value]
  if isinstance(value, Mapping) and _TAG not in value:
    return {str(k): to_json(x, name=f'{name}.{k}') for k, x in value.items()}
  for tag, kind in _known_types().items():
    if type(value) is kind:
      fields = {
        f.name: to_json(getattr(value, f.name), name=f'{name}.{f.name}')
        for f in dataclasses.fields(value)
        if f.init
      }
      return {_TAG: tag, **fields}
  dtype = _dtype_name(value)
  if dtype is not None:
    return {_TAG: 'dtype', 'name': dtype}
  raise ValueError(
    f'option {name!r} cannot be saved as JSON: {value!r} of type '
    f'{type(value).__name__}; may be numbers, strings, dtypes, tuples and '
    f'{sorted(_known_types())}.'
  )


def from_json(value: Any) -> Any:
  """Inverse of `to_json`; lists come back as tuples.

  Args:
    value: as `json.loads` returns it.

  Returns:
    The option. Jit: no.

  Raises:
    ValueError: an unknown tag, or fields that its class does not have.
  """
  if isinstance(value, list):
    return tuple(map(from_json, value))
  if not isinstance(value, dict):
    return value
  fields = {k: from_json(x) for k, x in value.items() if k != _TAG}
  if _TAG not in value:
    return fields
  tag = value[_TAG]
  known = _known_types()
  try:
    if tag == 'dtype':
      return jnp.dtype(fields['name'])
    if tag in known:
      return known[tag](**fields)
  except (KeyError, TypeError) as error:
    raise ValueError(
      f'the fields {sorted(fields)} do not make a {tag}: {error}.'
    ) from error
  raise ValueError(
    f'unknown {_TAG} {tag!r}; expected one of {sorted([*known, "dtype"])}.'
  )


def _dtype_name(value: Any) -> str | None:
  if not isinstance(value, type | np.dtype) and not hasattr(value, 'dtype'):
    return None
  try:
    return jnp.dtype(value).name
  except TypeError:
    return None
