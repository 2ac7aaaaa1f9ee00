# SPDX-License-Identifier: Apache-2.0
"""Parts of variants that the experiments on INRs share.

A variant is a base ('paper', 'digits', ...) and any number of modifiers,
joined by '+': 'paper+probes_64', 'digits+no_positions'. Each is a function
that changes a config.
"""

from collections.abc import Callable, Mapping
from typing import Any

import ml_collections

from ng_jax.train import config as config_lib

Change = Callable[[ml_collections.ConfigDict], None]


def apply(
  config: ml_collections.ConfigDict,
  variant: str,
  *,
  bases: Mapping[str, Change],
  modifiers: Mapping[str, Change],
) -> ml_collections.ConfigDict:
  """Changes a config as a variant says.

  Args:
    config: the default config of a model.
    variant: a base, then modifiers, joined by '+'.
    bases: by name.
    modifiers: by name.

  Returns:
    The same config.

  Raises:
    ValueError: unknown variant, the known ones are listed; a variant that sets
      what the model does not have.
  """
  changes = {**bases, **modifiers}
  parts = config_lib.choose_variant(variant, changes)
  if parts[0] not in bases or any(part in bases for part in parts[1:]):
    raise ValueError(
      f'variant {variant!r} must be one base of {sorted(bases)}, followed by '
      f"any of {sorted(modifiers)}, joined by '+'."
    )
  for part in parts:
    changes[part](config)
  return config


def set_model(config: ml_collections.ConfigDict, **options: Any) -> None:
  """Sets options of the model; refuses those that it does not have.

  Args:
    config: of a run.
    **options: of the model.

  Raises:
    ValueError: the model has no such option.
  """
  for option, value in options.items():
    if option not in config.model:
      raise ValueError(
        f'this variant sets {option}, which the model {config.model.name!r} '
        'does not have; choose another variant, or a model that has it.'
      )
    config.model[option] = value


def probes_16(config: ml_collections.ConfigDict) -> None:
  """16 learned probe inputs."""
  set_model(config, num_probes=16)


def probes_64(config: ml_collections.ConfigDict) -> None:
  """64 learned probe inputs."""
  set_model(config, num_probes=64)


def normalised_readout(config: ml_collections.ConfigDict) -> None:
  """A batch norm before the readout, and coarse Fourier features.

  Not in the paper; with both, models learn in fewer steps (RESULTS.md).
  """
  set_model(config, pooled_norm=True, fourier_scale=0.3)
  config.microbatch_size = 0  # The norm wants all networks of a batch at once.
  config.precise_batch_stats = 8  # Running averages would trail.


def digits_data(config: ml_collections.ConfigDict) -> None:
  """Five INRs of each of the 8x8 digits of scikit-learn."""
  data = config.data
  data.source = 'digits'
  data.num_train, data.num_validation, data.num_test = 1_288, 150, 359
  data.num_views = 5
  data.hidden_sizes = (16, 16)
  data.num_steps = 500
  config.eval_batch_size = 64
  config.eval_every = 250
  config.log_every = 50


def mnist_part(config: ml_collections.ConfigDict) -> None:
  """11,000 INRs of MNIST: 40 minutes or so on two cores, made once."""
  data = config.data
  data.source = 'mnist'
  data.num_train, data.num_validation, data.num_test = 8_000, 1_000, 2_000
  data.num_steps = 2_000
  config.eval_batch_size = 64
  config.log_every = 50


def digits_schedule(
  config: ml_collections.ConfigDict,
  *,
  rate: float,
  warmup_steps: int,
  num_steps: int,
  batch_norm: bool,
  slow: bool,
) -> None:
  """Minutes on two cores, with a rate that is halved now and then.

  Args:
    config: of a run on the digits.
    rate: learning rate.
    warmup_steps: of the rate.
    num_steps: of the run; the rate is halved every half of it.
    batch_norm: whether the model has one, which wants all examples of a batch
      at once.
    slow: whether a step of the model does more, so that 600 must do.
  """
  config.optimizer.learning_rate = rate
  config.schedule.name = 'exponential'
  config.schedule.warmup_steps = warmup_steps
  config.schedule.decay_rate = 0.5
  config.batch_size = 32
  config.microbatch_size = 0 if batch_norm else 8
  config.num_steps = num_steps
  if slow:
    config.num_steps = 600
    config.eval_every = 100
  config.schedule.decay_steps = config.num_steps // 2


def smoke_run(config: ml_collections.ConfigDict) -> None:
  """A few small INRs of digits and six steps."""
  data = config.data
  data.num_train, data.num_validation, data.num_test = 24, 8, 8
  data.num_views = 1
  data.hidden_sizes = (8, 8)
  data.num_steps = 50
  config.batch_size = 8
  config.eval_batch_size = 8
  config.microbatch_size = 4
  config.num_steps = 6
  config.eval_every = 3
  config.log_every = 2


def small_run(config: ml_collections.ConfigDict) -> None:
  """4,000 training INRs and 40 epochs."""
  data = config.data
  data.num_train, data.num_validation, data.num_test = 4_000, 500, 1_000
  config.num_epochs = 40
  config.schedule.warmup_steps = min(300, config.schedule.warmup_steps)
  config.eval_every = 125


def nfn_recipe(config: ml_collections.ConfigDict, *, rate: float) -> None:
  """Training as in the NFN paper: Adam, no decay, small batches.

  Args:
    config: of a run.
    rate: learning rate.
  """
  config.optimizer.learning_rate = rate
  config.optimizer.weight_decay = 0.0
  config.optimizer.amsgrad = False
  config.optimizer.clip_norm = 0.0
  config.batch_size = 32
