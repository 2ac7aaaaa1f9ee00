# SPDX-License-Identifier: Apache-2.0
"""The course of a run once all is prepared: train, select, test, draw."""

import pathlib
from typing import Any

from absl import logging
import jax
import numpy as np

from ng_jax import processes
from ng_jax.train import batch_stats
from ng_jax.train import checkpoints
from ng_jax.train import config as config_lib
from ng_jax.train import devices as devices_lib
from ng_jax.train import logging as logging_lib
from ng_jax.train import loop
from ng_jax.train import preemption
from ng_jax.train import provenance
from ng_jax.train import reports
from ng_jax.train import state as state_lib
from ng_jax.train import task as task_lib


def train_and_test(
  task: task_lib.Task,
  experiment: task_lib.Experiment,
  store: checkpoints.CheckpointStore,
  workdir: pathlib.Path,
  start: int | None,
) -> task_lib.Metrics:
  """Restores, trains, selects, tests and draws.

  Args:
    task: of the experiment.
    experiment: of `task.prepare`.
    store: of the run.
    workdir: of the run.
    start: step of the checkpoint to go on from, None to begin.

  Returns:
    See `running.run`. Jit: no.

  Raises:
    ValueError: see `running.run`.
    preemption.Interrupted: as `running.run`.
  """
  config = experiment.config
  batches = experiment.sampler()
  num_steps = config.num_steps or config.num_epochs * batches.steps_per_epoch
  state, known = _start(experiment, store, start, num_steps)
  num_parameters = state_lib.num_parameters(state.params)
  logging.info(
    '%s: %d parameters, %d training examples, %d steps',
    config.model.name,
    num_parameters,
    batches.num_examples,
    num_steps,
  )
  provenance.note_ready(
    workdir,
    num_parameters=num_parameters,
    num_steps=num_steps,
    **(experiment.facts if start is None else {}),  # Once; it takes a second.
  )
  logging.info('Begins at step %d of %d.', start or 0, num_steps)
  writer: logging_lib.Writer = logging_lib.SilentWriter()
  if processes.is_first():
    writer = logging_lib.open_writer(workdir, first_step=start or 0)
  if start is not None and known and start < num_steps:
    writer.scalars(start, known)
  state, last = _train(
    task, experiment, store, state, batches, writer, start, num_steps
  )
  best = store.best_step() or num_steps  # The last step is always saved.
  found, tested = task.test(experiment, restore(experiment, store, best))
  final = {
    **(last or known),
    'best_step': best,
    f'best_{task.metric}': store.metrics(best)[task.metric],
    **found,
  }
  writer.scalars(num_steps, final)
  if processes.is_first():
    lines = logging_lib.read_metrics(workdir / 'metrics.jsonl')
    figures = task.draw(experiment, tested, lines)
    reports.draw(workdir, writer, step=num_steps, figures=figures)
  return {'step': num_steps, **final}


def _train(
  task: task_lib.Task,
  experiment: task_lib.Experiment,
  store: checkpoints.CheckpointStore,
  state: state_lib.TrainState,
  batches: Any,
  writer: logging_lib.Writer,
  start: int | None,
  num_steps: int,
) -> tuple[state_lib.TrainState, task_lib.Metrics]:
  """Trains to the end, or until SIGTERM; see `loop.train`."""
  config = experiment.config
  saved = config_lib.to_json_types(config)
  renew = batch_stats.make_renew(experiment, batches)
  try:
    with preemption.watch() as asked_to_stop:
      return loop.train(
        state,
        experiment.data,
        step=experiment.train_step,
        batches=batches,
        schedule=loop.Schedule(num_steps, config.log_every, config.eval_every),
        summarize=lambda sums: _summarize(task, sums),
        evaluate=lambda state: _validate(task, experiment, state),
        save=lambda state, found, window: store.save(
          state, metrics=found, config=saved, window=window
        ),
        writer=writer,
        renew=renew,
        last_checkpoint=f'step {start}' if start is not None else 'none yet',
        window=[] if start is None else store.window(start),
        asked_to_stop=asked_to_stop,
      )
  except preemption.Interrupted:
    store.close()
    logging.warning(
      'Asked to stop: saved at step %s in %s; the same command goes on there.',
      *(store.latest_step(), store.directory),
    )
    raise


def _start(
  experiment: task_lib.Experiment,
  store: checkpoints.CheckpointStore,
  start: int | None,
  num_steps: int,
) -> tuple[state_lib.TrainState, task_lib.Metrics]:
  """A fresh state, or that of the latest checkpoint with its metrics."""
  if start is None:
    return devices_lib.replicate(experiment.init(), experiment.devices), {}
  if start > num_steps:
    raise ValueError(
      f'the run in {store.directory.parent} is already at step {start}, beyond '
      f'{num_steps=}; raise num_epochs or num_steps, or choose another '
      'workdir.'
    )
  return restore(experiment, store, start), store.metrics(start)


def restore(
  experiment: task_lib.Experiment,
  store: checkpoints.CheckpointStore,
  step: int,
) -> state_lib.TrainState:
  """Reads a checkpoint onto the devices.

  Args:
    experiment: of the run.
    store: of the run.
    step: of the checkpoint.

  Returns:
    The state. Jit: no.

  Raises:
    ValueError: the checkpoint is of another model, or cannot be read.
  """
  state = store.restore(jax.eval_shape(experiment.init), step=step)
  return devices_lib.replicate(state, experiment.devices)


def _summarize(
  task: task_lib.Task, sums: dict[str, np.ndarray]
) -> task_lib.Metrics:
  """Exact means over a window of steps, and the mean gradient norm."""
  counted = dict(sums)
  norms = np.asarray(counted.pop('gradient_norm'), np.float64)
  return {**task.average(counted), 'gradient_norm': float(norms.mean())}


def _validate(
  task: task_lib.Task,
  experiment: task_lib.Experiment,
  state: state_lib.TrainState,
) -> task_lib.Metrics:
  found = task.validate(experiment, state)
  rate = experiment.learning_rate(int(state.step) - 1)
  return {**found, 'learning_rate': float(rate)}
