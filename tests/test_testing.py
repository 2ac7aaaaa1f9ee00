# SPDX-License-Identifier: Apache-2.0
"""Tests of the public checks of symmetry: what passes, what is caught."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import specs
from ng_jax import testing
from tests import example_networks

_NETWORK = networks.Mlp((2, 4, 3, 1), activation='tanh')
_POINTS = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)


def _weights(spec=_NETWORK.spec, batch_shape=()):
  rng = np.random.default_rng(1)
  return specs.from_leaf_arrays(
    {
      leaf.path: rng.normal(size=(*batch_shape, *spec.leaf_shape(leaf)))
      for leaf in spec.leaves
    }
  )


def _invariant(fn, spec=_NETWORK.spec, batch_shape=(), **options):
  testing.assert_invariant(
    fn,
    spec,
    weights=_weights(spec, batch_shape),
    key=jax.random.key(0),
    **options,
  )


def _equivariant(fn, spec=_NETWORK.spec, **options):
  testing.assert_equivariant(
    fn, spec, weights=_weights(spec), key=jax.random.key(0), **options
  )


def test_a_network_is_invariant():
  _invariant(lambda weights: _NETWORK.apply(weights, _POINTS))


def test_sums_of_a_batch_are_invariant():
  _invariant(
    lambda weights: jax.tree.map(lambda x: x.sum((-1, -2)), weights),
    specs.mlp((1, 3, 1)),
    batch_shape=(2, 5),
    atol=1e-4,
  )


def test_the_largest_difference_is_named():
  def peek(weights):
    first = weights['layer_1']['kernel']
    return {'sum': jnp.sum(first), 'small': first[0], 'large': 100 * first[0]}

  with pytest.raises(
    AssertionError, match=r"is not invariant under .*\['large'\] differs by \d"
  ):
    _invariant(peek)


def test_the_tolerances_are_kept():
  def almost(weights):
    return 1.0 + 1e-3 * weights['layer_1']['kernel'][0]

  _invariant(almost, atol=0.1)
  _invariant(almost, rtol=0.1)
  with pytest.raises(AssertionError, match='allowed are atol=1e-05 and rtol='):
    _invariant(almost)


@pytest.mark.allow_nans
def test_nan_is_a_difference():
  with pytest.raises(AssertionError, match='the result differs by inf'):
    _invariant(lambda weights: np.full(3, np.nan))


def test_another_structure_is_a_difference():
  results = iter([{'a': np.zeros(2)}, {'b': np.zeros(2)}])
  with pytest.raises(AssertionError, match='is not invariant: it returns'):
    _invariant(lambda weights: next(results))


def test_another_shape_is_a_difference():
  results = iter([np.zeros(2), np.zeros(3)])
  with pytest.raises(AssertionError, match='differs by inf'):
    _invariant(lambda weights: next(results))


def test_edits_that_treat_neurons_alike_are_equivariant():
  spec = example_networks.residual_norm().spec
  _equivariant(lambda weights: jax.tree.map(jnp.tanh, weights), spec)


def test_edits_that_do_not_are_not():
  def edit(weights):
    first = weights['layer_1']
    bias = first['bias'] * np.arange(4)
    return {**weights, 'layer_1': {**first, 'bias': bias}}

  with pytest.raises(
    AssertionError, match=r"not equivariant .*\['layer_1'\]\['bias'\] differs"
  ):
    _equivariant(edit)


def test_edits_may_leave_out_buffers():
  spec = example_networks.conv().spec

  def edit(weights):
    norm = {name: weights['norm'][name] for name in ('scale', 'bias')}
    return {**weights, 'norm': norm}

  _equivariant(edit, spec)


def test_edits_must_return_weights_of_the_spec():
  with pytest.raises(ValueError, match='layer_2/kernel is missing'):
    _equivariant(lambda weights: {'layer_1': weights['layer_1']})


def test_a_spec_without_symmetry_checks_nothing():
  with pytest.raises(ValueError, match='must have hidden neurons that may be'):
    _invariant(lambda weights: np.zeros(1), specs.mlp((2, 1, 2)))


def test_drawn_weights_fit_their_spec():
  spec = example_networks.conv().spec
  draw = jax.jit(
    lambda key: testing.draw_weights(
      key, spec, batch_shape=(2,), dtype=jnp.bfloat16
    )
  )
  weights = draw(jax.random.key(0))
  assert specs.check_weights(spec, weights) == (2,)
  assert all(x.dtype == jnp.bfloat16 for x in jax.tree.leaves(weights))
  assert all(
    np.all(np.asarray(x, np.float32) != 0) for x in jax.tree.leaves(weights)
  )
  assert np.all(np.asarray(weights['norm']['var'], np.float32) >= 0.5)
