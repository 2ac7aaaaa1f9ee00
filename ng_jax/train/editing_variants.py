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
# Options for 11,000 INRs 2-32-32-1, and steps of 32 of them.
_TWO_CORES_MODELS: dict[str, dict[str, Any]] = {
  'ng_gnn_edit': {'hidden_size': 64, 'num_probes': 16, 'dropout': 0.0},
  'ng_t_edit': {
    'node_size': 32,
    'edge_size': 16,
    'attention_size': 64,
    'node_hidden_size': 64,
    'edge_hidden_size': 32,
    'num_layers': 2,
    'fourier_size': 32,
    'num_probes': 16,
    'dropout': 0.0,
  },
  'nfn_edit': {'channels': (32, 32, 32), 'fourier_size': 16},
  'dws_edit': {'hidden_size': 16, 'num_layers': 3},
  'mlp_edit': {'hidden_size': 256},
}
_TWO_CORES_STEPS = {
  'ng_gnn_edit': 1_500,
  'ng_t_edit': 2_000,
  'nfn_edit': 3_000,
  'dws_edit': 1_500,
  'mlp_edit': 4_000,
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
  'nfn_edit': {'channels': (8,), 'fourier_size': 16},
  'dws_edit': {'hidden_size': 4, 'num_layers': 1, 'num_heads': 2},
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
  variants.digits_schedule(
    config,
    rate=2e-3,
    warmup_steps=100,
    num_steps=1_000,
    batch_norm=config.model.name in _BATCH_NORM_MODELS,
    slow=config.model.name in ('dws_edit', 'ng_t_edit'),
  )
  if config.model.name == 'ng_t_edit':
    config.microbatch_size = 2


def _two_cores(config: ml_collections.ConfigDict) -> None:
  """A part of MNIST: a quarter of an hour on a core, without the INRs."""
  variants.mnist_part(config)
  config.model.update(_TWO_CORES_MODELS[config.model.name])
  variants.digits_schedule(
    config,
    rate=2e-3,
    warmup_steps=100,
    num_steps=_TWO_CORES_STEPS[config.model.name],
    batch_norm=config.model.name in _BATCH_NORM_MODELS,
    slow=False,
  )
  config.eval_every = 250
  if config.model.name == 'ng_t_edit':
    config.microbatch_size = 2
  # Of the other data set only the test split is used.
  other = config.out_of_domain
  other.num_train, other.num_validation, other.num_test = 2, 1, 500


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
  'two_cores': _two_cores,
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
