# SPDX-License-Identifier: Apache-2.0
"""Fields and variants of a comparison of trained optimizers, and the checks."""

import ml_collections

from ng_jax import meta
from ng_jax import optimizers
from ng_jax.meta import tuning
from ng_jax.train import config as config_lib
from ng_jax.train import run_config
from ng_jax.train import variants

# Adam is tuned on every task by itself.
EACH = 'each'
_POSITIVE = ('batch_size', 'num_steps', 'test_every', 'num_seeds')


def default_config() -> ml_collections.ConfigDict:
  """What ships, on three networks that it was never trained on.

  Returns:
    A config with every field there is:
      optimizers: of `optimizers.trained_names()`, or paths of files that
        `optimizers.save` wrote.
      tasks: of `meta.task_names()`.
      adam: Adam at 1e-3 is always measured. tuned_on: '' for no tuned Adam,
        'each' to tune it on every task by itself, or the task that it is tuned
        on for all. learning_rates, weight_decays: its grid.
      batch_size, num_steps, test_every, num_seeds: of the training runs.
      data: image_dir, with the publishers' files, a folder each.
      matmul_precision, compilation_cache: as `run_config.default_fields`.
    Jit: no.
  """
  shared = run_config.default_fields()
  return ml_collections.ConfigDict(
    {
      'optimizers': optimizers.trained_names(),
      'tasks': (
        'digits_flax_mlp_64_32',
        'fashion_mnist_14_cnn_group_norm',
        'mnist_14_cnn_depth_4',
      ),
      'adam': {
        'tuned_on': '',
        'learning_rates': tuning.LEARNING_RATES,
        'weight_decays': tuning.WEIGHT_DECAYS,
      },
      'batch_size': 128,
      'num_steps': 300,
      'test_every': 50,
      'num_seeds': 5,
      'data': {'image_dir': ''},
      **{x: shared[x] for x in ('matmul_precision', 'compilation_cache')},
    }
  )


def check(config: ml_collections.ConfigDict) -> None:
  """Refuses a config that cannot be run, before anything is measured.

  Args:
    config: of a comparison.

  Raises:
    ValueError: unknown or missing fields, unknown names, values out of range.
  """
  config_lib.check_fields(config, default_config())
  for field in _POSITIVE:
    if config[field] < 1:
      raise ValueError(f'config.{field} must be positive, got {config[field]}.')
  if config.num_steps % config.test_every:
    raise ValueError(
      'config.test_every must divide config.num_steps, got '
      f'{config.test_every} and {config.num_steps}.'
    )
  known = meta.task_names()
  unknown = sorted(set(config.tasks) - set(known))
  if unknown or not config.tasks:
    raise ValueError(
      'config.tasks must name at least one task and no unknown one, got '
      f'{tuple(config.tasks)}; known are {list(known)}.'
    )
  if config.adam.tuned_on not in ('', EACH, *known):
    raise ValueError(
      f"config.adam.tuned_on must be '', {EACH!r} or a task, got "
      f'{config.adam.tuned_on!r}; tasks are {list(known)}.'
    )


def make_config(variant: str) -> ml_collections.ConfigDict:
  """Makes the config of a variant.

  Args:
    variant: 'unseen', 'paper', 'fashion_mnist', 'cifar10', 'generalisation',
      'generalisation_14', 'long' or 'smoke'.

  Returns:
    The config. Jit: no.

  Raises:
    ValueError: unknown variant, the known ones are listed.
  """
  return variants.apply(default_config(), variant, bases=_BASES, modifiers={})


def _unseen(config: ml_collections.ConfigDict) -> None:
  """The three networks: the defaults."""
  del config


def _paper_task(name: str) -> variants.Change:
  """A CNN of the paper by its protocol, Adam tuned on it."""

  def change(config: ml_collections.ConfigDict) -> None:
    config.tasks = (name,)
    config.adam.tuned_on = name
    config.num_steps = 1_000
    config.test_every = 100

  return change


def _paper(config: ml_collections.ConfigDict) -> None:
  """The paper's table: Adam tuned on Fashion-MNIST, unchanged on CIFAR-10."""
  _paper_task('fashion_mnist_cnn')(config)
  config.tasks = ('fashion_mnist_cnn', 'cifar10_cnn')


def _generalisation(config: ml_collections.ConfigDict) -> None:
  """Widths, depths, MLPs, norms and a ViT, Adam tuned on the paper's CNN."""
  _paper_task('cifar10_cnn')(config)
  config.tasks = meta.generalisation_suite('cifar10')


def _generalisation_14(config: ml_collections.ConfigDict) -> None:
  """The same networks on small grey images, 300 steps, Adam as it comes."""
  config.tasks = meta.generalisation_suite('fashion_mnist', 14)
  config.num_seeds = 2


def _long(config: ml_collections.ConfigDict) -> None:
  """Five times the steps of the paper."""
  _paper_task('cifar10_cnn')(config)
  config.num_steps = 5_000
  config.test_every = 500


def _smoke(config: ml_collections.ConfigDict) -> None:
  """A few steps on digits: shows that everything runs, in seconds."""
  config.optimizers = ('ff_fashion_mnist', 'ng_t_fashion_mnist')
  config.tasks = ('digits_flax_mlp_64_32', 'digits_mlp')
  config.adam.tuned_on = EACH
  config.adam.learning_rates = (1e-3, 1e-2)
  config.adam.weight_decays = (0.0,)
  config.batch_size = 16
  config.num_steps = 20
  config.test_every = 10
  config.num_seeds = 2


_BASES: dict[str, variants.Change] = {
  'unseen': _unseen,
  'paper': _paper,
  'fashion_mnist': _paper_task('fashion_mnist_cnn'),
  'cifar10': _paper_task('cifar10_cnn'),
  'generalisation': _generalisation,
  'generalisation_14': _generalisation_14,
  'long': _long,
  'smoke': _smoke,
}
