# SPDX-License-Identifier: Apache-2.0
"""Meta-training learns to optimize: a learned optimizer beats SGD."""

import dataclasses

import jax
import optax
import pytest

from ng_jax import meta
from ng_jax import optimizers
from ng_jax.meta import estimators
from ng_jax.meta import outer
from ng_jax.meta import training


def _sgd(rate):
  return optax.sgd(rate)


@pytest.mark.slow
def test_thirty_greedy_steps_of_ff_beat_sgd():
  task = dataclasses.replace(meta.create_task('digits_mlp'), batch_size=64)
  splits = meta.read_pixels(task)
  optimizer = optimizers.create('ff', task.network.spec)
  problem = meta.LearningProblem(task, optimizer, 'post_same')
  estimator = estimators.Greedy(problem, num_steps=50)
  update = outer.create('authors', 30, learning_rate=1e-3).transformation
  devices = jax.local_devices()[:1]
  shared, (state,) = training.create_state(
    [estimator],
    optimizer.init(jax.random.key(0)),
    update,
    jax.random.key(1),
    [splits.train],
  )
  step = training.make_step(estimator, update, devices)
  shared = training.place(shared, devices)
  losses = []
  for _ in range(30):
    shared, state, metrics = step(shared, state, splits.train)
    losses.append(float(metrics['loss']))
  assert losses[-1] < 0.8 * losses[0]

  def final_loss(make_tx, theta):
    found = meta.evaluate(
      task,
      make_tx,
      theta,
      splits.train,
      held={'hold_out': splits.hold_out},
      seeds=(1, 2),
      num_steps=100,
      test_every=100,
    )
    return float(found.loss['hold_out'].mean())

  learned = final_loss(optimizer.transformation, shared.theta)
  assert learned < final_loss(_sgd, 0.01)
