# SPDX-License-Identifier: Apache-2.0
"""Fields of a classification config: the paper's defaults and the checks."""

import dataclasses

import ml_collections

from ng_jax.train import classifier
from ng_jax.train import config as config_lib
from ng_jax.train import run_config
from ng_jax.weights import augment


def default_config(model: str = 'ng_gnn') -> ml_collections.ConfigDict:
  """The paper's settings (section 4.1 and its code), for MNIST INRs.

  Args:
    model: of `models.MODELS`; decides which options config.model has.

  Returns:
    A config with every field there is, those of `run_config.default_fields`
    and
      model: name, and the options of the model.
      augmentation: enabled, and the fields of `augment.Augmentation`.

  Raises:
    ValueError: unknown model.
  """
  return ml_collections.ConfigDict(
    {
      **run_config.default_fields(),
      'model': {'name': model, **classifier.model_options(model)},
      'augmentation': {
        'enabled': True,
        **dataclasses.asdict(augment.Augmentation()),
      },
    }
  )


def check(config: ml_collections.ConfigDict) -> None:
  """Refuses a config that cannot be run, before anything is made.

  Args:
    config: of a run.

  Raises:
    ValueError: unknown or missing fields, an unknown model, values out of
      range.
  """
  config_lib.check_fields(config, run_config.of_model(default_config, config))
  run_config.check_values(config)
