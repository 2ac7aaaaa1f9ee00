# SPDX-License-Identifier: Apache-2.0
"""Outer steps move theta, on any number of devices alike."""

import dataclasses
import functools
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax.meta import estimators
from ng_jax.meta import horizons
from ng_jax.meta import outer
from ng_jax.meta import training
from tests import programs
from tests.meta import influence_balancing as balancing


def train(estimator, update, num_steps, devices, *, theta=None):
  shared, states = training.create_state(
    [estimator], theta or balancing.theta(), update, jax.random.key(0), [None]
  )
  step = training.make_step(estimator, update, devices)
  shared = training.place(shared, devices)
  state = training.place(states[0], devices, spread=True)
  for _ in range(num_steps):
    shared, state, metrics = step(shared, state, None)
  return shared, state, metrics, step


def test_pes_finds_the_best_drive():
  # It is near 0, where truncated gradients at theta = 0.5 point away from.
  update = outer.create('evolution', 30, learning_rate=0.05).transformation
  pes = estimators.Pes(
    balancing.InfluenceBalancing(), 500, 10, horizons.constant(100), sigma=0.1
  )
  found, _, metrics, step = train(pes, update, 30, jax.local_devices()[:1])
  assert abs(float(found.theta['drive'])) < 0.25
  assert int(found.step) == 30 and float(metrics['nonfinite']) == 0.0
  assert step._cache_size() == 1


@pytest.mark.allow_nans
def test_a_gradient_that_is_not_finite_is_counted_and_left_out():
  theta = {**balancing.theta(), 'zero': jnp.zeros(3)[0]}
  pes = estimators.TruncatedBackprop(
    balancing.InfluenceBalancing(), 2, window=10, horizon=horizons.constant(20)
  )
  update = outer.create('evolution', 10, clip_norm=0.0).transformation
  shared, states = training.create_state(
    [pes], theta, update, jax.random.key(0), [None]
  )

  class Infinite(estimators.TruncatedBackprop):
    def estimate(self, *arguments, **options):
      gradient, state, metrics = super().estimate(*arguments, **options)
      return {**gradient, 'zero': gradient['zero'] + jnp.inf}, state, metrics

  broken = Infinite(
    balancing.InfluenceBalancing(), 2, window=10, horizon=horizons.constant(20)
  )
  step = functools.partial(training.outer_step, estimator=broken, update=update)
  after, _, metrics = jax.jit(step)(shared, states[0], None)
  assert float(metrics['nonfinite']) == 1.0
  assert np.isfinite(after.theta['zero'])
  np.testing.assert_array_equal(after.theta['zero'], theta['zero'])


@pytest.mark.allow_nans
def test_a_particle_whose_gradient_breaks_is_left_out():
  @dataclasses.dataclass(frozen=True)
  class Broken(balancing.InfluenceBalancing):
    def step(self, theta, state, inputs, data, *, first_order):
      # Finite, with a derivative that is not.
      state, loss = super().step(
        theta, state, inputs, data, first_order=first_order
      )
      return state, loss + jnp.sqrt(0.0 * theta['drive'])

  for name, options in (
    ('greedy', {'num_steps': 3}),
    ('truncated_backprop', {'window': 2, 'horizon': horizons.constant(4)}),
  ):
    estimator = estimators.create(name, Broken(), num_particles=1, **options)
    theta = balancing.theta()
    state = estimator.init(theta, jax.random.key(0), None)
    gradient, _, metrics = jax.jit(estimator.estimate)(
      theta, state, jax.random.key(0), None
    )
    assert float(gradient['drive']) == 0.0
    assert np.isfinite(metrics['loss']) and float(metrics['frozen']) == 0.0


def test_particles_must_divide_by_devices():
  device = jax.local_devices()[0]
  estimator = estimators.Greedy(balancing.InfluenceBalancing(), 3)
  with pytest.raises(ValueError, match='num_particles must be a multiple of'):
    training.make_step(
      estimator, outer.create('authors', 5).transformation, [device, device]
    )


FOUR_DEVICES = """
import jax, numpy as np
from ng_jax.meta import estimators, horizons, outer, problems, training
from tests.meta import small_task

pixels = small_task.make_pixels()
optimizer = small_task.Momentum()
theta = optimizer.init(jax.random.key(0))

def train(name, num_devices, **options):
  problem = problems.LearningProblem(
    small_task.Task(), optimizer, 'post_same', num_classes=3)
  estimator = estimators.create(name, problem, num_particles=8, **options)
  update = outer.create('authors', 5, learning_rate=1e-2).transformation
  devices = jax.local_devices()[:num_devices]
  shared, states = training.create_state(
    [estimator], theta, update, jax.random.key(1), [pixels])
  step = training.make_step(estimator, update, devices)
  shared = training.place(shared, devices)
  state = training.place(states[0], devices, spread=True)
  data = training.place(pixels, devices)
  for _ in range(5):
    shared, state, metrics = step(shared, state, data)
  return jax.device_get((shared.theta, state, metrics))

assert jax.local_device_count() == 4
window = {'window': 3, 'horizon': horizons.Horizon(3, 9)}
for name, options in (
  ('pes', window), ('greedy', {'num_steps': 3})
):
  one, four = train(name, 1, **options), train(name, 4, **options)
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
print('equal')
"""


@pytest.mark.slow
def test_four_devices_equal_one():
  done = subprocess.run(
    [sys.executable, '-W', 'error::DeprecationWarning', '-c', FOUR_DEVICES],
    env=programs.with_devices(4),
    cwd=pathlib.Path(__file__).parents[2],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == 'equal'
