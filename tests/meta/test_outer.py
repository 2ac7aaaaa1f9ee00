# SPDX-License-Identifier: Apache-2.0
"""Outer updates equal their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ng_jax.meta import outer


def run(rule, gradients, theta):
  update = rule.transformation
  state = update.init(theta)
  path = [theta]
  for gradient in gradients:
    updates, state = update.update(gradient, state, theta)
    theta = optax.apply_updates(theta, updates)
    path.append(theta)
  return np.asarray(path, np.float64)


def adam(theta, gradients, rates, *, eps_root=0.0, decay=0.0):
  theta, m, v = np.asarray(theta, np.float64), 0.0, 0.0
  path = [theta]
  for t, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
    gradient = np.asarray(gradient, np.float64) + decay * theta
    m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
    root = np.sqrt(v / (1 - 0.999**t) + eps_root)
    theta = theta - rate * (m / (1 - 0.9**t)) / (root + 1e-8)
    path.append(theta)
  return np.asarray(path)


def test_authors_decay_is_coupled_and_the_rate_ends_at_0():
  # A gradient that is small beside the decay: AdamW would differ.
  theta = jnp.array([3.0, -2.0, 0.5])
  gradients = 1e-3 * jax.random.normal(jax.random.key(0), (6, 3))
  update = outer.create('authors', 6, learning_rate=0.1, weight_decay=0.1)
  rates = 0.1 * (1 + np.cos(np.pi * np.arange(6) / 6)) / 2
  expected = adam(theta, gradients, rates, decay=0.1)
  np.testing.assert_allclose(run(update, gradients, theta), expected, atol=1e-5)
  rate = outer.create('authors', 1000).rate
  np.testing.assert_allclose(
    [rate(0), rate(500), rate(1000)], [3e-4, 1.5e-4, 0], atol=1e-9
  )


def test_evolution_clips_elements_then_the_norm():
  theta = jnp.zeros(2)
  gradients = jnp.array([[30.0, 4.0], [0.1, 0.1]])
  update = outer.create('evolution', 10, clip_elements=3.0, warmup_fraction=0.0)
  clipped = [np.array([3.0, 3.0]) / np.sqrt(18), gradients[1]]
  rates = [update.rate(k) for k in range(2)]
  expected = adam(theta, clipped, rates, eps_root=1e-8)
  np.testing.assert_allclose(run(update, gradients, theta), expected, atol=1e-5)


def test_evolution_rate_warms_up_and_ends_at_a_fraction():
  rate = outer.create('evolution', 100, learning_rate=1e-2).rate
  np.testing.assert_allclose(
    [rate(0), rate(1), rate(5), rate(100)], [0, 2e-3, 1e-2, 1e-3], rtol=1e-5
  )
  assert rate(60) < rate(40)


@pytest.mark.allow_nans
def test_what_is_not_finite_becomes_0():
  gradient = {'a': jnp.array([1.0, jnp.nan]), 'b': jnp.array([-jnp.inf, 2.0])}
  clean, count = outer.replace_nonfinite(gradient)
  np.testing.assert_array_equal(clean['a'], [1.0, 0.0])
  np.testing.assert_array_equal(clean['b'], [0.0, 2.0])
  assert float(count) == 2.0


def test_errors():
  with pytest.raises(ValueError, match="unknown outer update 'sgd'; expected"):
    outer.create('sgd', 10)
  with pytest.raises(ValueError, match="'authors' has no option 'clip'; its"):
    outer.create('authors', 10, clip=1.0)
  with pytest.raises(ValueError, match='num_steps must be positive, got 0'):
    outer.create('authors', 0)
  with pytest.raises(ValueError, match='warmup_fraction must be at least 0'):
    outer.create('evolution', 10, warmup_fraction=1.0)
