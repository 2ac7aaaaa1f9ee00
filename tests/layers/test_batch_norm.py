# SPDX-License-Identifier: Apache-2.0
"""Batch norms are PyTorch's, and do not see padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax.layers import batch_norm

_RNG = np.random.default_rng(0)
_VARIABLES = {
  'params': {
    'scale': _RNG.uniform(0.5, 2, 3),
    'bias': _RNG.normal(size=3),
  },
  'batch_stats': {'mean': _RNG.normal(size=3), 'var': _RNG.uniform(1, 2, 3)},
}


def _train(x, mask=None):
  norm = batch_norm.BatchNorm()
  y, moved = norm.apply(
    _VARIABLES, x, mask, train=True, mutable=['batch_stats']
  )
  return y, moved['batch_stats']


def _affine(x, mean, var):
  params = _VARIABLES['params']
  return (x - mean) / np.sqrt(var + 1e-5) * params['scale'] + params['bias']


def test_training_uses_the_batch_and_notes_it(x64):
  x = _RNG.normal(2.0, 3.0, (4, 5, 6, 3))
  y, moved = _train(x)
  rows = x.reshape(-1, 3)
  np.testing.assert_allclose(y, _affine(x, rows.mean(0), rows.var(0)), 1e-10)
  old = _VARIABLES['batch_stats']
  np.testing.assert_allclose(
    moved['mean'], 0.9 * old['mean'] + 0.1 * rows.mean(0), 1e-10
  )
  # The running variance is unbiased, the one that normalises is not.
  np.testing.assert_allclose(
    moved['var'], 0.9 * old['var'] + 0.1 * rows.var(0, ddof=1), 1e-10
  )


def test_evaluation_uses_the_running_statistics(x64):
  x = _RNG.normal(2.0, 3.0, (4, 5, 3))
  y = batch_norm.BatchNorm().apply(_VARIABLES, x, train=False)
  old = _VARIABLES['batch_stats']
  np.testing.assert_allclose(y, _affine(x, old['mean'], old['var']), 1e-10)


@pytest.mark.allow_nans
@pytest.mark.parametrize('rubbish', [1e30, np.nan])
def test_padding_is_not_seen(x64, rubbish):
  x = _RNG.normal(size=(5, 4, 3))
  mask = np.array([True, False, True, True, False])
  expected, expected_moved = _train(x[mask])
  filled = np.where(mask[:, None, None], x, rubbish)
  y, moved = _train(filled, mask)
  np.testing.assert_allclose(y[mask], expected, rtol=1e-10)
  for name, value in expected_moved.items():
    np.testing.assert_allclose(moved[name], value, rtol=1e-10)

  def loss(x, mask):
    y, _ = _train(x, mask)
    return jnp.sum(jnp.where(mask[:, None, None], y, 0.0) ** 3)

  gradient = jax.grad(loss)(filled, mask)
  alone = jax.grad(loss)(x[mask], np.ones(3, bool))
  np.testing.assert_allclose(gradient[mask], alone, rtol=1e-8, atol=1e-12)


def test_nothing_but_padding_moves_nothing():
  y, moved = _train(np.ones((2, 3), np.float32), np.zeros(2, bool))
  assert np.all(np.isfinite(y))
  for name, value in _VARIABLES['batch_stats'].items():
    np.testing.assert_allclose(moved[name], value, rtol=1e-6)


def test_one_example_has_no_variance():
  y, moved = _train(np.full((1, 3), 7.0, np.float32))
  np.testing.assert_allclose(y[0], _VARIABLES['params']['bias'], rtol=1e-5)
  np.testing.assert_allclose(
    moved['var'], 0.9 * _VARIABLES['batch_stats']['var'], rtol=1e-5
  )


def test_initialisation_is_the_identity_and_moves_nothing():
  x = jnp.asarray(_RNG.normal(5.0, 1.0, (4, 3)), jnp.float32)
  variables = batch_norm.BatchNorm().init(jax.random.key(0), x, train=True)
  np.testing.assert_array_equal(variables['batch_stats']['mean'], 0)
  np.testing.assert_array_equal(variables['batch_stats']['var'], 1)
  y = batch_norm.BatchNorm().apply(variables, x, train=False)
  np.testing.assert_allclose(y, x, rtol=1e-5)
