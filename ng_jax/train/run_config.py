# SPDX-License-Identifier: Apache-2.0
"""Fields that the configs of all runs on INRs share, and their checks."""

from collections.abc import Callable
from typing import Any

import ml_collections

from ng_jax.train import inr_sources

_POSITIVE = ('batch_size', 'eval_batch_size', 'eval_every', 'log_every')
_NOT_NEGATIVE = (
  *('microbatch_size', 'num_devices', 'num_steps', 'seed'),
  'precise_batch_stats',
)
_CHOICES = {
  'dtype': ('float32', 'bfloat16'),
  'matmul_precision': (
    'default',
    'bfloat16',
    'tensorfloat32',
    'float32',
    'high',
    'highest',
  ),
}


def default_fields() -> dict[str, Any]:
  """The paper's settings for reading MNIST INRs (section 4.1 and its code).

  Returns:
    {field: default}:
      seed: of the parameters, the order of the data and what training draws.
      data: see `inr_sources.default_fields`.
      optimizer, schedule: see `optimizers.adamw`, `optimizers.make_schedule`;
        schedule.decay_steps = 0 stands for the length of the run, so that a
        resumed run that is made longer goes on along the longer schedule.
      batch_size: examples of an optimizer step, over all devices.
      microbatch_size: examples worked on at once on one device; 0 for what is
        fastest: all of them on accelerators, and on a CPU as many as stay in
        the cache, see `microbatches`. With the model's norm_mode='batch', and
        with pooled_norm, and for the batch norms of 'dws', 'dws_edit' and
        'mlp', it is the batch of the statistics, and 0 stands for the whole
        batch.
      precise_batch_stats: of how many training batches the statistics of batch
        norms are taken anew before every evaluation, for the parameters of
        that step; 0 leaves the running averages, as published. Beyond the
        paper, see `batch_stats`.
      num_epochs; num_steps: length of the run; num_steps unless it is 0.
      eval_every, log_every: in optimizer steps.
      dtype: computation dtype of the model, 'float32' or 'bfloat16'.
      matmul_precision: as `jax.default_matmul_precision`; 'default' leaves it.
      num_devices: 0 for all local ones.
    Jit: no.
  """
  return {
    'seed': 0,
    'data': inr_sources.default_fields(),
    'optimizer': {
      'learning_rate': 1e-3,
      'weight_decay': 5e-4,
      'b1': 0.9,
      'b2': 0.999,
      'eps': 1e-8,
      'amsgrad': True,
      'clip_norm': 10.0,
    },
    'schedule': {
      'name': 'constant',
      'warmup_steps': 1000,
      'decay_steps': 1,
      'decay_rate': 1.0,
      'final_fraction': 0.0,
    },
    'batch_size': 128,
    'microbatch_size': 0,
    'precise_batch_stats': 0,
    'eval_batch_size': 128,
    'num_epochs': 200,
    'num_steps': 0,
    'eval_every': 1000,
    'log_every': 100,
    'dtype': 'float32',
    'matmul_precision': 'default',
    'num_devices': 0,
    'compilation_cache': True,
  }


def of_model(
  default_config: Callable[..., ml_collections.ConfigDict],
  config: ml_collections.ConfigDict,
) -> ml_collections.ConfigDict:
  """The default config of the model that a config names.

  Args:
    default_config: of the experiment; gets the name, or nothing where the
      config has none.
    config: of a run.

  Returns:
    What `default_config` gives.

  Raises:
    ValueError: unknown model.
  """
  model = config.get('model', {})
  return default_config(model['name']) if 'name' in model else default_config()


def check_values(config: ml_collections.ConfigDict) -> None:
  """Refuses values out of range in the fields of `default_fields`.

  Args:
    config: with all of these fields.

  Raises:
    ValueError: names the field, the rule and the value.
  """
  for field in _POSITIVE:
    if config[field] < 1:
      raise ValueError(f'config.{field} must be positive, got {config[field]}.')
  for field in _NOT_NEGATIVE:
    if config[field] < 0:
      raise ValueError(
        f'config.{field} must not be negative, got {config[field]}.'
      )
  for field, choices in _CHOICES.items():
    if config[field] not in choices:
      raise ValueError(
        f'config.{field} must be one of {choices}, got {config[field]!r}.'
      )
  if not config.num_steps and config.num_epochs < 1:
    raise ValueError(
      'config.num_epochs must be positive unless num_steps is given, got '
      f'{config.num_epochs}.'
    )
