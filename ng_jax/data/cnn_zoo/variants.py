# SPDX-License-Identifier: Apache-2.0
"""Settings of CNN zoos by name, for the configs of two experiments."""

import dataclasses
from typing import Any

from ng_jax.data.cnn_zoo import settings as settings_lib

# 1,500 checkpoints: 150 shapes, 2 runs each, 5 times stored.
_FASHION_14: dict[str, Any] = {
  'source': 'fashion_mnist',
  'image_size': 14,
  'num_train_images': 3_000,
  'num_test_images': 2_000,
  'num_shapes': 150,
  'distinct_shapes': True,
  'runs_per_shape': 2,
  'learning_rates': (3e-4, 1e-3, 3e-3, 1e-2),
  'min_epochs': 5,
  'max_epochs': 5,
  'checkpoint_epochs': (1, 2, 3, 4, 5),
  'batch_size': 64,
  'num_validation_runs': 30,
  'num_test_runs': 60,
}
# One shape of weights, as in CIFAR10-GS: three convolutions of 16 channels, and
# nothing that a model of one spec would have to know. Runs differ in their
# activations, learning rates, decays and seeds.
_ONE_SHAPE: dict[str, Any] = {
  'num_shapes': 1,
  'runs_per_shape': 150,
  'num_convolutions': (3,),
  'channels': (16,),
  'kernel_sizes': (3,),
  'layer_activations': ('relu', 'tanh'),
  'residuals': False,
  'learning_rates': (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
  'weight_decays': (0.0, 1e-2),
  'num_validation_runs': 15,
  'num_test_runs': 30,
}
_DIGITS: dict[str, Any] = {
  **_FASHION_14,
  'source': 'digits',
  'image_size': 0,
  'num_train_images': 0,
  'num_test_images': 0,
  'num_shapes': 40,
  'channels': (4, 8, 16),
  'kernel_sizes': (3, 5),
  'num_convolutions': (2, 3, 4),
  'batch_size': 32,
  'num_validation_runs': 8,
  'num_test_runs': 16,
}
_SMOKE: dict[str, Any] = {
  **_DIGITS,
  'num_train_images': 256,
  'num_test_images': 128,
  'num_shapes': 4,
  'channels': (2, 4),
  'kernel_sizes': (3,),
  'num_convolutions': (2, 3),
  'layer_activations': ('relu', 'tanh'),
  'learning_rates': (1e-2, 3e-2),
  'min_epochs': 4,
  'max_epochs': 4,
  'checkpoint_epochs': (0, 2, 4),
  'num_validation_runs': 1,
  'num_test_runs': 1,
}
VARIANTS: dict[str, dict[str, Any]] = {
  'paper': {},
  'paper_later': {
    'num_shapes': 50_000,
    'num_convolutions': (2, 3, 4, 5, 6, 7, 8),
    'channels': (4, 8, 16, 32, 64),
    'num_validation_runs': 5_000,
    'num_test_runs': 5_000,
  },
  'fashion_mnist': {**_FASHION_14, 'image_size': 0},
  'fashion_mnist_14': _FASHION_14,
  'fashion_mnist_one_shape': {**_FASHION_14, **_ONE_SHAPE},
  'mnist': {**_FASHION_14, 'source': 'mnist', 'image_size': 0},
  'cifar10': {
    **_FASHION_14,
    'source': 'cifar10',
    'image_size': 0,
    'num_train_images': 5_000,
    'num_test_images': 1_000,
  },
  'digits': _DIGITS,
  'digits_one_shape': {**_DIGITS, **_ONE_SHAPE, 'channels': (8,)},
  'smoke': _SMOKE,
  'smoke_one_shape': {
    **_SMOKE,
    **_ONE_SHAPE,
    'channels': (4,),
    'learning_rates': (1e-2, 3e-2),
    'runs_per_shape': 6,
    'num_validation_runs': 1,
    'num_test_runs': 1,
  },
}


def fields(name: str) -> dict[str, Any]:
  """All fields of `ZooSettings` of a variant.

  Args:
    name: a key of `VARIANTS`.

  Returns:
    {field: value}. Jit: no.

  Raises:
    ValueError: unknown name.
  """
  if name not in VARIANTS:
    raise ValueError(
      f'unknown variant {name!r}; expected one of {sorted(VARIANTS)}.'
    )
  return dataclasses.asdict(settings_lib.ZooSettings(**VARIANTS[name]))
