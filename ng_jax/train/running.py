# SPDX-License-Identifier: Apache-2.0
"""A whole run, whatever the task: resume, train, select, test, draw.

A `Task` says what is particular to one kind of experiment; `run` and
`restore_best` do the rest.
"""

import contextlib
import json
import pathlib
from typing import Any

import jax
import ml_collections

from ng_jax import processes
from ng_jax.train import checkpoint_repair
from ng_jax.train import config as config_lib
from ng_jax.train import provenance
from ng_jax.train import state as state_lib
from ng_jax.train import task as task_lib
from ng_jax.train import train_and_test
from ng_jax.train import workdirs

Task = task_lib.Task
Metrics = task_lib.Metrics
Experiment = task_lib.Experiment


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
    workdir: gets config.json, metrics.jsonl, provenance.jsonl, checkpoints/,
      pictures/ and, with tensorboardX, tensorboard/.
    source: how the config was asked for, noted in config.json.

  Returns:
    The last line of metrics.jsonl: metrics of the last step, 'best_step',
    'best_<task.metric>' and the test metrics of the best parameters (the later
    of equals).

  Raises:
    ValueError: a bad config, bad data, a workdir of another run or model or one
      that cannot be written, checkpoints of which none can be read, a loss that
      is not finite.
    preemption.Interrupted: SIGTERM came while it trained; a checkpoint of the
      last step is saved.
  """
  task.check(config)
  workdir = pathlib.Path(workdir)
  with (
    workdirs.writing(workdir),
    task.open_store(workdir, tidy=True) as store,
    precision(config),
    provenance.noting(workdir),
  ):
    start = checkpoint_repair.newest_whole(store)
    if start is not None:
      config_lib.check_unchanged(
        config,
        store.config(start),
        defaults=task.defaults(config),
        workdir=str(workdir),
      )
    experiment = task.prepare(config)
    if processes.is_first():
      config_lib.write(config, workdir / 'config.json', source=source)
    return train_and_test.train_and_test(
      task, experiment, store, workdir, start
    )


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
        f'{store.directory} holds no evaluated checkpoint; train first '
        '(--mode=train).'
      )
    experiment = task.prepare(config)
    return experiment, train_and_test.restore(experiment, store, best)


def measure_best(
  task: Task,
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
) -> tuple[Experiment, state_lib.TrainState, Metrics]:
  """Measures the checkpoint that is best on validation.

  Args:
    task: of the experiment.
    config: of the run, or with other data for networks of the same spec.
    workdir: of the run.

  Returns:
    The experiment, the state, and 'step' with the metrics of `task.validate`
    and `task.test`.

  Raises:
    ValueError: as `restore_best`.
  """
  experiment, state = restore_best(task, config, workdir)
  found: Metrics = {'step': int(state.step)}
  with precision(config):
    found |= task.validate(experiment, state)
    found |= task.test(experiment, state)[0]
  return experiment, state, found


def evaluate(
  task: Task,
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
) -> Metrics:
  """Measures the best checkpoint, and writes evaluation.json.

  Args: as `measure_best`.

  Returns:
    Its metrics.

  Raises:
    ValueError: as `restore_best`.
  """
  _, _, found = measure_best(task, config, workdir)
  write_evaluation(workdir, found)
  return found


def precision(
  config: ml_collections.ConfigDict,
) -> contextlib.AbstractContextManager[Any]:
  """The precision of matrix products that a config asks for, in a context."""
  if config.matmul_precision == 'default':
    return contextlib.nullcontext()
  return jax.default_matmul_precision(config.matmul_precision)


def write_evaluation(
  workdir: str | pathlib.Path, found: Metrics, *, name: str = 'evaluation'
) -> None:
  """Writes <name>.json, in the first process.

  Args:
    workdir: of the run.
    found: metrics.
    name: of the file.
  """
  if processes.is_first():
    path = pathlib.Path(workdir) / f'{name}.json'
    temporary = path.with_name(f'.part-{path.name}')
    temporary.write_text(json.dumps(found) + '\n', encoding='utf-8')
    temporary.replace(path)
