# SPDX-License-Identifier: Apache-2.0
"""Variants of the editing configs, shared by the models."""

from typing import Any

import ml_collections

from ng_jax.train import editing_config
from ng_jax.train import variants

# A batch norm wants all examples of a batch at once.
_BATCH_NORM_MODELS = ('dws_edit',)
# Options of the models for the digits, and for the smoke test.
_DIGITS_MODELS: dict[str, dict[str, Any]] = {
  'ng_gnn_edit': {'hidden_size': 64, 'num_probes': 16, 'dropout': 0.0},
  'ng_t_edit': {'num_layers': 2, 'num_probes': 16, 'dropout': 0.0},
  'nfn_edit': {'channels': (64, 64, 64), 'fourier_size': 32},
  'dws_edit': {'hidden_size': 16, 'num_layers': 3},
  'mlp_edit': {'hidden_size': 256},
}
_SMOKE_MODELS: dict[str, dict[str, Any]] = {
  'ng_gnn_edit': {'hidden_size': 8, 'num_layers': 1, 'num_probes': 4},
  'ng_t_edit': {
    'node_size': 16,
    'edge_size': 8,
    'attention_size': 16,
    'num_layers': 1,
    'num_probes': 4,
    'fourier_size': 16,
  },
  'nfn_edit': {'channels': (8, 8), 'fourier_size': 16},
  'dws_edit': {'hidden_size': 4, 'num_layers': 2, 'num_heads': 2},
  'mlp_edit': {'hidden_size': 16, 'num_layers': 1},
}


def _paper(config: ml_collections.ConfigDict) -> None:
  """MNIST, everything as published: the defaults."""
  config.data.source = 'mnist'


def _fashion_mnist(config: ml_collections.ConfigDict) -> None:
  """Fashion-MNIST, everything else as published for MNIST."""
  config.data.source = 'fashion_mnist'


def _digits(config: ml_collections.ConfigDict) -> None:
  """The 8x8 digits of scikit-learn: minutes on two cores."""
  variants.digits_data(config)
  config.model.update(_DIGITS_MODELS[config.model.name])
  config.optimizer.learning_rate = 2e-3
  config.schedule.name = 'exponential'
  config.schedule.warmup_steps = 100
  config.schedule.decay_steps = 500
  config.schedule.decay_rate = 0.5
  config.batch_size = 32
  config.num_steps = 2_000
  config.microbatch_size = 8
  if config.model.name in _BATCH_NORM_MODELS:
    config.microbatch_size = 0
  if config.model.name in ('dws_edit', 'ng_t_edit'):  # A step does more.
    config.num_steps = 600
    config.schedule.decay_steps = 300
    config.eval_every = 100
  if config.model.name == 'ng_t_edit':
    config.microbatch_size = 2


def _smoke(config: ml_collections.ConfigDict) -> None:
  """A few digits and steps: shows that everything runs, in seconds."""
  _digits(config)
  variants.smoke_run(config)
  config.schedule.warmup_steps = 1
  config.model.update(_SMOKE_MODELS[config.model.name])


def _small(config: ml_collections.ConfigDict) -> None:
  """Fewer networks and epochs: hours on two cores."""
  variants.small_run(config)
  if config.model.name not in _BATCH_NORM_MODELS:
    config.microbatch_size = 8


def _out_of_domain(config: ml_collections.ConfigDict) -> None:
  """Also evaluates on the other one of MNIST and Fashion-MNIST."""
  others = {'mnist': 'fashion_mnist', 'fashion_mnist': 'mnist'}
  if config.data.source not in others:
    raise ValueError(
      "the modifier 'out_of_domain' is for INRs of MNIST and Fashion-MNIST, "
      f'got {config.data.source!r}; set config.out_of_domain.source yourself.'
    )
  config.out_of_domain.source = others[config.data.source]


def _original_recipe(config: ml_collections.ConfigDict) -> None:
  """Training as in the NFN paper: Adam, no decay, small batches."""
  variants.nfn_recipe(config, rate=1e-3)
  config.schedule.warmup_steps = 1_000
  config.num_steps = 50_000


_BASES: dict[str, variants.Change] = {
  'paper': _paper,
  'mnist': _paper,
  'fashion_mnist': _fashion_mnist,
  'digits': _digits,
  'smoke': _smoke,
}
_MODIFIERS: dict[str, variants.Change] = {
  'small': _small,
  'probes_64': variants.probes_64,
  'out_of_domain': _out_of_domain,
  'original_recipe': _original_recipe,
}


def make_config(model: str, variant: str) -> ml_collections.ConfigDict:
  """Makes the config of a model and a variant.

  Args:
    model: name of an editor, such as 'ng_gnn_edit'.
    variant: a base, then modifiers, joined by '+'.

  Returns:
    The config.

  Raises:
    ValueError: unknown model or variant, the known ones are listed; a variant
      that sets what the model does not have.
  """
  config = editing_config.default_config(model)
  return variants.apply(config, variant, bases=_BASES, modifiers=_MODIFIERS)
