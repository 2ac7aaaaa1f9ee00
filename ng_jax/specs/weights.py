# SPDX-License-Identifier: Apache-2.0
"""Reading and writing the leaves of a weights tree by path."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ng_jax.specs import spec as spec_lib

# Nested mapping from names to arrays, as Flax and optax know it.
Weights = Mapping[str, Any]
_MAX_DEPTH = 100


def leaf_arrays(weights: Weights) -> dict[str, Any]:
  """Flattens a weights tree.

  Args:
    weights: nested mapping of arrays.

  Returns:
    {path: array}, path being the keys joined by '/'. Jit: yes.
  """
  flat: dict[str, Any] = {}
  for name, value in weights.items():
    if isinstance(value, Mapping):
      inner = leaf_arrays(value)
      flat.update({f'{name}/{path}': array for path, array in inner.items()})
    else:
      flat[str(name)] = value
  return flat


def from_leaf_arrays(arrays: Mapping[str, Any]) -> dict[str, Any]:
  """Inverse of `leaf_arrays`.

  Args:
    arrays: {path: array}, path being keys joined by '/'.

  Returns:
    Nested dict of the same arrays. Jit: yes.

  Raises:
    ValueError: a path that goes through another array, or nests too deeply.
  """
  tree: dict[str, Any] = {}
  for path, array in arrays.items():
    *parents, name = path.split('/')
    if len(parents) > _MAX_DEPTH:
      raise ValueError(
        f'paths of arrays must have at most {_MAX_DEPTH + 1} parts, got '
        f'{len(parents) + 1}, {path[:100]!r}...; rename the array.'
      )
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
      if not isinstance(node, dict):
        break
    if not isinstance(node, dict) or name in node:
      raise ValueError(
        f'paths of arrays must not go through other arrays, got {path!r} and '
        'an array that is a part of it or has it as a part; rename one.'
      )
    node[name] = array
  return tree


def num_batch_axes(spec: spec_lib.NetworkSpec, weights: Weights) -> int:
  """Number of leading batch axes that a weights tree has beyond its spec.

  Args:
    spec: of the network.
    weights: nested mapping with leaves [*batch, *leaf_shape].

  Returns:
    The number of batch axes, the same for all leaves. Jit: yes (static).

  Raises:
    ValueError: as `check_weights`.
  """
  return len(check_weights(spec, weights))


def check_weights(
  spec: spec_lib.NetworkSpec, weights: Weights
) -> tuple[int, ...]:
  """Checks that a weights tree is one of, or a batch of, the spec's networks.

  Looks at names and shapes only, so it may be called on traced arrays.

  Args:
    spec: of the network.
    weights: nested mapping with leaves [*batch, *leaf_shape].

  Returns:
    The batch shape, () for one network. Jit: yes (static).

  Raises:
    ValueError: lists every missing, unknown and misshapen leaf at once.
  """
  arrays = leaf_arrays(weights)
  expected = {leaf.path: spec.leaf_shape(leaf) for leaf in spec.leaves}
  problems = [f'{path} is missing' for path in expected if path not in arrays]
  problems += [f'{path} is unknown' for path in arrays if path not in expected]
  batches = {}
  for path in expected:
    if path in arrays:
      shape = tuple(np.shape(arrays[path]))
      k = max(len(shape) - len(expected[path]), 0)
      batches[path] = shape[:k]
      if shape[k:] != expected[path]:
        problems.append(
          f'{path} must have shape {expected[path]} after its batch axes, got '
          f'{shape}'
        )
  if not problems and len(set(batches.values())) > 1:
    problems.append(f'batch axes must agree, got {batches}')
  if problems:
    raise ValueError(
      'weights do not fit the network spec: ' + '; '.join(problems) + '. Give '
      'the spec of this network, or weights with these names and shapes.'
    )
  return next(iter(batches.values()), ())


def map_leaves(
  fn: Callable[[Any, jax.Array], jax.Array],  # (Leaf, array) -> array
  spec: spec_lib.NetworkSpec,
  weights: Weights,
) -> dict[str, Any]:
  """Applies a function to each leaf together with its spec entry.

  Args:
    fn: (leaf, [*batch, *leaf_shape]) -> array.
    spec: of the network.
    weights: nested mapping with leaves [*batch, *leaf_shape].

  Returns:
    A nested dict of the results. Jit: yes.

  Raises:
    ValueError: as `check_weights`.
  """
  check_weights(spec, weights)
  arrays = leaf_arrays(weights)
  return from_leaf_arrays(
    {leaf.path: fn(leaf, arrays[leaf.path]) for leaf in spec.leaves}
  )
