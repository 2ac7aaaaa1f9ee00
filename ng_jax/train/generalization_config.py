# SPDX-License-Identifier: Apache-2.0
"""Fields of a CNN generalization config: the paper's defaults, the checks."""

import ml_collections

from ng_jax.train import config as config_lib
from ng_jax.train import reading
from ng_jax.train import run_config
from ng_jax.train import targets
from ng_jax.train import zoo_sources

MODELS = ('nfn', 'ng_gnn', 'ng_t', 'statnn')


def default_config(model: str = 'ng_gnn') -> ml_collections.ConfigDict:
  """What the experiments of section 4.2 have in common, on a made zoo.

  Args:
    model: one of `MODELS`; decides which options config.model has.

  Returns:
    A config with every field there is, those of `run_config.default_fields`,
    without warm-up, and
      data: see `zoo_sources.default_fields`.
      model: name, and the options of the model.
      augmentation: fields of `perturb.Perturb`, for networks of one spec.
      loss: 'bce' (cross-entropy of soft labels) or 'mse' of accuracies;
        'cross_entropy' of classes, for a zoo of kind 'folder' with labels.
      microbatch_size: networks that are worked on at once; with mixed
        architectures it is the mean number of a part of a batch.
      num_buckets: at most so many sizes of padded graphs ('ng_t', mixed
        architectures); each is compiled.

  Raises:
    ValueError: unknown model.
  """
  if model not in MODELS:
    raise ValueError(
      f'unknown model {model!r} in config.model.name; expected one of '
      f'{sorted(MODELS)}, which predict from CNNs.'
    )
  options = reading.model_options(model, kind='predictor', mark='num_outputs')
  config = ml_collections.ConfigDict(
    {
      **run_config.default_fields(),
      'data': zoo_sources.default_fields(),
      'model': {'name': model, **options},
      'augmentation': {'noise': 0.0, 'dropout': 0.0},
      'loss': 'bce',
      'num_buckets': 6,
    }
  )
  config.schedule.warmup_steps = 0
  return config


def check(config: ml_collections.ConfigDict) -> None:
  """Refuses a config that cannot be run, before anything is made.

  Args:
    config: of a run.

  Raises:
    ValueError: unknown or missing fields, an unknown model or loss, values out
      of range.
  """
  config_lib.check_fields(config, run_config.of_model(default_config, config))
  run_config.check_values(config)
  if config.loss not in targets.LOSSES:
    raise ValueError(
      f'unknown loss {config.loss!r} in config.loss; expected one of '
      f'{sorted(targets.LOSSES)}.'
    )
  if config.num_buckets < 1:
    raise ValueError(
      f'config.num_buckets must be positive, got {config.num_buckets}.'
    )
