# SPDX-License-Identifier: Apache-2.0
"""A task and an optimizer make an inner problem; trajectories may break."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ng_jax.meta import problems
from ng_jax.meta import unrolling
from tests.meta import influence_balancing
from tests.meta import small_task

_TASK, _OPTIMIZER = small_task.Task(), small_task.Momentum()


def make(outer_loss='post_same', **options):
  return problems.LearningProblem(
    _TASK, _OPTIMIZER, outer_loss, num_classes=small_task.NUM_CLASSES, **options
  )


def by_hand(outer_loss, num_steps, theta, pixels):
  """The same training with a plain loop; returns losses and parameters."""
  problem = make(outer_loss)
  inputs = problem.draw(jax.random.key(1), 4, num_steps, pixels)
  tx = _OPTIMIZER.transformation(theta)
  params = _TASK.init(jax.random.key(0))
  state, losses = tx.init(params), []
  for t in range(num_steps):
    batch = pixels.take(inputs.inner[t])
    loss, grads = jax.value_and_grad(_TASK.loss)(params, batch)
    updates, state = tx.update(grads, state, params, value=loss)
    params = optax.apply_updates(params, updates)
    if outer_loss != 'pre':
      rows = inputs.inner if outer_loss == 'post_same' else inputs.outer
      loss = _TASK.loss(params, pixels.take(rows[t]))
    losses.append(loss)
  return np.array(losses), params


@pytest.mark.parametrize('outer_loss', ['pre', 'post_same', 'post_new'])
def test_scan_equals_a_loop(outer_loss):
  problem, pixels = make(outer_loss), small_task.make_pixels()
  theta = _OPTIMIZER.init(jax.random.key(2))
  start = unrolling.start(problem, theta, jax.random.key(0), pixels)
  inputs = problem.draw(jax.random.key(1), 4, 7, pixels)
  trajectory, losses = jax.jit(
    lambda theta, start, inputs, pixels: unrolling.unroll(
      problem, theta, start, inputs, pixels
    )
  )(theta, start, inputs, pixels)
  expected, params = by_hand(outer_loss, 7, theta, pixels)
  np.testing.assert_allclose(losses, expected, rtol=1e-5)
  for name, leaf in params.items():
    np.testing.assert_allclose(
      trajectory.state.params[name], leaf, rtol=1e-4, atol=1e-6
    )
  assert bool(trajectory.finite)
  last = jax.tree.map(lambda leaf: leaf[-1], inputs)
  if outer_loss != 'pre':
    np.testing.assert_allclose(
      problem.loss(trajectory.state, last, pixels), losses[-1], rtol=1e-5
    )


def test_a_pair_sees_the_same_batches():
  problem, pixels = make(), small_task.make_pixels()
  theta = _OPTIMIZER.init(jax.random.key(2))
  thetas = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), theta)
  start = unrolling.start(problem, theta, jax.random.key(0), pixels)
  inputs = problem.draw(jax.random.key(1), 4, 3, pixels)
  pair = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), start)
  _, losses = unrolling.unroll_pair(problem, thetas, pair, inputs, pixels)
  for side in range(2):
    one = jax.tree.map(lambda leaf, i=side: leaf[i], thetas)
    _, alone = unrolling.unroll(problem, one, start, inputs, pixels)
    np.testing.assert_allclose(losses[:, side], alone, rtol=1e-5)


def test_splits_are_parts_of_the_images():
  problem = make('post_new', inner_split='train', outer_split='outer_valid')
  pixels = small_task.make_pixels(num_images=100)
  inputs = problem.draw(jax.random.key(0), 0, 30, pixels)
  assert set(np.unique(inputs.inner)) <= set(range(80))
  assert set(np.unique(inputs.outer)) <= set(range(90, 100))
  assert len(np.unique(inputs.outer)) == 10


@pytest.mark.allow_nans
def test_normalised_losses_are_bounded():
  found = make().normalise(
    jnp.array([-1.0, 0.5, 99.0, jnp.nan, jnp.inf, -jnp.inf])
  )
  ceiling = 1.5 * math.log(3)
  expected = [0.0, 0.5, ceiling, ceiling, ceiling, ceiling]
  np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.allow_nans
def test_a_trajectory_stops_where_it_breaks():
  problem = influence_balancing.InfluenceBalancing(breaks_above=3.0)
  theta = influence_balancing.theta()
  start = unrolling.start(problem, theta, jax.random.key(0), None)
  inputs = problem.draw(jax.random.key(0), 0, 30, None)
  trajectory, losses = unrolling.unroll(problem, theta, start, inputs, None)
  assert not bool(trajectory.finite)
  broken = int(np.argmax(~np.isfinite(losses)))
  assert 0 < broken < 29
  assert np.isposinf(losses[broken:]).all()
  before, _ = unrolling.unroll(problem, theta, start, inputs[:broken], None)
  np.testing.assert_array_equal(trajectory.state, before.state)


def test_first_order_drops_second_derivatives():
  problem, pixels = make(), small_task.make_pixels()
  theta = _OPTIMIZER.init(jax.random.key(2))
  start = unrolling.start(problem, theta, jax.random.key(0), pixels)
  inputs = problem.draw(jax.random.key(1), 0, 3, pixels)

  def gradient(first_order, rematerialise):
    def total(theta):
      return unrolling.unroll(
        problem,
        theta,
        start,
        inputs,
        pixels,
        first_order=first_order,
        rematerialise=rematerialise,
      )[1].sum()

    return np.asarray(jax.jit(jax.grad(total))(theta)['rate'])

  second = gradient(False, False)
  np.testing.assert_allclose(gradient(False, True), second, rtol=1e-5)
  assert np.abs(gradient(True, False) - second).max() > 1e-3


def test_errors():
  with pytest.raises(ValueError, match=r"unknown outer_loss 'mean'; .*'pre'\]"):
    make('mean')
  with pytest.raises(ValueError, match="unknown inner_split 'test'; expected"):
    make(inner_split='test')
  with pytest.raises(ValueError, match='num_classes must be at least 2, got 1'):
    problems.LearningProblem(_TASK, _OPTIMIZER, num_classes=1)
