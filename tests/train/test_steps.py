# SPDX-License-Identifier: Apache-2.0
"""Microbatches, padding and devices change nothing but the speed of a step."""

import functools
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax.train import devices
from ng_jax.train import evaluate
from ng_jax.train import metrics
from ng_jax.train import sampler
from ng_jax.train import steps
from tests import programs
from tests.train import linear_task


def run_steps(index_rows, *, microbatch_size=0, num_steps=5, **loss):
  state, optimizer = linear_task.make_state()
  step = jax.jit(
    functools.partial(
      steps.train_step,
      loss_function=linear_task.make_loss(**loss),
      optimizer=optimizer,
      microbatch_size=microbatch_size,
    )
  )
  data = linear_task.make_data()
  for _ in range(num_steps):
    state, sums = step(state, data, jnp.asarray(index_rows))
  return state, sums


def assert_close(a, b, tolerance=1e-6):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_allclose(x, y, rtol=0, atol=tolerance)


@pytest.mark.parametrize('microbatch_size', [2, 4, 6])
def test_accumulation_equals_the_whole_batch(microbatch_size):
  index = list(range(9)) + [-1] * 3
  whole, sums = run_steps(index, noise=0.3)
  parts, part_sums = run_steps(
    index, noise=0.3, microbatch_size=microbatch_size
  )
  assert_close(whole.params, parts.params)
  assert_close(sums, part_sums, 1e-5)
  assert int(sums['count']) == 9


def test_padding_does_not_count():
  exact, _ = run_steps([3, 1, 4])
  padded, sums = run_steps([3, 1, 4, -1, -1])
  assert_close(exact.params, padded.params)
  assert int(sums['count']) == 3


def test_every_step_draws_anew():
  loss = linear_task.make_loss(noise=1.0)
  state, optimizer = linear_task.make_state(learning_rate=0.0)
  data, index = linear_task.make_data(), jnp.arange(4)
  losses = []
  for _ in range(2):
    state, sums = steps.train_step(
      state, data, index, loss_function=loss, optimizer=optimizer
    )
    losses.append(float(sums['loss']))
  assert losses[0] != losses[1]


def test_constants_are_not_trained():
  state, _ = run_steps([0, 1, 2])
  assert float(state.constants['scale']) == 0.5
  assert int(state.step) == 5


@pytest.mark.allow_nans
@pytest.mark.parametrize('filling', [1e30, np.nan, np.inf])
def test_sums_ignore_what_padding_holds(filling):
  logits = jax.random.normal(jax.random.key(0), (5, 3))
  labels = jnp.array([0, 1, 2, 7, -3])
  mask = jnp.array([True, True, True, False, False])

  def total(values):
    return metrics.classification_sums(values, labels, mask)['loss']

  expected = metrics.classification_sums(logits[:3], labels[:3], mask[:3])
  filled = logits.at[3:].set(filling)
  sums = metrics.classification_sums(filled, labels, mask)
  for name, value in expected.items():
    np.testing.assert_allclose(sums[name], value, rtol=1e-6)
  gradient = jax.grad(total)(filled)
  np.testing.assert_array_equal(gradient[3:], 0.0)
  np.testing.assert_allclose(gradient[:3], jax.grad(total)(logits)[:3])


def test_means_are_exact_over_batches_of_different_size():
  sums = {'loss': [6.0, 1.0], 'correct': [2, 1], 'count': [3, 1]}
  assert metrics.means(sums) == {'loss': 1.75, 'accuracy': 0.75}
  assert metrics.means({'loss': 0, 'correct': 0, 'count': 0})['loss'] == 0.0


@pytest.mark.parametrize('batch_size', [3, 7, 64])
def test_evaluation_counts_every_example_once(batch_size):
  state, _ = linear_task.make_state()
  data = linear_task.make_data()
  step = devices.make_step(
    functools.partial(
      steps.eval_step, metric_function=linear_task.metric_function
    ),
    devices.choose(1),
  )
  labels = np.asarray(data['y'])
  measured = evaluate.measure_split(
    step,
    state,
    data,
    names=evaluate.CLASSIFICATION,
    num_examples=labels.size,
    batch_size=batch_size,
  )
  found = evaluate.classification(*measured, labels=labels, num_classes=3)
  logits = data['x'] * 0.5 @ state.params['kernel']
  predictions = np.argmax(logits, axis=-1)
  np.testing.assert_array_equal(found.predictions, predictions)
  assert found.accuracy == pytest.approx((predictions == labels).mean())
  logs = jax.nn.log_softmax(logits)[np.arange(labels.size), labels]
  assert found.loss == pytest.approx(-float(logs.mean()), rel=1e-5)
  assert found.confusion.sum() == labels.size
  assert np.trace(found.confusion) == (predictions == labels).sum()
  assert found.confusion[labels[0], predictions[0]] > 0
  assert (found.confidences > 1 / 3).all()


def test_microbatched_evaluation_keeps_the_order():
  state, _ = linear_task.make_state()
  data, index = linear_task.make_data(), jnp.arange(12)
  run = functools.partial(
    steps.eval_step, metric_function=linear_task.metric_function
  )
  assert_close(
    run(state, data, index), run(state, data, index, microbatch_size=4), 1e-5
  )


FOUR_DEVICES = """
import functools, jax, numpy as np
from ng_jax.train import devices, evaluate, sampler, steps
from tests.train import linear_task

def train(num_devices, microbatch_size, dropout):
  state, optimizer = linear_task.make_state()
  chosen = devices.choose(num_devices)
  data = devices.replicate(linear_task.make_data(), chosen)
  step = devices.make_step(
    functools.partial(
      steps.train_step,
      loss_function=linear_task.make_loss(noise=0.3, dropout=dropout),
      optimizer=optimizer,
      microbatch_size=microbatch_size,
    ), chosen, donate_state=True)
  batches = sampler.IndexSampler(
    num_examples=21, batch_size=8, multiple_of=8)
  for number in range(7):
    state, sums = step(state, data, batches.batch(number))
  eval_step = devices.make_step(
    functools.partial(
      steps.eval_step, metric_function=linear_task.metric_function), chosen)
  labels = np.asarray(data['y'])
  found = evaluate.classification(
    *evaluate.measure_split(
      eval_step, state, data, names=evaluate.CLASSIFICATION,
      num_examples=labels.size, batch_size=8, multiple_of=8),
    labels=labels, num_classes=3)
  return jax.device_get((state.params, state.opt_state, sums, found.loss,
                         found.confusion, found.predictions))

assert jax.local_device_count() == 4
for microbatch_size, dropout in ((0, 0.0), (2, 0.5)):
  one = train(1, microbatch_size, dropout)
  four = train(4, microbatch_size, dropout)
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
print('equal')
"""


def test_four_devices_equal_one():
  root = pathlib.Path(__file__).parents[2]
  done = subprocess.run(
    [sys.executable, '-W', 'error::DeprecationWarning', '-c', FOUR_DEVICES],
    env=programs.with_devices(4),
    cwd=root,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == 'equal'


def test_too_many_devices_is_an_error():
  with pytest.raises(ValueError, match='num_devices must lie between 0'):
    devices.choose(99)


def test_steps_compile_once():
  state, optimizer = linear_task.make_state()
  step = devices.make_step(
    functools.partial(
      steps.train_step,
      loss_function=linear_task.make_loss(),
      optimizer=optimizer,
    ),
    devices.choose(1),
    donate_state=True,
  )
  batches = sampler.IndexSampler(num_examples=21, batch_size=8)
  data = linear_task.make_data()
  for number in range(6):
    state, _ = step(state, data, batches.batch(number))
  assert step._cache_size() == 1
