# SPDX-License-Identifier: Apache-2.0
"""Variants of the CNN generalization configs, shared by the models."""

from typing import Any

import ml_collections

from ng_jax.data.cnn_zoo import variants as zoo_variants
from ng_jax.train import generalization_config
from ng_jax.train import variants

# Spec 7.5, the CNN Wild Park.
_PARK_MODELS: dict[str, dict[str, Any]] = {
  'ng_gnn': {
    'hidden_size': 64,
    'num_layers': 4,
    'dropout': 0.0,
    'fourier_scale': 3.0,
    'reverse_edges': False,
    'activation_embedding': True,
  },
  'ng_t': {
    'node_size': 32,
    'edge_size': 16,
    'attention_size': 32,
    'node_hidden_size': 64,
    'edge_hidden_size': 64,
    'readout_size': 64,
    'num_layers': 3,
    'num_heads': 4,
    'dropout': 0.2,
    'fourier_scale': 1.0,
    'reverse_edges': False,
    'activation_embedding': True,
  },
  'statnn': {'order': 'split', 'hidden_size': 1000},
}
# Spec 7.4, the small CNN zoo CIFAR10-GS.
_SMALL_MODELS: dict[str, dict[str, Any]] = {
  'ng_gnn': {
    'hidden_size': 256,
    'dropout': 0.0,
    'fourier_scale': 3.0,
    'reverse_edges': False,
    'linear_as_conv': False,
  },
  'ng_t': {
    'node_size': 128,
    'edge_size': 64,
    'attention_size': 256,
    'node_hidden_size': 256,
    'edge_hidden_size': 128,
    'readout_size': 256,
    'num_layers': 4,
    'num_heads': 8,
    'dropout': 0.0,
    'fourier_scale': 1.0,
    'reverse_edges': False,
  },
  # Of Zhou et al. (2023), HNP.
  'nfn': {
    'variant': 'hnp',
    'channels': (16, 16, 5),
    'fourier_size': 0,
    'io_bands': 0,
    'dropout': 0.0,
  },
  'statnn': {'order': 'interleaved', 'hidden_size': 1000},
}
_SMOKE_MODELS: dict[str, dict[str, Any]] = {
  'ng_gnn': {'hidden_size': 8, 'num_layers': 1, 'fourier_size': 8},
  'ng_t': {
    'node_size': 8,
    'edge_size': 8,
    'attention_size': 8,
    'num_heads': 2,
    'node_hidden_size': 8,
    'edge_hidden_size': 8,
    'readout_size': 8,
    'num_layers': 1,
    'fourier_size': 8,
  },
  'nfn': {'channels': (4,), 'readout_sizes': (8,)},
  'statnn': {'hidden_size': 8},
}


def _park_model(config: ml_collections.ConfigDict) -> None:
  name = config.model.name
  if name not in _PARK_MODELS:
    raise ValueError(
      f'the model {name!r} reads networks of one spec, and the Wild Park has '
      f"many; choose 'small_zoo' or one of {sorted(_PARK_MODELS)}."
    )
  config.model.update(_PARK_MODELS[name])


def _paper(config: ml_collections.ConfigDict) -> None:
  """The CNN Wild Park as published; the small zoo for models of one spec."""
  if config.model.name not in _PARK_MODELS:
    _small_zoo(config)
    return
  _park_model(config)
  config.num_epochs = 20
  config.data.update(zoo_variants.fields('paper'))


def _small_zoo(config: ml_collections.ConfigDict) -> None:
  """CIFAR10-GS as published; needs config.data.path."""
  config.data.kind = 'small_zoo'
  config.model.update(_SMALL_MODELS[config.model.name])
  config.augmentation.noise, config.augmentation.dropout = 0.1, 0.01
  config.num_epochs = 300
  config.eval_every = 100
  if config.model.name == 'ng_gnn':
    config.loss = 'mse'
  if config.model.name == 'ng_t':
    config.batch_size = 192


def _fashion_mnist(config: ml_collections.ConfigDict) -> None:
  """150 shapes on Fashion-MNIST, 14 x 14: an hour or so on two cores."""
  if config.model.name not in _PARK_MODELS:
    _fashion_mnist_one_shape(config)
    return
  _short_run(config)
  config.data.update(zoo_variants.fields('fashion_mnist_14'))


def _fashion_mnist_one_shape(config: ml_collections.ConfigDict) -> None:
  """The same with networks of one shape, for models that read no others."""
  _short_run(config)
  config.data.update(zoo_variants.fields('fashion_mnist_one_shape'))


def _short_run(config: ml_collections.ConfigDict) -> None:
  """Small batches and 20 epochs, with the models of the paper."""
  known = _PARK_MODELS | {'nfn': _SMALL_MODELS['nfn']}
  config.model.update(known[config.model.name])
  config.batch_size = 32
  config.microbatch_size = 8
  config.eval_batch_size = 32
  config.num_epochs = 20
  config.eval_every = 100


def _combined(config: ml_collections.ConfigDict) -> None:
  """INRs and CNNs in one model: which images was a network trained on?

  config.data.path is a folder of sets that were made, see `data.combined`.
  """
  _short_run(config)
  config.data.kind = 'combined'
  config.loss = 'cross_entropy'
  variants.set_model(config, pooling='mean')


def _digits(config: ml_collections.ConfigDict) -> None:
  """A zoo of the 8x8 digits: minutes on two cores, no files needed."""
  if config.model.name not in _PARK_MODELS:
    _digits_one_shape(config)
    return
  _short_run(config)
  config.data.update(zoo_variants.fields('digits'))


def _digits_one_shape(config: ml_collections.ConfigDict) -> None:
  """The same with networks of one shape."""
  _short_run(config)
  config.data.update(zoo_variants.fields('digits_one_shape'))


def _smoke(config: ml_collections.ConfigDict) -> None:
  """A tiny zoo and a few steps: shows that everything runs, in seconds."""
  if config.model.name not in _PARK_MODELS:
    _smoke_one_shape(config)
    return
  _tiny_run(config)
  config.data.update(zoo_variants.fields('smoke'))


def _smoke_one_shape(config: ml_collections.ConfigDict) -> None:
  """The same with networks of one shape."""
  _tiny_run(config)
  config.data.update(zoo_variants.fields('smoke_one_shape'))


def _tiny_run(config: ml_collections.ConfigDict) -> None:
  """Six steps of a small model."""
  _short_run(config)
  config.model.update(_SMOKE_MODELS[config.model.name])
  config.batch_size = 4
  config.eval_batch_size = 4
  config.microbatch_size = 4
  config.num_buckets = 1
  config.num_steps = 6
  config.eval_every = 3
  config.log_every = 2


def _np(config: ml_collections.ConfigDict) -> None:
  """NFN-NP: also inputs and outputs may be permuted; for 'nfn'."""
  variants.set_model(config, variant='np')


def _no_activations(config: ml_collections.ConfigDict) -> None:
  """Ablation: nodes do not know their activation functions."""
  variants.set_model(config, activation_embedding=False)


_BASES: dict[str, variants.Change] = {
  'paper': _paper,
  'small_zoo': _small_zoo,
  'fashion_mnist': _fashion_mnist,
  'fashion_mnist_one_shape': _fashion_mnist_one_shape,
  'combined': _combined,
  'digits': _digits,
  'digits_one_shape': _digits_one_shape,
  'smoke': _smoke,
  'smoke_one_shape': _smoke_one_shape,
}
_MODIFIERS: dict[str, variants.Change] = {
  'no_activations': _no_activations,
  'normalised_readout': variants.normalised_readout,
  'np': _np,
}


def make_config(model: str, variant: str) -> ml_collections.ConfigDict:
  """Makes the config of a model and a variant.

  Args:
    model: one of `generalization_config.MODELS`.
    variant: a base, then modifiers, joined by '+'.

  Returns:
    The config.

  Raises:
    ValueError: unknown model or variant, the known ones are listed; a variant
      that the model cannot do.
  """
  config = generalization_config.default_config(model)
  return variants.apply(config, variant, bases=_BASES, modifiers=_MODIFIERS)
