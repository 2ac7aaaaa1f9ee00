# SPDX-License-Identifier: Apache-2.0
"""Configs of meta-training: the authors' numbers, variants, errors."""

import math
import types

import jax.numpy as jnp
import pytest

from ng_jax import meta
from ng_jax.meta import estimators
from ng_jax.meta import horizons
from ng_jax.train import meta_config
from ng_jax.train import meta_experiment
from ng_jax.train import meta_variants

_VARIANTS = ('paper', 'two_cores', 'pes', 'mixture', 'smoke')


def estimator_of(config):
  task = meta.create_task(config.tasks[0])
  problem = meta.LearningProblem(
    task, meta_experiment.make_optimizer(config, task), config.outer_loss
  )
  return meta_config.make_estimator(config, problem)


def test_paper_is_the_protocol_of_the_authors():
  config = meta_variants.make_config('ff', 'paper')
  meta_config.check(config)
  estimator = estimator_of(config)
  assert isinstance(estimator, estimators.Greedy)
  assert (estimator.num_particles, estimator.num_steps) == (1, 100)
  assert estimator.problem.outer_loss == 'post_same'
  assert config.tasks == ('fashion_mnist_cnn',)
  assert (config.num_steps, config.batch_size) == (1000, 128)
  assert config.outer.to_dict() == {
    'name': 'authors',
    'learning_rate': 3e-4,
    'weight_decay': 1e-4,
  }


def test_two_cores_is_smaller():
  config = meta_variants.make_config('ng_gnn', 'two_cores')
  estimator = estimator_of(config)
  assert estimator.num_steps == 50
  assert estimator.problem.task.image_size == 14
  assert (config.num_steps, config.batch_size) == (300, 64)
  evaluation = config.evaluation
  assert evaluation.tasks == ('fashion_mnist_cnn',)
  assert evaluation.batch_size == 128
  assert (evaluation.num_steps, evaluation.num_seeds) == (1000, 5)


def test_pes_has_the_defaults_of_the_project():
  config = meta_variants.make_config('ff', 'pes')
  estimator = estimator_of(config)
  assert isinstance(estimator, estimators.Pes)
  assert (estimator.num_particles, estimator.window) == (16, 50)
  assert estimator.horizon == horizons.constant(1000)
  assert estimator.stagger and estimator.sigma == 0.01
  assert estimator.problem.outer_loss == 'pre'
  assert (config.outer.name, config.outer.clip_norm) == ('evolution', 1.0)
  assert config.num_steps == 5000


@pytest.mark.parametrize('variant', _VARIANTS)
@pytest.mark.parametrize('optimizer', ['adam', 'ff', 'lstm', 'ng_gnn', 'ng_t'])
def test_variants_pass_the_check(optimizer, variant):
  meta_config.check(meta_variants.make_config(optimizer, variant))


def test_theta_of_a_mixture_fits_all_of_its_tasks():
  config = meta_variants.make_config('ng_gnn', 'mixture')
  meta_experiment.check_theta_fits(config)


def test_theta_that_fits_one_task_only(monkeypatch):
  def make_optimizer(config, task):
    size = len(task.network.spec.leaves)
    return types.SimpleNamespace(init=lambda key: {'rate': jnp.zeros(size)})

  monkeypatch.setattr(meta_experiment, 'make_optimizer', make_optimizer)
  config = meta_variants.make_config('ff', 'paper')
  meta_experiment.check_theta_fits(config)
  config.evaluation.tasks = ('cifar10_cnn', 'digits_mlp')
  with pytest.raises(
    ValueError, match=r"does not fit \['digits_mlp'\]; choose"
  ):
    meta_experiment.check_theta_fits(config)


def test_guessing_is_below_the_ceiling():
  config = meta_variants.make_config('ff', 'paper')
  problem = estimator_of(config).problem
  assert float(problem.normalise(math.log(10.0))) == pytest.approx(
    math.log(10.0)
  )


@pytest.mark.parametrize(
  'field, value, message',
  [
    (
      'tasks',
      ('mnist',),
      r"config.tasks must name at least one task .*'mnist'",
    ),
    ('evaluation.tasks', (), 'config.evaluation.tasks must name at least one'),
    ('num_steps', 0, 'config.num_steps must be positive, got 0'),
    ('validation.num_seeds', 0, 'config.validation.num_seeds must be positive'),
    ('evaluation.test_every', 300, 'test_every must divide config.evaluation'),
  ],
)
def test_bad_values(field, value, message):
  config = meta_variants.make_config('ff', 'paper')
  config.update_from_flattened_dict({field: value})
  with pytest.raises(ValueError, match=message):
    meta_config.check(config)


def test_unknown_names():
  with pytest.raises(ValueError, match="unknown optimizer 'sgd' .*'adam'"):
    meta_variants.make_config('sgd', 'paper')
  with pytest.raises(ValueError, match="unknown variant 'tiny'"):
    meta_variants.make_config('ff', 'tiny')
  with pytest.raises(ValueError, match="unknown estimator 'es'"):
    meta_config.default_config('ff', estimator='es')
  with pytest.raises(ValueError, match="unknown outer update 'sgd'"):
    meta_config.default_config('ff', update='sgd')
  config = meta_variants.make_config('ff', 'paper')
  with config.unlocked():
    config.estimator.window = 5
  with pytest.raises(ValueError, match="unknown config field 'estimator.wind"):
    meta_config.check(config)
