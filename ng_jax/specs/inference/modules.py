# SPDX-License-Identifier: Apache-2.0
"""Flax Linen modules, NNX modules and plain functions, all alike.

Whatever a user has becomes a function of one flat mapping {path: leaf} and of
the inputs. Paths are relative to the parameter tree. Running statistics stand
beside the parameters of their layer ('BatchNorm_0/mean' beside
'BatchNorm_0/scale'), with the collection in front only where a path is taken.
"""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

from flax import linen as nn
from flax import traverse_util
import jax


@dataclasses.dataclass(frozen=True)
class Adapter:
  """A network as a function of its leaves.

  Attributes:
    call: (variables, x) -> output, variables being what the user has.
    flatten: variables -> {path: array}.
    unflatten: its inverse.
    arrays: {path: array} of the weights that were given.
    buffers: paths of running statistics.
  """

  call: Callable[[Any, Any], Any]
  flatten: Callable[[Any], dict[str, Any]]
  unflatten: Callable[[Mapping[str, Any]], Any]
  arrays: Mapping[str, Any]
  buffers: frozenset[str] = frozenset()

  def apply(self, arrays: Mapping[str, Any], x: Any) -> Any:
    """Runs the network on flat arrays, {path: array}. Jit: yes."""
    return self.call(self.unflatten(arrays), x)


def adapt(
  module: Any, variables: Any, call_options: Mapping[str, Any]
) -> Adapter:
  """Makes the function.

  Args:
    module: a Linen module, an NNX module, or a function (weights, x) -> y.
    variables: of a Linen module, {'params': ...} with or without other
      collections, or its bare parameters; None for an NNX module; the weights
      tree of a function.
    call_options: keyword arguments of every call, such as `train=False`.

  Returns:
    The adapter. Jit: static.

  Raises:
    ValueError: variables that do not go with the module.
  """
  if isinstance(module, nn.Module):
    return _adapt_linen(module, variables, call_options)
  # Imported here, as NNX is a large package that few specs need.
  from flax import nnx

  if isinstance(module, nnx.Module):
    if variables is not None:
      raise ValueError(
        'variables must be None for an NNX module, which holds its own, got '
        f'{type(variables).__name__}.'
      )
    return _adapt_nnx(module, call_options)
  if not callable(module):
    raise ValueError(
      'module must be a Flax Linen module, an NNX module or a function '
      f'(weights, x) -> y, got {type(module).__name__}.'
    )
  return _adapt_function(module, variables, call_options)


def _adapt_linen(
  module: nn.Module, variables: Any, call_options: Mapping[str, Any]
) -> Adapter:
  if not isinstance(variables, Mapping):
    raise ValueError(
      'variables of a Linen module must be what its init returns, or its '
      f"'params', got {type(variables).__name__}."
    )
  places = _linen_places(_collections(variables))

  def flatten(given: Any) -> dict[str, Any]:
    collections = _collections(given)
    return {
      path: collections[name][keys] for path, (name, keys) in places.items()
    }

  def unflatten(arrays: Mapping[str, Any]) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for path, (name, keys) in places.items():
      filled.setdefault(name, {})[keys] = arrays[path]
    return {
      name: traverse_util.unflatten_dict(flat) for name, flat in filled.items()
    }

  def call(filled: Any, x: Any) -> Any:
    return module.apply(filled, x, **call_options)

  buffers = frozenset(p for p, (name, _) in places.items() if name != 'params')
  return Adapter(call, flatten, unflatten, flatten(variables), buffers)


def _collections(variables: Any) -> dict[str, Any]:
  """{collection: {keys: array}} of variables or bare parameters."""
  if 'params' not in variables:
    variables = {'params': variables}
  return {
    name: traverse_util.flatten_dict(tree) for name, tree in variables.items()
  }


def _linen_places(
  collections: Mapping[str, Any],
) -> dict[str, tuple[str, tuple[str, ...]]]:
  """{path: (collection, keys)}, parameters first."""
  places: dict[str, tuple[str, tuple[str, ...]]] = {}
  for name in sorted(collections, key=lambda name: name != 'params'):
    for keys in collections[name]:
      path = '/'.join(map(str, keys))
      places[f'{name}/{path}' if path in places else path] = (name, keys)
  return places


def _adapt_nnx(module: Any, call_options: Mapping[str, Any]) -> Adapter:
  from flax import nnx

  found: tuple[Any, ...] = nnx.split(module, nnx.Param, nnx.BatchStat, ...)
  graph, params, statistics, *others = found

  def paths(state: Any) -> dict[str, Any]:
    flat = traverse_util.flatten_dict(nnx.to_pure_dict(state))
    return {
      '/'.join(map(str, keys)): keys
      for keys, value in flat.items()
      if value is not None
    }

  def flatten(given: Any) -> dict[str, Any]:
    state = nnx.state(given, (nnx.Param, nnx.BatchStat))
    flat = traverse_util.flatten_dict(nnx.to_pure_dict(state))
    return {path: flat[keys] for path, keys in order.items()}

  def unflatten(arrays: Mapping[str, Any]) -> Any:
    states = []
    for state in (params, statistics):
      flat = traverse_util.flatten_dict(nnx.to_pure_dict(state))
      for path, keys in paths(state).items():
        flat[keys] = arrays[path]
      new = jax.tree.map(lambda leaf: leaf, state)
      nnx.replace_by_pure_dict(new, traverse_util.unflatten_dict(flat))
      states.append(new)
    return nnx.merge(graph, *states, *others)

  def call(filled: Any, x: Any) -> Any:
    return filled(x, **call_options)

  order = {**paths(params), **paths(statistics)}
  buffers = frozenset(paths(statistics))
  return Adapter(call, flatten, unflatten, flatten(module), buffers)


def _adapt_function(
  function: Callable[..., Any], weights: Any, call_options: Mapping[str, Any]
) -> Adapter:
  structure = jax.tree.structure(weights)

  def flatten(given: Any) -> dict[str, Any]:
    found, _ = jax.tree_util.tree_flatten_with_path(given)
    return {_path(keys): array for keys, array in found}

  def unflatten(arrays: Mapping[str, Any]) -> Any:
    return jax.tree.unflatten(structure, [arrays[path] for path in order])

  def call(filled: Any, x: Any) -> Any:
    return function(filled, x, **call_options)

  order = list(flatten(weights))
  return Adapter(call, flatten, unflatten, flatten(weights))


def _path(keys: tuple[Any, ...]) -> str:
  return jax.tree_util.keystr(keys, simple=True, separator='/')
