# SPDX-License-Identifier: Apache-2.0
"""Everything that a run on INRs works with, built once.

Data on the devices, the optimizer, a fresh state, the compiled steps. What
experiments differ in (the model, the loss, the targets) is given to `assemble`
by their `prepare` functions.
"""

from collections.abc import Callable, Mapping
import dataclasses
import functools
from typing import Any

from flax import linen as nn
import jax
import ml_collections
import numpy as np
import optax

from ng_jax import graphs
from ng_jax import processes
from ng_jax import specs
from ng_jax.data import inr
from ng_jax.train import devices as devices_lib
from ng_jax.train import evaluate
from ng_jax.train import microbatches
from ng_jax.train import operations
from ng_jax.train import optimizers
from ng_jax.train import reading
from ng_jax.train import sampler
from ng_jax.train import state as state_lib
from ng_jax.train import steps
from ng_jax.weights import statistics

# Purposes that the key of a run is folded with.
_INIT, _TRAINING = 0, 1


@dataclasses.dataclass(frozen=True)
class Split:
  """Where a split lies in the data of an experiment.

  Attributes:
    first_row: of the split.
    labels: [num_examples] int32 on the host.
    image_index: [num_examples] int32, number of the image in the source.
  """

  first_row: int
  labels: np.ndarray
  image_index: np.ndarray


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What a run works with; see the module's docstring.

  Attributes:
    config: of the run.
    dataset: as made or read.
    model: that reads it.
    data: {'weights': tree [num_rows, ...], and the targets [num_rows, ...]} on
      the devices, all splits in turn, so that one program serves all.
    splits: {'train', 'validation', 'test'} and perhaps more.
    devices: that the run works on.
    microbatch_size: worked on at once by a device, 0 for all.
    learning_rate: optimizer step to rate.
    init: makes the state before the first step.
    train_step, eval_step, statistics_step: see `devices.make_step`.
    metric_function: what `eval_step` does with a batch, see `steps`.
  """

  config: ml_collections.ConfigDict
  dataset: inr.InrDataset
  model: nn.Module
  data: dict[str, Any]
  splits: Mapping[str, Split]
  devices: list[jax.Device]
  microbatch_size: int
  learning_rate: optax.Schedule
  init: Callable[[], state_lib.TrainState]
  train_step: devices_lib.Step
  eval_step: devices_lib.Step
  statistics_step: devices_lib.Step
  metric_function: steps.MetricFunction

  @property
  def multiple_of(self) -> int:
    """What the length of index vectors must divide by."""
    num_devices = len(self.devices) * processes.share().count
    return num_devices * max(self.microbatch_size, 1)

  @property
  def facts(self) -> dict[str, Any]:
    """Networks of each split, and the operations of reading one of them."""
    example, mask = jax.eval_shape(
      steps.gather, self.data, jax.ShapeDtypeStruct((1,), np.int32)
    )
    variables = jax.eval_shape(self.init).variables
    return {
      'sizes': {name: part.labels.size for name, part in self.splits.items()},
      'operations_per_network': operations.count(
        self.metric_function, variables, example, mask
      ),
    }

  def sampler(self) -> sampler.IndexSampler:
    """Batches of the training split."""
    train = self.splits['train']
    return sampler.IndexSampler(
      num_examples=train.labels.size,
      batch_size=self.config.batch_size,
      seed=self.config.seed,
      multiple_of=self.multiple_of,
      first_row=train.first_row,
    )

  def measure(
    self, state: state_lib.TrainState, split: str, *, names: tuple[str, ...]
  ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Runs the evaluation over a split; see `evaluate.measure_split`."""
    return evaluate.measure_split(
      self.eval_step,
      state,
      self.data,
      names=names,
      num_examples=self.splits[split].labels.size,
      batch_size=self.config.eval_batch_size,
      first_row=self.splits[split].first_row,
      multiple_of=self.multiple_of,
    )


def assemble(
  config: ml_collections.ConfigDict,
  dataset: inr.InrDataset,
  *,
  model: nn.Module,
  data: dict[str, Any],
  splits: Mapping[str, Split],
  loss_function: steps.LossFunction,
  metric_function: steps.MetricFunction,
) -> Experiment:
  """Builds an experiment from its parts.

  Args:
    config: with the fields of `run_config.default_fields`.
    dataset: of the networks.
    model: that reads them.
    data: as `Experiment.data`, on the host.
    splits: of the data.
    loss_function: of training, see `steps`.
    metric_function: of evaluation, see `steps`.

  Returns:
    The experiment. Jit: no.

  Raises:
    ValueError: bad options, too few devices.
  """
  devices = devices_lib.choose(config.num_devices)
  total_steps = num_steps(config, splits['train'].labels.size)
  learning_rate, optimizer = optimizers.from_config(config, total_steps)
  topology = graphs.topology(dataset.network.spec)
  example = reading.example_of(dataset.splits['train'].weights)
  microbatch_size = microbatches.choose_size(
    config.microbatch_size, model, topology, devices
  )

  def init() -> state_lib.TrainState:
    key = jax.random.key(config.seed)
    variables = model.init(
      {'params': jax.random.fold_in(key, _INIT)},
      graphs.encode(topology, example),
    )
    return state_lib.create(
      variables, optimizer, key=jax.random.fold_in(key, _TRAINING)
    )

  in_training: dict[str, Any] = {
    'loss_function': loss_function,
    'microbatch_size': microbatch_size,
  }
  train_step = functools.partial(
    steps.train_step, optimizer=optimizer, **in_training
  )
  statistics_step = functools.partial(steps.statistics_step, **in_training)
  eval_step = functools.partial(
    steps.eval_step,
    metric_function=metric_function,
    microbatch_size=microbatch_size,
  )
  return Experiment(
    config=config,
    dataset=dataset,
    model=model,
    data=devices_lib.replicate(data, devices),
    splits=splits,
    devices=devices,
    microbatch_size=microbatch_size,
    learning_rate=learning_rate,
    init=jax.jit(init),
    train_step=devices_lib.make_step(train_step, devices, donate_state=True),
    eval_step=devices_lib.make_step(eval_step, devices),
    statistics_step=devices_lib.make_step(statistics_step, devices),
    metric_function=metric_function,
  )


def num_steps(config: ml_collections.ConfigDict, num_examples: int) -> int:
  """Optimizer steps of a run.

  Args:
    config: of the run.
    num_examples: of the training split.

  Returns:
    config.num_steps, or as many as config.num_epochs need.
  """
  steps_per_epoch = -(-num_examples // config.batch_size)
  return config.num_steps or config.num_epochs * steps_per_epoch


def check_finite(weights: specs.Weights, *, split: str) -> None:
  """Refuses weights with NaN or infinite values.

  Args:
    weights: leaves [num_networks, ...], on the host.
    split: for the message.

  Raises:
    ValueError: names the leaf and the networks.
  """
  for path, leaf in specs.leaf_arrays(weights).items():
    values = np.asarray(leaf).reshape(len(leaf), -1)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
      raise ValueError(
        f'weights of the {split} split are not finite: leaf {path!r} of '
        f'{bad.size} of {len(leaf)} networks, the first of them number '
        f'{bad[0]}; delete the data set so that it is made again, or drop '
        'these networks.'
      )


def make_model(
  config: ml_collections.ConfigDict, dataset: inr.InrDataset, **options: Any
) -> nn.Module:
  """Makes the model of a config for the networks of a data set.

  Args:
    config: of the run.
    dataset: its training split gives the statistics.
    **options: of the model, besides those of the config.

  Returns:
    A Flax module.

  Raises:
    ValueError: unknown model or option.
  """
  given = config.model.to_dict()
  return reading.create_model(
    given.pop('name'),
    network=dataset.network,
    statistics=statistics.from_weights(
      dataset.network.spec, dataset.splits['train'].weights
    ),
    dtype=config.dtype,
    **given,
    **options,
  )


def lay_out(
  parts: Mapping[str, inr.InrSplit],
) -> tuple[specs.Weights, dict[str, Split]]:
  """Puts the networks of all splits into one tree of arrays, on the host.

  Args:
    parts: by the name of the split.

  Returns:
    Weights, leaves [num_rows, ...], and where each split lies. Jit: no.

  Raises:
    ValueError: weights that are not finite.
  """
  splits: dict[str, Split] = {}
  first_row = 0
  for name, part in parts.items():
    check_finite(part.weights, split=name)
    labels = np.asarray(part.labels, np.int32)
    splits[name] = Split(first_row, labels, np.asarray(part.image_index))
    first_row += labels.size
  weights = jax.tree.map(
    lambda *leaves: np.concatenate(leaves),
    *(part.weights for part in parts.values()),
  )
  return weights, splits
