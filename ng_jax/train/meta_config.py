# SPDX-License-Identifier: Apache-2.0
"""Fields of a meta-training config: the authors' defaults and the checks."""

import dataclasses
from typing import Any

import ml_collections

from ng_jax import meta
from ng_jax import optimizers
from ng_jax.meta import estimators
from ng_jax.meta import horizons
from ng_jax.meta import outer
from ng_jax.meta import tuning
from ng_jax.train import config as config_lib
from ng_jax.train import run_config

ADAM = 'adam'
_POSITIVE = (
  *('batch_size', 'num_steps', 'eval_every', 'log_every'),
  *('validation.num_steps', 'validation.num_seeds'),
  *('evaluation.num_steps', 'evaluation.test_every', 'evaluation.num_seeds'),
  'evaluation.batch_size',
)


def default_config(
  optimizer: str = 'ff', *, estimator: str = 'greedy', update: str = 'authors'
) -> ml_collections.ConfigDict:
  """The authors' protocol: greedy, 1,000 outer steps of 100 inner steps.

  Args:
    optimizer: of `optimizers.OPTIMIZERS`, or 'adam', which is tuned instead;
      decides which options config.model has.
    estimator: of `estimators.names()`; decides which options config.estimator
      has.
    update: of the outer updates; decides which options config.outer has.

  Returns:
    A config with every field there is:
      seed: of theta and of everything that meta-training draws.
      model: name, and the options of the optimizer. For 'adam' the grid:
        learning_rates, weight_decays.
      tasks: names of `meta.task_names()`; outer step k uses task k modulo their
        number. The first one also chooses the checkpoint.
      batch_size: images of an inner step.
      outer_loss: see `meta.LearningProblem`.
      estimator: name, and its options; a horizon is shortest and longest.
      outer: name, and the options of the outer update.
      num_steps: outer steps.
      eval_every, log_every: in outer steps; a validation makes a checkpoint.
      validation: num_steps and num_seeds of the training runs on the first
        task whose mean accuracy on its hold-out chooses the checkpoint.
      evaluation: tasks, batch_size, num_steps, test_every and num_seeds of the
        training runs that the chosen theta is measured by.
      data: image_dir, where the publishers' image files are.
      num_devices: 0 for all local ones.
      matmul_precision, compilation_cache: as `run_config.default_fields`.

  Raises:
    ValueError: unknown optimizer, estimator or outer update.
  """
  shared = run_config.default_fields()
  return ml_collections.ConfigDict(
    {
      'seed': 0,
      'model': {'name': optimizer, **_model_options(optimizer)},
      'tasks': ('fashion_mnist_cnn',),
      'batch_size': 128,
      'outer_loss': 'post_same',
      'estimator': {'name': estimator, **_estimator_options(estimator)},
      'outer': {'name': update, **outer.options(update)},
      'num_steps': 1000,
      'eval_every': 100,
      'log_every': 10,
      'validation': {'num_steps': 1000, 'num_seeds': 5},
      'evaluation': {
        'tasks': ('fashion_mnist_cnn', 'cifar10_cnn'),
        'batch_size': 128,
        'num_steps': 1000,
        'test_every': 100,
        'num_seeds': 5,
      },
      'data': {'image_dir': ''},
      'num_devices': 0,
      **{x: shared[x] for x in ('matmul_precision', 'compilation_cache')},
    }
  )


def defaults(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """The default config of the optimizer, estimator and update of a config.

  Args:
    config: of a run.

  Returns:
    See `default_config`.

  Raises:
    ValueError: unknown names.
  """

  def name(part: str, default: str) -> str:
    found: str = config.get(part, {}).get('name', default)
    return found

  return default_config(
    name('model', 'ff'),
    estimator=name('estimator', 'greedy'),
    update=name('outer', 'authors'),
  )


def check(config: ml_collections.ConfigDict) -> None:
  """Refuses a config that cannot be run, before anything is made.

  Args:
    config: of a run.

  Raises:
    ValueError: unknown or missing fields, unknown names, values out of range.
  """
  config_lib.check_fields(config, defaults(config))
  flat = config_lib.flatten(config.to_dict())
  for field in _POSITIVE:
    if flat[field] < 1:
      raise ValueError(f'config.{field} must be positive, got {flat[field]}.')
  for field in ('tasks', 'evaluation.tasks'):
    unknown = sorted(set(flat[field]) - set(meta.task_names()))
    if unknown or not flat[field]:
      raise ValueError(
        f'config.{field} must name at least one task and no unknown one, got '
        f'{tuple(flat[field])}; known are {list(meta.task_names())}.'
      )
  if config.evaluation.num_steps % config.evaluation.test_every:
    raise ValueError(
      'config.evaluation.test_every must divide config.evaluation.num_steps, '
      f'got {config.evaluation.test_every} and {config.evaluation.num_steps}.'
    )


def make_estimator(
  config: ml_collections.ConfigDict, problem: meta.InnerProblem
) -> estimators.Estimator:
  """Makes the estimator of a config for one task.

  Args:
    config: of a run.
    problem: the task and the optimizer.

  Returns:
    The estimator. Jit: static.

  Raises:
    ValueError: a bad option.
  """
  options = config.estimator.to_dict()
  if 'shortest' in options:
    options['horizon'] = horizons.Horizon(
      options.pop('shortest'), options.pop('longest')
    )
  return estimators.create(options.pop('name'), problem, **options)


def _model_options(name: str) -> dict[str, Any]:
  if name == ADAM:
    return {
      'learning_rates': tuning.LEARNING_RATES,
      'weight_decays': tuning.WEIGHT_DECAYS,
    }
  if name not in optimizers.OPTIMIZERS:
    raise ValueError(
      f'unknown optimizer {name!r} in config.model.name; expected one of '
      f'{sorted([ADAM, *optimizers.OPTIMIZERS])}.'
    )
  return {
    field.name: field.default
    for field in dataclasses.fields(optimizers.OPTIMIZERS[name])
    if field.name != 'spec'
  }


def _estimator_options(name: str) -> dict[str, Any]:
  options = estimators.options(name)
  horizon = options.pop('horizon', None)
  if horizon is None:
    return options
  bounds = {'shortest': horizon.shortest, 'longest': horizon.longest}
  return {**options, **bounds}
