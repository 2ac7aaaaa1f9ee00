# SPDX-License-Identifier: Apache-2.0
"""Checks of symmetry for functions of weights, for your tests and for ours.

A hidden permutation that the spec allows changes the weights of a network but
not the network. A model that reads it must not notice (`assert_invariant`); a
function that writes weights must write the permuted ones
(`assert_equivariant`).
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import specs

_NUM_DRAWS = 32


def draw_weights(
  key: jax.Array,
  spec: specs.NetworkSpec,
  *,
  batch_shape: tuple[int, ...] = (),
  dtype: Any = jnp.float32,
) -> specs.Weights:
  """Draws weights of any spec, none of them zero or alike.

  Args:
    key: typed PRNG key.
    spec: of the network.
    batch_shape: leading axes of every leaf.
    dtype: of the leaves.

  Returns:
    Leaves [*batch_shape, *leaf_shape]: normal with variance 1 / size of the
    source for edges, normal with standard deviation 0.3 for biases, uniform in
    [0.5, 1.5] for diagonal blocks and buffers. Jit: yes, with spec, shape and
    dtype static.
  """
  arrays = {}
  for i, leaf in enumerate(spec.leaves):
    leaf_key = jax.random.fold_in(key, i)
    shape = (*batch_shape, *spec.leaf_shape(leaf))
    block = spec.block(leaf.fills) if leaf.kind == 'edge' else None
    if leaf.kind == 'buffer' or (block and block.kind == 'diagonal'):
      values = jax.random.uniform(leaf_key, shape, dtype, 0.5, 1.5)
    else:
      fan_in = spec.neuron_set(block.source).size if block else 11.0
      values = fan_in**-0.5 * jax.random.normal(leaf_key, shape, dtype)
    arrays[leaf.path] = values
  return specs.from_leaf_arrays(arrays)


def assert_invariant(
  fn: Callable[[specs.Weights], Any],  # weights -> tree of arrays
  spec: specs.NetworkSpec,
  *,
  weights: specs.Weights,
  key: jax.Array,
  atol: float = 1e-5,
  rtol: float = 1e-5,
) -> None:
  """Checks that a function does not notice hidden permutations.

  Args:
    fn: from weights to a tree of arrays, such as a network's output on fixed
      inputs or a model's prediction.
    spec: of the network.
    weights: leaves [*batch, *leaf_shape] to try it on.
    key: typed PRNG key, draws the permutation.
    atol: largest absolute difference allowed.
    rtol: and relative to the largest value of the array.

  Raises:
    AssertionError: names the array that differs most, and by how much.
    ValueError: a spec without hidden permutations, weights that do not fit.

  Jit: no, it looks at values.
  """
  permutation = _draw_moving(key, spec)
  permuted = specs.permute(spec, weights, permutation)
  _compare(
    fn(permuted), fn(weights), atol=atol, rtol=rtol, rule='is not invariant'
  )


def assert_equivariant(
  fn: Callable[[specs.Weights], specs.Weights],
  spec: specs.NetworkSpec,
  *,
  weights: specs.Weights,
  key: jax.Array,
  atol: float = 1e-5,
  rtol: float = 1e-5,
) -> None:
  """Checks that hidden permutations pass through a function of weights.

  Args:
    fn: from weights to weights of the same spec, such as an edit or an update;
      buffers may be missing in what it returns, as in `graphs.decode`.
    spec: of the network.
    weights: leaves [*batch, *leaf_shape] to try it on.
    key: typed PRNG key, draws the permutation.
    atol: largest absolute difference allowed.
    rtol: and relative to the largest value of the array.

  Raises:
    AssertionError: names the leaf that differs most, and by how much.
    ValueError: a spec without hidden permutations, weights that do not fit,
      also those that `fn` returns.

  Jit: no, it looks at values.
  """
  permutation = _draw_moving(key, spec)
  found = fn(specs.permute(spec, weights, permutation))
  result = fn(weights)
  returned = specs.leaf_arrays(result)
  leaves = tuple(
    leaf
    for leaf in spec.leaves
    if leaf.kind != 'buffer' or leaf.path in returned
  )
  spec = dataclasses.replace(spec, leaves=leaves)
  expected = specs.permute(spec, result, permutation)
  _compare(found, expected, atol=atol, rtol=rtol, rule='is not equivariant')


@functools.partial(jax.jit, static_argnums=1)
def _draw(keys: jax.Array, spec: specs.NetworkSpec) -> Any:
  return jax.vmap(lambda key: specs.draw_permutation(key, spec))(keys)


def _draw_moving(
  key: jax.Array, spec: specs.NetworkSpec
) -> dict[str, np.ndarray]:
  """Draws some permutations and returns the one that moves the most."""
  drawn = {
    name: np.asarray(rows)
    for name, rows in _draw(jax.random.split(key, _NUM_DRAWS), spec).items()
  }
  moved = np.zeros(_NUM_DRAWS, int)
  for rows in drawn.values():
    moved += np.sum(rows != np.arange(rows.shape[1]), axis=1)
  best = int(np.argmax(moved))
  if not moved[best]:
    raise ValueError(
      'spec must have hidden neurons that may be permuted, got none that moved '
      f'in {_NUM_DRAWS} draws; give a spec with a hidden neuron set of size 2 '
      'or more that no skip ties to an input or output.'
    )
  return {name: rows[best] for name, rows in drawn.items()}


def _compare(
  found: Any, expected: Any, *, atol: float, rtol: float, rule: str
) -> None:
  """Raises if two trees differ, naming the array that does most."""
  structures: list[Any] = [jax.tree.structure(t) for t in (found, expected)]
  if structures[0] != structures[1]:
    raise AssertionError(
      f'the function {rule}: it returns {structures[0]} for permuted weights '
      f'and {structures[1]} for the original ones.'
    )
  found_paths, _ = jax.tree_util.tree_flatten_with_path(found)
  expected_leaves = jax.tree.leaves(expected)
  problems = []
  for (path, a), b in zip(found_paths, expected_leaves, strict=True):
    difference, scale = _difference(np.asarray(a), np.asarray(b))
    # Written so that NaN counts as a difference.
    if not difference <= atol + rtol * scale:
      name = jax.tree_util.keystr(path) or 'the result'
      message = f'{name} differs by {difference:.3g} at a scale of {scale:.3g}'
      problems.append((difference, message))
  if problems:
    raise AssertionError(
      f'the function {rule} under a hidden permutation: {max(problems)[1]}, '
      f'allowed are {atol=:g} and {rtol=:g}.'
    )


def _difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
  """Largest absolute difference, and the largest value of `b`."""
  if a.shape != b.shape:
    return float('inf'), 0.0
  a, b = a.astype(np.float64), b.astype(np.float64)
  difference = float(np.max(np.abs(a - b), initial=0.0))
  scale = float(np.max(np.abs(b), initial=0.0))
  return (float('inf') if np.isnan(difference) else difference), scale
