# SPDX-License-Identifier: Apache-2.0
"""A whole run, whatever the task: resume, train, select, test, draw.

A `Task` says what is particular to one kind of experiment; `run` and
`restore_best` do the rest.
"""

from collections.abc import Callable, Mapping
import contextlib
import dataclasses
import json
import pathlib
from typing import Any

from absl import logging
import jax
import ml_collections
import numpy as np

from ng_jax.train import checkpoints
from ng_jax.train import config as config_lib
from ng_jax.train import devices as devices_lib
from ng_jax.train import logging as logging_lib
from ng_jax.train import loop
from ng_jax.train import reports
from ng_jax.train import state as state_lib

Metrics = dict[str, float]
# Has config, data, devices, init, sampler, train_step and learning_rate, as
# `experiment.Experiment` has them.
Experiment = Any


@dataclasses.dataclass(frozen=True)
class Task:
  """What tells one kind of experiment from another.

  Attributes:
    check: refuses a config that cannot be run, before anything is made.
    prepare: builds the experiment of a config.
    average: turns sums over examples, 'count' among them, into means.
    validate: (experiment, state) -> metrics of the validation split.
    test: (experiment, state) -> metrics of the test split, and what `draw`
      needs.
    draw: (experiment, what `test` gave, lines of metrics.jsonl) -> {name of the
      picture: makes the figure}.
    metric: of `validate`, selects the checkpoint that is tested.
    mode: 'max' or 'min', which value of it is best.
  """

  check: Callable[[ml_collections.ConfigDict], None]
  prepare: Callable[[ml_collections.ConfigDict], Experiment]
  average: Callable[[Mapping[str, Any]], Metrics]
  validate: Callable[[Experiment, state_lib.TrainState], Metrics]
  test: Callable[[Experiment, state_lib.TrainState], tuple[Metrics, Any]]
  draw: Callable[
    [Experiment, Any, list[dict[str, Any]]],
    dict[str, Callable[[], Any]],
  ]
  metric: str
  mode: str

  def open_store(self, workdir: pathlib.Path) -> checkpoints.CheckpointStore:
    """Opens the checkpoints of a run; a context manager."""
    return checkpoints.CheckpointStore(
      workdir / 'checkpoints', metric=self.metric, mode=self.mode
    )


def run(
  task: Task,
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  *,
  source: str = '',
) -> Metrics:
  """Trains, or goes on training, and reports the test split.

  Called again with the same config and workdir it continues from the latest
  checkpoint and ends with the numbers of an uninterrupted run; after the end
  it evaluates and draws again.

  Args:
    task: of the experiment.
    config: with the fields of `run_config.default_fields`.
    workdir: gets config.json, metrics.jsonl, checkpoints/, pictures/ and,
      with tensorboardX, tensorboard/.
    source: how the config was asked for, noted in config.json.

  Returns:
    The last line of metrics.jsonl: metrics of the last step, 'best_step',
    'best_<task.metric>' and the test metrics of the best parameters (the later
    of equals).

  Raises:
    ValueError: a bad config, bad data, a workdir of another run or model, a
      loss that is not finite.
  """
  task.check(config)
  workdir = pathlib.Path(workdir)
  with task.open_store(workdir) as store, precision(config):
    start = store.latest_step()
    if start is not None:
      config_lib.check_unchanged(
        config, store.config(start), workdir=str(workdir)
      )
    experiment = task.prepare(config)
    if jax.process_index() == 0:
      config_lib.write(config, workdir / 'config.json', source=source)
    return _train_and_test(task, experiment, store, workdir, start)


def restore_best(
  task: Task,
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
) -> tuple[Experiment, state_lib.TrainState]:
  """Restores the checkpoint that is best on validation.

  Args:
    task: of the experiment.
    config: of the run, or with other data for networks of the same spec.
    workdir: of the run.

  Returns:
    The experiment and the state, on the devices.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another model.
  """
  task.check(config)
  workdir = pathlib.Path(workdir)
  if not (workdir / 'checkpoints').is_dir():
    raise ValueError(
      f'{workdir} holds no checkpoints; train first (--mode=train), or name '
      'the workdir of a run.'
    )
  with task.open_store(workdir) as store:
    best = store.best_step()
    if best is None:
      raise ValueError(
        f'{store.directory} holds no complete checkpoint; train first '
        '(--mode=train).'
      )
    experiment = task.prepare(config)
    return experiment, _restore(experiment, store, best)


def precision(
  config: ml_collections.ConfigDict,
) -> contextlib.AbstractContextManager[Any]:
  """The precision of matrix products that a config asks for, in a context."""
  if config.matmul_precision == 'default':
    return contextlib.nullcontext()
  return jax.default_matmul_precision(config.matmul_precision)


def write_evaluation(workdir: str | pathlib.Path, found: Metrics) -> None:
  """Writes evaluation.json, in the first process.

  Args:
    workdir: of the run.
    found: metrics.
  """
  if jax.process_index() == 0:
    path = pathlib.Path(workdir) / 'evaluation.json'
    path.write_text(json.dumps(found) + '\n', encoding='utf-8')


def _train_and_test(
  task: Task,
  experiment: Experiment,
  store: checkpoints.CheckpointStore,
  workdir: pathlib.Path,
  start: int | None,
) -> Metrics:
  """Restores, trains, selects, tests and draws; see `run`."""
  config = experiment.config
  batches = experiment.sampler()
  num_steps = config.num_steps or config.num_epochs * batches.steps_per_epoch
  state, known = _start(experiment, store, start, num_steps)
  logging.info(
    '%s: %d parameters, %d training examples, %d steps',
    config.model.name,
    state_lib.num_parameters(state.params),
    batches.num_examples,
    num_steps,
  )
  writer: logging_lib.Writer = logging_lib.SilentWriter()
  if jax.process_index() == 0:
    writer = logging_lib.open_writer(workdir, first_step=start or 0)
  if start and start < num_steps:
    writer.scalars(start, known)
  saved = config_lib.to_json_types(config)
  state, last = loop.train(
    state,
    experiment.data,
    step=experiment.train_step,
    batches=batches,
    schedule=loop.Schedule(num_steps, config.log_every, config.eval_every),
    summarize=lambda sums: _summarize(task, sums),
    evaluate=lambda state: _validate(task, experiment, state),
    save=lambda state, found: store.save(state, metrics=found, config=saved),
    writer=writer,
    last_checkpoint=f'step {start}' if start is not None else 'none yet',
  )
  best = store.best_step() or num_steps  # The last step is always saved.
  found, tested = task.test(experiment, _restore(experiment, store, best))
  final = {
    **(last or known),
    'best_step': best,
    f'best_{task.metric}': store.metrics(best)[task.metric],
    **found,
  }
  writer.scalars(num_steps, final)
  if jax.process_index() == 0:
    lines = logging_lib.read_metrics(workdir / 'metrics.jsonl')
    figures = task.draw(experiment, tested, lines)
    reports.draw(workdir, writer, step=num_steps, figures=figures)
  return {'step': num_steps, **final}


def _start(
  experiment: Experiment,
  store: checkpoints.CheckpointStore,
  start: int | None,
  num_steps: int,
) -> tuple[state_lib.TrainState, Metrics]:
  """A fresh state, or that of the latest checkpoint with its metrics."""
  if start is None:
    return devices_lib.replicate(experiment.init(), experiment.devices), {}
  if start > num_steps:
    raise ValueError(
      f'the run in {store.directory.parent} is already at step {start}, beyond '
      f'{num_steps=}; raise num_epochs or num_steps, or choose another '
      'workdir.'
    )
  return _restore(experiment, store, start), store.metrics(start)


def _restore(
  experiment: Experiment,
  store: checkpoints.CheckpointStore,
  step: int,
) -> state_lib.TrainState:
  """Reads a checkpoint onto the devices."""
  state = store.restore(jax.eval_shape(experiment.init), step=step)
  return devices_lib.replicate(state, experiment.devices)


def _summarize(task: Task, sums: dict[str, np.ndarray]) -> Metrics:
  """Exact means over a window of steps, and the mean gradient norm."""
  counted = dict(sums)
  norms = np.asarray(counted.pop('gradient_norm'), np.float64)
  return {**task.average(counted), 'gradient_norm': float(norms.mean())}


def _validate(
  task: Task,
  experiment: Experiment,
  state: state_lib.TrainState,
) -> Metrics:
  found = task.validate(experiment, state)
  rate = experiment.learning_rate(int(state.step) - 1)
  return {**found, 'learning_rate': float(rate)}
