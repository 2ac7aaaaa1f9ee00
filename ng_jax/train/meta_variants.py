# SPDX-License-Identifier: Apache-2.0
"""Variants of the configs of learned optimizers, shared by the optimizers.

paper: the authors' protocol, 1,000 outer steps of 100 inner steps on
  Fashion-MNIST's CNN, greedy; then 1,000 steps from five seeds, also on
  CIFAR-10. Not run here.
two_cores: images of 14x14, batches of 64, 300 outer steps of 50 inner steps;
  measured on images of 28x28 in batches of 128. Up to an hour on two cores.
pes: persistent evolution strategies, 16 particles, windows of 50 of 1,000 inner
  steps, 5,000 outer steps. Not run here; docs/performance.md has its cost.
mixture: five networks of several kinds and sizes in turn, 300 to 600 steps an
  episode; so the optimizers that ship with ng_jax were trained.
smoke: a few steps on digits, to show that everything runs. Under a minute.

All but 'smoke' need --config.data.image_dir, a folder of the publishers' files
or of one such folder a source (mnist, fashion_mnist, cifar10, see
`ng_jax.data.image_folders`). 'paper' and 'pes' need CIFAR-10 too, or a part of
it, which tables call so, unless --config.evaluation.tasks leaves it out.
"""

from typing import Any

import ml_collections

from ng_jax.train import meta_config
from ng_jax.train import variants

# Small nets for the smoke test.
_SMOKE_MODELS: dict[str, dict[str, Any]] = {
  'adam': {'learning_rates': (1e-3, 1e-2), 'weight_decays': (0.0,)},
  'ff': {'hidden_sizes': (8,)},
  'lstm': {'hidden_size': 8},
  'nfn': {'features': 4, 'num_layers': 1},
  'ng_gnn': {'features': 8, 'num_layers': 1, 'num_head_layers': 1},
  'ng_t': {'features': 8, 'num_layers': 1},
}


def _paper(config: ml_collections.ConfigDict) -> None:
  """Everything as the authors have it: the defaults."""
  del config


def _two_cores(config: ml_collections.ConfigDict) -> None:
  """Small images and a third of the steps; hours on two cores."""
  config.tasks = ('fashion_mnist_14_cnn',)
  config.batch_size = 64
  config.num_steps = 300
  config.eval_every = 50
  config.validation.num_steps = 500
  config.validation.num_seeds = 2
  config.evaluation.tasks = ('fashion_mnist_cnn',)
  if config.estimator.name == 'greedy':
    config.estimator.num_steps = 50
  if config.outer.name == 'authors':
    config.outer.learning_rate = 1e-3  # For 300 outer steps, not 1,000.


def _pes(config: ml_collections.ConfigDict) -> None:
  """Persistent evolution strategies with their own outer update."""
  _use(config, estimator='pes', update='evolution')
  config.outer_loss = 'pre'
  config.num_steps = 5000
  config.eval_every = 250


def _mixture(config: ml_collections.ConfigDict) -> None:
  """Networks of several kinds, widths and image sizes, in turn; long episodes.

  The optimizers that ship with ng_jax are trained like this.
  """
  config.tasks = (
    'fashion_mnist_14_cnn',
    'fashion_mnist_8_mlp',
    'fashion_mnist_14_cnn_width_8',
    'fashion_mnist_8_mlp_32_32',
    'fashion_mnist_cnn',
  )
  _use(config, estimator='greedy_windows')
  config.estimator.update({'window': 20, 'shortest': 300, 'longest': 600})
  config.outer.learning_rate = 1e-3
  config.batch_size = 64
  config.num_steps = 1_000
  config.eval_every = 250
  config.validation.num_steps = 500
  config.validation.num_seeds = 2
  config.evaluation.tasks = ('fashion_mnist_cnn',)
  _serve_all_networks(config)
  if config.model.name == 'ng_gnn':  # A third of the time of the paper's.
    config.model.update({'num_layers': 4, 'num_head_layers': 2})


def _smoke(config: ml_collections.ConfigDict) -> None:
  """A few steps on digits: shows that everything runs, in seconds."""
  config.tasks = ('digits_mlp', 'digits_cnn')
  config.batch_size = 16
  config.num_steps = 4
  config.eval_every = 2
  config.log_every = 2
  config.estimator.num_steps = 5
  config.validation.num_steps = 10
  config.validation.num_seeds = 2
  config.evaluation.tasks = ('digits_mlp',)
  config.evaluation.batch_size = 16
  config.evaluation.num_steps = 20
  config.evaluation.test_every = 10
  config.evaluation.num_seeds = 2
  config.model.update(_SMOKE_MODELS.get(config.model.name, {}))
  _serve_all_networks(config)


def _serve_all_networks(config: ml_collections.ConfigDict) -> None:
  """Lets one theta serve networks of other depths, inputs and outputs."""
  if config.model.name == 'nfn':
    config.model.share = 'role'
  if config.model.name in ('ng_gnn', 'ng_t'):
    config.model.indexing = 'role'


def _use(config: ml_collections.ConfigDict, **parts: str) -> None:
  """Puts in the default fields of another estimator or outer update."""
  other = meta_config.default_config(config.model.name, **parts)
  config.estimator = other.estimator
  config.outer = other.outer


_BASES: dict[str, variants.Change] = {
  'paper': _paper,
  'two_cores': _two_cores,
  'pes': _pes,
  'mixture': _mixture,
  'smoke': _smoke,
}


def make_config(optimizer: str, variant: str) -> ml_collections.ConfigDict:
  """Makes the config of an optimizer and a variant.

  Args:
    optimizer: of `optimizers.OPTIMIZERS`, or 'adam'.
    variant: 'paper', 'two_cores', 'pes', 'mixture' or 'smoke'.

  Returns:
    The config.

  Raises:
    ValueError: unknown optimizer or variant, the known ones are listed.
  """
  config = meta_config.default_config(optimizer)
  return variants.apply(config, variant, bases=_BASES, modifiers={})
