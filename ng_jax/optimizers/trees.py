# SPDX-License-Identifier: Apache-2.0
"""Any tree of arrays, by path."""

from typing import Any

import jax
import jax.numpy as jnp


def named_leaves(tree: Any) -> dict[str, Any]:
  """The arrays of any tree by path.

  Args:
    tree: a pytree; of nested dicts the paths are those of a `NetworkSpec`.

  Returns:
    {keys joined by '/': leaf} in the order of `jax.tree.leaves`. Jit: yes.
  """
  found, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {'/'.join(map(_key_name, path)): leaf for path, leaf in found}


def _key_name(key: Any) -> str:
  for field in ('key', 'idx', 'name'):
    if hasattr(key, field):
      return str(getattr(key, field))
  return str(key)


def widen(array: Any) -> jax.Array:
  """An array in the dtype of the arithmetic on it: at least float32.

  Args:
    array: float, any shape.

  Returns:
    The same values. Jit: yes.
  """
  array = jnp.asarray(array)
  return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def matching(gradients: Any, params: Any) -> dict[str, jax.Array]:
  """Gradients by path, in the dtype of the arithmetic on their parameters.

  Args:
    gradients: a tree like `params`.
    params: float arrays.

  Returns:
    {path: array}. Jit: yes.

  Raises:
    ValueError: another structure or other shapes, listed.
  """
  of_params = named_leaves(params)
  found = named_leaves(gradients)
  expected = {path: jnp.shape(leaf) for path, leaf in of_params.items()}
  shapes = {path: jnp.shape(leaf) for path, leaf in found.items()}
  if shapes != expected:
    wrong = sorted(set(shapes.items()) ^ set(expected.items()))
    raise ValueError(
      'updates must be gradients with the structure and shapes of params, but '
      f'they differ at {wrong[:6]}; take the gradient with respect to the same '
      'params.'
    )
  return {
    path: jnp.asarray(leaf).astype(widen(of_params[path]).dtype)
    for path, leaf in found.items()
  }
