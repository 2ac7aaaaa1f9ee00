# SPDX-License-Identifier: Apache-2.0
"""The loop logs, evaluates and stops where it should; resuming is exact."""

import functools

import jax
import numpy as np
import pytest

from ng_jax.train import checkpoints
from ng_jax.train import devices
from ng_jax.train import loop
from ng_jax.train import metrics
from ng_jax.train import sampler
from ng_jax.train import steps
from tests.train import linear_task


class Recorder:
  """A writer that remembers."""

  def __init__(self):
    self.lines = []

  def scalars(self, step, values):
    self.lines.append((step, dict(values)))

  def images(self, step, images):
    raise AssertionError('the loop draws nothing')


def summarize(sums):
  return metrics.means({n: sums[n] for n in ('loss', 'correct', 'count')})


def train(directory, num_steps, recorder, *, data=None):
  """Trains, continuing from the latest checkpoint in the directory."""
  state, optimizer = linear_task.make_state()
  step = devices.make_step(
    functools.partial(
      steps.train_step,
      loss_function=linear_task.make_loss(noise=0.2, dropout=0.3),
      optimizer=optimizer,
      microbatch_size=2,
    ),
    devices.choose(1),
    donate_state=True,
  )
  with checkpoints.CheckpointStore(directory) as store:
    if store.latest_step() is not None:
      state = store.restore(state, step=store.latest_step())
    return loop.train(
      state,
      data or linear_task.make_data(),
      step=step,
      batches=sampler.IndexSampler(num_examples=21, batch_size=8),
      schedule=loop.Schedule(num_steps, log_every=2, eval_every=3),
      summarize=summarize,
      evaluate=lambda s: {'validation_accuracy': float(s.step)},
      save=lambda s, m, window: store.save(
        s, metrics=m, config={}, window=window
      ),
      writer=recorder,
    )


def untimed(lines):
  return [
    (s, {k: v for k, v in m.items() if k != 'steps_per_second'})
    for s, m in lines
  ]


def test_resume_equals_uninterrupted_to_the_bit(tmp_path):
  whole, parts = Recorder(), Recorder()
  expected, last = train(tmp_path / 'a', 8, whole)
  train(tmp_path / 'b', 3, parts)
  state, resumed_last = train(tmp_path / 'b', 8, parts)
  for a, b in zip(
    jax.tree.leaves((expected.params, expected.opt_state)),
    jax.tree.leaves((state.params, state.opt_state)),
    strict=True,
  ):
    np.testing.assert_array_equal(a, b)
  assert untimed([(8, last)]) == untimed([(8, resumed_last)])
  assert untimed(whole.lines)[2:] == untimed(parts.lines)[1:]


def test_lines_come_at_logs_and_evaluations_and_the_last_is_returned(tmp_path):
  recorder = Recorder()
  _, last = train(tmp_path, 8, recorder)
  assert [step for step, _ in recorder.lines] == [2, 3, 4, 6]
  evaluated = [s for s, m in recorder.lines if 'validation_accuracy' in m]
  assert evaluated == [3, 6]
  assert last['validation_accuracy'] == 8.0
  assert {'train_loss', 'train_accuracy', 'steps_per_second'} <= set(last)


@pytest.mark.allow_nans
def test_loss_that_is_not_finite_stops_with_step_and_checkpoint(tmp_path):
  train(tmp_path, 3, Recorder())
  data = linear_task.make_data()
  fifth = sampler.IndexSampler(num_examples=21, batch_size=8).batch(4)
  fourth = sampler.IndexSampler(num_examples=21, batch_size=8).batch(3)
  bad = [row for row in fifth if row >= 0 and row not in fourth][0]
  data['x'] = data['x'].at[bad].set(np.nan)
  with pytest.raises(loop.NonFiniteLossError) as error:
    train(tmp_path, 8, Recorder(), data=data)
  assert 'the training loss is nan at step 5' in str(error.value)
  with checkpoints.CheckpointStore(tmp_path) as store:
    assert store.latest_step() == 3


def test_finished_run_makes_no_step(tmp_path):
  train(tmp_path, 3, Recorder())
  state, last = train(tmp_path, 3, Recorder())
  assert int(state.step) == 3
  assert last == {}
