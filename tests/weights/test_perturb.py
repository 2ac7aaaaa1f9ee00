# SPDX-License-Identifier: Apache-2.0
"""Noise and dropout of the weights of any network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax.weights import perturb

_WEIGHTS = {
  'a': jnp.linspace(1.0, 3.0, 20_000).reshape(100, 200),
  'b': {'bias': jnp.full(10_000, 2.0), 'one': jnp.array([5.0])},
}


def test_nothing_is_asked_for():
  settings = perturb.Perturb()
  assert not settings.active
  found = settings.apply(jax.random.key(0), _WEIGHTS)
  jax.tree.map(np.testing.assert_array_equal, found, _WEIGHTS)


def test_noise_is_relative_to_each_tensor():
  settings = perturb.Perturb(noise=0.1)
  found = jax.jit(settings.apply)(jax.random.key(0), _WEIGHTS)
  moved = np.asarray(found['a'] - _WEIGHTS['a'])
  expected = 0.1 * float(np.std(_WEIGHTS['a'], ddof=1))
  assert np.std(moved) == pytest.approx(expected, rel=0.03)
  assert np.mean(moved) == pytest.approx(0, abs=0.03 * expected)
  # A constant tensor and a single number stay.
  np.testing.assert_allclose(found['b']['bias'], 2.0, rtol=1e-5)
  assert found['b']['one'] == 5.0


def test_dropout_keeps_the_mean():
  settings = perturb.Perturb(dropout=0.25)
  found = np.asarray(settings.apply(jax.random.key(1), _WEIGHTS)['b']['bias'])
  assert set(np.unique(found)) == {0.0, np.float32(2.0 / 0.75)}
  assert np.mean(found == 0) == pytest.approx(0.25, abs=0.02)


def test_refuses_bad_values():
  with pytest.raises(ValueError, match='got noise=-1 and dropout=0'):
    perturb.Perturb(noise=-1, dropout=0)
  with pytest.raises(ValueError, match='got noise=0.0 and dropout=1'):
    perturb.Perturb(dropout=1)
