# SPDX-License-Identifier: Apache-2.0
"""Losses and quality of predicted fractions, against scipy and NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ng_jax.train import regression


def _tau_by_counting(a, b):
  concordant = discordant = ties_a = ties_b = 0
  for i, j in itertools.combinations(range(len(a)), 2):
    x, y = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
    concordant += x * y > 0
    discordant += x * y < 0
    ties_a += x == 0
    ties_b += y == 0
  pairs = len(a) * (len(a) - 1) / 2
  return (concordant - discordant) / np.sqrt(
    (pairs - ties_a) * (pairs - ties_b)
  )


def test_tau_counts_pairs_and_ties():
  rng = np.random.default_rng(0)
  targets = rng.integers(0, 8, 30) / 10
  predictions = np.round(targets + rng.normal(0, 0.2, 30), 1)
  found = regression.kendall_tau(targets, predictions)
  assert found == pytest.approx(_tau_by_counting(targets, predictions))
  assert found == pytest.approx(stats.kendalltau(targets, predictions)[0])
  assert 0.1 < found < 0.9
  assert regression.kendall_tau(targets, targets) == pytest.approx(1)
  assert regression.kendall_tau(targets, -targets) == pytest.approx(-1)


def test_r2_is_the_explained_part():
  rng = np.random.default_rng(1)
  targets = rng.uniform(size=40).astype(np.float32)
  predictions = (0.8 * targets + 0.1 + rng.normal(0, 0.05, 40)).astype('f')
  mean = targets.mean()
  expected = 1 - np.mean((targets - predictions) ** 2) / np.var(targets)
  assert regression.r_squared(targets, predictions) == pytest.approx(
    expected, rel=1e-5
  )
  assert regression.r_squared(targets, targets) == 1
  constant = np.full(40, mean)
  assert regression.r_squared(targets, constant) == pytest.approx(0, abs=1e-6)


def test_what_is_not_defined_is_zero():
  constant, rising = np.full(4, 0.3), np.arange(4.0)
  assert regression.kendall_tau(constant, rising) == 0
  assert regression.kendall_tau(rising, constant) == 0
  assert regression.kendall_tau(rising[:1], rising[:1]) == 0
  assert regression.r_squared(constant, rising) == 0


@pytest.mark.parametrize('loss', sorted(regression.LOSSES))
@pytest.mark.allow_nans
def test_losses_and_rubbish_in_padding(loss):
  logits = np.array([-1.5, 0.3, 2.0, np.nan, 1e30], np.float32)
  targets = np.array([0.1, 0.9, 0.5, 7.0, np.nan], np.float32)
  mask = np.array([True, True, True, False, False])

  def total(logits):
    return regression.loss_sums(logits, targets, mask, loss=loss)['loss']

  value, gradient = jax.value_and_grad(total)(jnp.asarray(logits))
  p = 1 / (1 + np.exp(-logits[:3].astype(np.float64)))
  t = targets[:3]
  expected = {
    'bce': -(t * np.log(p) + (1 - t) * np.log(1 - p)),
    'mse': (p - t) ** 2,
  }[loss]
  slope = {'bce': p - t, 'mse': 2 * (p - t) * p * (1 - p)}[loss]
  assert value == pytest.approx(expected.sum(), rel=1e-5)
  np.testing.assert_allclose(gradient[:3], slope, rtol=1e-4)
  np.testing.assert_array_equal(gradient[3:], 0)


def test_averages_count_examples():
  sums = {'loss': np.array([3.0, 1.0]), 'count': np.array([3, 1])}
  assert regression.average(sums) == {'loss': 1.0}
