# SPDX-License-Identifier: Apache-2.0
"""Whole runs of the small classifier of `linear_task`, in a second."""

import functools
import types

import ml_collections

from ng_jax.train import devices
from ng_jax.train import metrics
from ng_jax.train import running
from ng_jax.train import sampler
from ng_jax.train import steps
from tests.train import linear_task

NUM_EXAMPLES, BATCH_SIZE = 21, 8


def make_config(**changes):
  """Eight steps, a line every other one, evaluations at 3, 6 and 8."""
  fields = {
    'seed': 7,
    'matmul_precision': 'default',
    'model': {'name': 'linear'},
    'num_epochs': 1,
    'num_steps': 8,
    'log_every': 2,
    'eval_every': 3,
  }
  return ml_collections.ConfigDict(fields | changes)


@functools.cache
def _made():
  """The first state and the step, compiled once for all runs."""
  state, optimizer = linear_task.make_state()
  step = functools.partial(
    steps.train_step,
    loss_function=linear_task.make_loss(noise=0.2, dropout=0.3),
    optimizer=optimizer,
    microbatch_size=2,
  )
  return state, devices.make_step(step, devices.choose(1))


def make_task(*, before_step=None, data=None):
  """A task; `before_step(number)` is called before every step."""

  def prepare(config):
    state, compiled = _made()

    def step(state, data, index):
      if before_step is not None:
        before_step(int(state.step))
      return compiled(state, data, index)

    return types.SimpleNamespace(
      config=config,
      data=data or linear_task.make_data(NUM_EXAMPLES),
      devices=devices.choose(1),
      facts={'sizes': {'train': NUM_EXAMPLES}},
      init=lambda: state,
      learning_rate=lambda step: 0.1,
      train_step=step,
      sampler=lambda: sampler.IndexSampler(
        num_examples=NUM_EXAMPLES, batch_size=BATCH_SIZE
      ),
    )

  def validate(experiment, state):
    bias = state.params['bias']
    return {'validation_accuracy': float((bias * bias).sum())}

  return running.Task(
    check=lambda config: None,
    defaults=lambda config: config,
    prepare=prepare,
    average=lambda sums: metrics.means(
      {name: sums[name] for name in ('loss', 'correct', 'count')}
    ),
    validate=validate,
    test=lambda experiment, state: (
      {'test_accuracy': float(state.params['bias'].sum())},
      None,
    ),
    draw=lambda experiment, tested, lines: {},
    metric='validation_accuracy',
    mode='max',
  )
