# SPDX-License-Identifier: Apache-2.0
"""A deferred product is the product, for whoever reads it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import layers
from ng_jax.layers import linear

_READERS = {
  'linear': lambda: linear.Linear(5),
  'no_bias': lambda: linear.Linear(5, use_bias=False),
  'pair': lambda: linear.PairLinear(5),
}


def _draw(*shape, key):
  return np.random.default_rng(key).normal(size=shape)


@pytest.fixture
def groups():
  drawn = (_draw(2, 3, 4, key=0), _draw(6, 4, key=1))
  return tuple(x.astype(np.float32) for x in drawn)


@pytest.mark.parametrize('name', _READERS)
def test_readers_agree_with_what_is_multiplied_out(name, groups):
  with jax.enable_x64(True):
    groups = tuple(jnp.asarray(x, jnp.float64) for x in groups)
    kernel, bias = _draw(4, 3, key=2), _draw(3, key=3)
    reader = _READERS[name]()
    deferred = layers.Deferred(groups, jnp.asarray(kernel), jnp.asarray(bias))
    params = reader.init(jax.random.key(4), deferred)
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), params)

    def read(params, deferred, *, early):
      given = layers.multiplied_out(deferred) if early else deferred
      outputs = jax.tree.leaves(reader.apply(params, given))
      return sum(jnp.sum(jnp.sin(x)) for x in outputs), outputs

    results = [
      jax.value_and_grad(read, (0, 1), has_aux=True)(
        params, deferred, early=early
      )
      for early in (False, True)
    ]
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12),
      *results,
    )


def test_reads_arrays_and_deferred_products_side_by_side(groups):
  deferred = layers.Deferred(groups, jnp.eye(4), jnp.ones(4))
  layer = layers.SplitLinear(5)
  params = layer.init(jax.random.key(0), groups[1], deferred)
  first, second = layer.apply(params, groups[1], deferred)
  shifted = tuple(x + 1 for x in groups)
  expected = layer.apply(params, groups[1], shifted)
  np.testing.assert_allclose(first, expected[0], rtol=1e-5)
  for a, b in zip(second, expected[1], strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_computation_dtype_is_kept(groups):
  half = tuple(x.astype(jnp.bfloat16) for x in groups)
  deferred = layers.Deferred(half, jnp.eye(4), jnp.zeros(4))
  layer = layers.Linear(5, dtype=jnp.bfloat16)
  params = layer.init(jax.random.key(0), deferred)
  outputs = layer.apply(params, deferred)
  assert {x.dtype for x in outputs} == {jnp.dtype(jnp.bfloat16)}
  (product, _) = layers.multiplied_out(deferred, jnp.bfloat16)
  assert product.dtype == jnp.bfloat16


def test_arrays_are_left_alone(groups):
  assert layers.multiplied_out(groups) is groups
