# SPDX-License-Identifier: Apache-2.0
"""Learning to optimize: theta is trained, selected on a hold-out and measured.

`run` trains, or goes on training; `evaluate` measures the best checkpoint of a
working directory. A notebook and the binary call the same functions.
"""

from collections.abc import Callable
import dataclasses
import functools
import pathlib
from typing import Any

from absl import logging
import jax
import ml_collections
import numpy as np

from ng_jax import meta
from ng_jax import optimizers
from ng_jax import plots
from ng_jax import processes
from ng_jax.meta import measuring
from ng_jax.optimizers import base as optimizers_base
from ng_jax.train import config as config_lib
from ng_jax.train import meta_config
from ng_jax.train import meta_experiment
from ng_jax.train import meta_training
from ng_jax.train import provenance
from ng_jax.train import running
from ng_jax.train import state as state_lib
from ng_jax.train import tuned_adam
from ng_jax.train import workdirs

# Draw weights and images; those of the published evaluation and others.
_EVALUATION_SEED, _VALIDATION_SEED = 101, 201
# Stands for a loss that is not finite in the log.
_LARGE_LOSS = 20.0


def run(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  *,
  source: str = '',
) -> dict[str, float]:
  """Meta-trains, or goes on, and measures the best theta on the test images.

  Called again with the same config and workdir it continues from the latest
  checkpoint and ends with the numbers of an uninterrupted run. For 'adam', the
  grid is searched instead, see `tuned_adam.run`.

  Args:
    config: see `meta_config.default_config`.
    workdir: gets config.json, metrics.jsonl, provenance.jsonl, checkpoints/,
      pictures/, records.jsonl (see `meta.reports`) and theta.safetensors, which
      `optimizers.load` reads.
    source: how the config was asked for, noted in config.json.

  Returns:
    The last line of metrics.jsonl: metrics of the last step, 'best_step',
    'best_validation_accuracy' and, for each evaluation task,
    'test_accuracy_<task>' and 'test_std_<task>' over the seeds;
    'test_accuracy' is that of the first task.

  Raises:
    ValueError: a bad config, bad data, a workdir of another run.
  """
  workdir = pathlib.Path(workdir)
  if config.model.name == meta_config.ADAM:
    meta_config.check(config)
    with workdirs.writing(workdir):
      if processes.is_first():
        config_lib.write(config, workdir / 'config.json', source=source)
      with provenance.noting(workdir):
        return tuned_adam.run(config, workdir)
  test = functools.partial(_test, workdir=workdir)
  task = dataclasses.replace(_TASK, test=test)
  return running.run(task, config, workdir, source=source)


def evaluate(
  config: ml_collections.ConfigDict, workdir: str | pathlib.Path
) -> dict[str, float]:
  """Measures the best checkpoint.

  Args:
    config: of the run, perhaps with other tasks in config.evaluation.
    workdir: of the run; gets evaluation.json, and a line in records.jsonl for
      each task that was not measured before with this theta and settings.

  Returns:
    'step' and the accuracies of `run`.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another run.
  """
  experiment, state = running.restore_best(_TASK, config, workdir)
  with running.precision(config):
    found, _ = _test(experiment, state, workdir=pathlib.Path(workdir))
  found = {'step': int(state.step), **found}
  running.write_evaluation(workdir, found)
  return found


def _validate(
  experiment: meta_experiment.Experiment, state: state_lib.TrainState
) -> dict[str, float]:
  """Trains the first task with theta; scores its hold-out."""
  settings, task = experiment.config.validation, experiment.tasks[0]
  found = meta.evaluate(
    task,
    meta_experiment.make_optimizer(experiment.config, task).transformation,
    jax.device_get(state.params),
    experiment.splits[0].train,
    held={'hold_out': experiment.splits[0].hold_out},
    seeds=[_VALIDATION_SEED + i for i in range(settings.num_seeds)],
    num_steps=settings.num_steps,
    test_every=settings.num_steps,
  )
  tail = found.train_losses[:, -100:]
  return {
    'validation_accuracy': found.final('hold_out')[0],
    'validation_loss': _finite_mean(found.loss['hold_out'][:, -1]),
    'validation_train_loss': _finite_mean(tail),
    'validation_frozen': found.num_frozen / len(found.seeds),
  }


def _test(
  experiment: meta_experiment.Experiment,
  state: state_lib.TrainState,
  *,
  workdir: pathlib.Path,
) -> tuple[dict[str, float], None]:
  """Measures theta on the evaluation tasks; keeps it and the records."""
  config, theta = experiment.config, jax.device_get(state.params)
  found: dict[str, float] = {}
  curves: dict[str, Any] = {}
  for name in config.evaluation.tasks:
    record = _measure(config, name, theta, workdir, step=int(state.step))
    mean, std = measuring.final(record)
    found |= {f'test_accuracy_{name}': mean, f'test_std_{name}': std}
    accuracy = np.array(record['accuracy']['test'], np.float64)
    curves[name] = {
      'steps': record['steps'],
      'test_accuracy': accuracy.mean(axis=0).round(5).tolist(),
      'test_std': accuracy.std(axis=0).round(5).tolist(),
    }
    logging.info('%s: test accuracy %.4f +- %.4f', name, mean, std)
  if processes.is_first():
    settings = config_lib.to_json_types(config)
    settings.pop('data')  # Says only where the images were.
    optimizers.save(
      workdir / 'theta.safetensors',
      meta_experiment.make_optimizer(config, experiment.tasks[0]),
      theta,
      {'config': settings, 'curves': curves},
    )
  first = found[f'test_accuracy_{config.evaluation.tasks[0]}']
  return {**found, 'test_accuracy': first}, None


def _measure(
  config: ml_collections.ConfigDict,
  name: str,
  theta: Any,
  workdir: pathlib.Path,
  *,
  step: int,
) -> dict[str, Any]:
  """Trains an evaluation task from all seeds, unless that was done before."""
  settings = config.evaluation
  task = dataclasses.replace(
    meta.create_task(name), batch_size=settings.batch_size
  )
  optimizer = meta_experiment.make_optimizer(config, task)
  return measuring.measure(
    task,
    config.model.name,
    optimizer.transformation,
    theta,
    meta_experiment.read_images(config, task),
    book=measuring.Book(workdir / 'records.jsonl'),
    seeds=[_EVALUATION_SEED + i for i in range(settings.num_seeds)],
    num_steps=settings.num_steps,
    test_every=settings.test_every,
    identity={
      'optimizer': config.model.name,
      'options': optimizers_base.settings(optimizer),
      'theta': measuring.checksum(theta),
    },
    meta_seed=config.seed,
    outer_step=step,
  )


def _finite_mean(values: np.ndarray) -> float:
  finite = np.nan_to_num(
    values, nan=_LARGE_LOSS, posinf=_LARGE_LOSS, neginf=_LARGE_LOSS
  )
  return float(np.mean(np.asarray(finite, np.float64)))


def _draw(
  experiment: meta_experiment.Experiment,
  found: None,
  lines: list[dict[str, Any]],
) -> dict[str, Callable[[], Any]]:
  del found
  config = experiment.config
  title = f'{config.model.name}, meta-trained on {", ".join(config.tasks)}'
  return {'learning_curves': lambda: plots.learning_curves(lines, title=title)}


_TASK = running.Task(
  check=meta_config.check,
  defaults=meta_config.defaults,
  prepare=meta_experiment.prepare,
  average=meta_training.average,
  validate=_validate,
  test=functools.partial(_test, workdir=pathlib.Path('.')),
  draw=_draw,
  metric='validation_accuracy',
  mode='max',
)
