# SPDX-License-Identifier: Apache-2.0
"""Variants of the classification configs, shared by the models."""

from typing import Any

import ml_collections

from ng_jax.train import classification_config
from ng_jax.train import variants

# A batch norm wants all examples of a batch at once.
_BATCH_NORM_MODELS = ('dws', 'mlp')
# Options of the models for the digits, and for the smoke test.
_DIGITS_MODELS: dict[str, dict[str, Any]] = {
  'ng_gnn': {'num_probes': 64, 'num_layers': 2, 'dropout': 0.0},
  'ng_t': {'num_probes': 64, 'num_layers': 2, 'dropout': 0.0},
  'dws': {'hidden_size': 16, 'num_layers': 3},
  'mlp': {'hidden_size': 64},
  'nfn': {
    'channels': (64, 64, 64),
    'readout_sizes': (128, 128),
    'fourier_size': 32,
    'fourier_scale': 3.0,
    'normalize': True,
    'dropout': 0.0,
  },
  'probing': {},
  'statnn': {'hidden_size': 256},
}
_SMOKE_MODELS: dict[str, dict[str, Any]] = {
  'ng_gnn': {'num_probes': 4, 'num_layers': 1, 'fourier_size': 16},
  'ng_t': {'num_probes': 4, 'num_layers': 1, 'fourier_size': 16},
  'dws': {'hidden_size': 4, 'num_layers': 1, 'num_heads': 2},
  'mlp': {'hidden_size': 8, 'num_layers': 1},
  'nfn': {'channels': (8,), 'readout_sizes': (16,), 'fourier_size': 16},
  'probing': {'num_probes': 4, 'hidden_size': 16},
  'statnn': {'hidden_size': 8},
}


def _dws_recipe(config: ml_collections.ConfigDict) -> None:
  """That of Navon et al. (2023)."""
  config.optimizer.learning_rate = 5e-3
  config.batch_size = 512
  config.num_epochs = 100


def _probing_recipe(config: ml_collections.ConfigDict) -> None:
  """Adam and a cosine over the whole run, of Kahana et al. (2025)."""
  config.optimizer.learning_rate = 3e-4
  config.optimizer.weight_decay = 0.0
  config.optimizer.amsgrad = False
  config.optimizer.clip_norm = 0.0
  config.schedule.name = 'cosine'
  config.schedule.warmup_steps = 0
  config.schedule.decay_steps = 0
  config.augmentation.enabled = False
  config.batch_size = 32
  config.num_epochs = 30


def _paper(config: ml_collections.ConfigDict) -> None:
  """MNIST, everything as published: the defaults."""
  config.data.source = 'mnist'


def _fashion_mnist(config: ml_collections.ConfigDict) -> None:
  """Fashion-MNIST, everything else as published."""
  config.data.source = 'fashion_mnist'


def _digits(config: ml_collections.ConfigDict) -> None:
  """The 8x8 digits of scikit-learn: minutes on two cores."""
  variants.digits_data(config)
  config.model.update(_DIGITS_MODELS[config.model.name])
  _set_mild_augmentation(config)
  if config.model.name != 'probing':  # Which is trained as published.
    variants.digits_schedule(
      config,
      rate=1.5e-3,
      warmup_steps=300,
      num_steps=2_000,
      batch_norm=config.model.name in _BATCH_NORM_MODELS,
      slow=config.model.name in ('dws', 'ng_t'),
    )
  if config.model.name == 'ng_t':
    config.microbatch_size = 2


def _set_mild_augmentation(config: ml_collections.ConfigDict) -> None:
  """Milder than the paper's: a turn of 45 degrees makes a 6 a 9."""
  augmentation = config.augmentation
  augmentation.translation, augmentation.rotation = 0.1, 10.0
  augmentation.noise, augmentation.dropout = 0.0, 0.0
  augmentation.scale = (0.9, 1.1)


def _smoke(config: ml_collections.ConfigDict) -> None:
  """A few digits and steps: shows that everything runs, in seconds."""
  _digits(config)
  variants.smoke_run(config)
  config.model.update(_SMOKE_MODELS[config.model.name])


def _small(config: ml_collections.ConfigDict) -> None:
  """Fewer networks and epochs: an hour or so on two cores."""
  variants.small_run(config)
  if config.model.name not in _BATCH_NORM_MODELS:
    config.microbatch_size = 8


def _no_positions(config: ml_collections.ConfigDict) -> None:
  """Ablation: nodes do not know which input, layer or output they are."""
  variants.set_model(config, position_embedding=False)


def _original_recipe(config: ml_collections.ConfigDict) -> None:
  """Training as in the NFN paper: Adam, no decay, no warm-up, small batches."""
  variants.nfn_recipe(config, rate=1e-4)
  config.schedule.warmup_steps = 0
  config.num_steps = 200_000


def _generated_probes(config: ml_collections.ConfigDict) -> None:
  """Probe inputs from a deep linear generator (ProbeGen)."""
  variants.set_model(config, probe_source='generator')
  config.model.num_probes = config.model.num_probes or 64


def _probe_outputs(config: ml_collections.ConfigDict) -> None:
  """The readout also gets the networks' outputs, and is that of probing."""
  variants.set_model(
    config, read_probe_outputs=True, readout_size=256, num_readout_layers=6
  )
  config.model.num_probes = config.model.num_probes or 64


def _layer_means(config: ml_collections.ConfigDict) -> None:
  """The readout gets the mean of every layer, not only the output nodes."""
  variants.set_model(config, pooling='cat_mean')


def _mild_augmentation(config: ml_collections.ConfigDict) -> None:
  """Shifts, turns and scales of the drawn images, exact in the weights."""
  config.augmentation.enabled = True
  _set_mild_augmentation(config)


_BASES: dict[str, variants.Change] = {
  'paper': _paper,
  'mnist': _paper,
  'fashion_mnist': _fashion_mnist,
  'digits': _digits,
  'smoke': _smoke,
}
_MODIFIERS: dict[str, variants.Change] = {
  'small': _small,
  'no_positions': _no_positions,
  'original_recipe': _original_recipe,
  'probes_16': variants.probes_16,
  'probes_64': variants.probes_64,
  'generated_probes': _generated_probes,
  'normalised_readout': variants.normalised_readout,
  'layer_means': _layer_means,
  'probe_outputs': _probe_outputs,
  'mild_augmentation': _mild_augmentation,
}
# What a model is trained with in place of the defaults, before the base.
_RECIPES: dict[str, variants.Change] = {
  'dws': _dws_recipe,
  'probing': _probing_recipe,
}


def make_config(model: str, variant: str) -> ml_collections.ConfigDict:
  """Makes the config of a model and a variant.

  Args:
    model: name of a model, such as 'ng_gnn'.
    variant: a base, then modifiers, joined by '+'.

  Returns:
    The config.

  Raises:
    ValueError: unknown model or variant, the known ones are listed; a variant
      that sets what the model does not have.
  """
  config = classification_config.default_config(model)
  if model in _RECIPES:
    _RECIPES[model](config)
  return variants.apply(config, variant, bases=_BASES, modifiers=_MODIFIERS)
