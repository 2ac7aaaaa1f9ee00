# SPDX-License-Identifier: Apache-2.0
"""From a config to everything that a run of CNN generalization needs."""

from collections.abc import Callable, Mapping
import dataclasses
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from ng_jax import graphs
from ng_jax import processes
from ng_jax import specs
from ng_jax.data import cnn_zoo
from ng_jax.models.baselines import statnn
from ng_jax.train import accuracy_predictor
from ng_jax.train import devices as devices_lib
from ng_jax.train import layouts as layouts_lib
from ng_jax.train import microbatches
from ng_jax.train import optimizers
from ng_jax.train import regression
from ng_jax.train import state as state_lib
from ng_jax.train import steps
from ng_jax.train import targets as targets_lib
from ng_jax.train import zoo_sources
from ng_jax.weights import perturb
from ng_jax.weights import summary

# Purposes that the key of a run is folded with.
_INIT, _TRAINING = 0, 1


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What a run works with.

  Attributes:
    config: of the run.
    zoo: as made or read.
    model: that reads it.
    topologies: of the rows, with one common kernel.
    layout: turns rows of the zoo, all splits one after the other, into batches.
    rows: {split: row numbers}.
    devices: that the run works on.
    learning_rate: optimizer step to rate.
    init: makes the state before the first step.
    train_step: (state, nothing, rows) -> state, sums.
    eval_step: (state, data, index) -> sums, results.
    statistics_step: (state, nothing, rows) -> see `steps.statistics_step`.
    data: nothing; batches come from the layout.
  """

  config: ml_collections.ConfigDict
  zoo: cnn_zoo.CnnZoo
  model: nn.Module
  topologies: list[graphs.Topology]
  layout: layouts_lib.Layout
  rows: Mapping[str, np.ndarray]
  devices: list[jax.Device]
  learning_rate: optax.Schedule
  init: Callable[[], state_lib.TrainState]
  train_step: Callable[..., Any]
  eval_step: Callable[..., Any]
  statistics_step: Callable[..., Any]
  data: None = None

  @property
  def facts(self) -> dict[str, Any]:
    """Networks of each split."""
    return {'sizes': {name: len(rows) for name, rows in self.rows.items()}}

  def sampler(self) -> Any:
    """Batches of the training split."""
    return self.layout.sampler(
      self.rows['train'],
      batch_size=self.config.batch_size,
      seed=self.config.seed,
    )

  def evaluate(
    self, state: state_lib.TrainState, split: str
  ) -> targets_lib.Quality:
    """Predicts every network of a split once; exact, whatever the batches."""
    rows = self.rows[split]
    found: dict[str, np.ndarray] = {}
    all_sums = []
    batch_size = self.config.eval_batch_size
    for members in self.layout.batches_in_order(rows, batch_size):
      batch = self.layout.batch(members)
      sums, results = jax.device_get(
        self.eval_step(state, batch.data, batch.index)
      )
      all_sums.append(sums)
      for name, result in results.items():
        filled = found.setdefault(name, np.zeros(len(rows), result.dtype))
        filled[members - rows[0]] = result.ravel()[batch.places]
    return targets_lib.quality(
      {name: np.array([sums[name] for sums in all_sums]) for name in sums},
      found,
      self.zoo.splits[split].target,
      num_classes=len(self.zoo.class_names),
    )


def prepare(config: ml_collections.ConfigDict) -> Experiment:
  """Builds an experiment.

  Args:
    config: with the fields of `generalization_config.default_config`.

  Returns:
    The experiment; making its zoo may take long the first time.

  Raises:
    ValueError: bad options, too few devices, bad data.
  """
  devices = devices_lib.choose(config.num_devices)
  zoo = zoo_sources.load(config.data)
  _check_loss(config.loss, zoo)
  _check_finite(zoo)
  topologies, rows = _topologies(zoo, config.model.name)
  options = config.model.to_dict()
  model = accuracy_predictor.create_model(
    options.pop('name'),
    [topologies[r] for r in rows['train']],
    dtype=config.dtype,
    num_outputs=max(len(zoo.class_names), 1),
    **options,
  )
  layout, unpack = _choose_layout(config, zoo, topologies, model, devices)
  batches = layout.sampler(rows['train'], batch_size=config.batch_size, seed=0)
  learning_rate, optimizer = optimizers.from_config(
    config, config.num_steps or config.num_epochs * batches.steps_per_epoch
  )
  example, mask = _example(layout, rows['train'])

  def init() -> state_lib.TrainState:
    key = jax.random.key(config.seed)
    variables = model.init(
      {'params': jax.random.fold_in(key, _INIT)}, unpack(example, mask)[0]
    )
    return state_lib.create(
      variables, optimizer, key=jax.random.fold_in(key, _TRAINING)
    )

  train, evaluate, measure = _make_steps(
    config, model, unpack, optimizer, layout
  )
  return Experiment(
    config=config,
    zoo=zoo,
    model=model,
    topologies=topologies,
    layout=layout,
    rows=rows,
    devices=devices,
    learning_rate=learning_rate,
    init=jax.jit(init),
    train_step=_of_rows(
      layout, devices_lib.make_step(train, devices, donate_state=True)
    ),
    eval_step=devices_lib.make_step(evaluate, devices),
    statistics_step=_of_rows(layout, devices_lib.make_step(measure, devices)),
  )


def _of_rows(
  layout: layouts_lib.Layout, step: devices_lib.Step
) -> Callable[..., Any]:
  """A step that lays out its batch, which it is given the rows of."""

  def run(state: state_lib.TrainState, _: Any, chosen: Any) -> Any:
    # Needs no thread: the call below returns before its work is done, so the
    # loop lays out the next batch while the device is busy with this one.
    batch = layout.batch(chosen)
    return step(state, batch.data, batch.index)

  return run


def _make_steps(
  config: ml_collections.ConfigDict,
  model: nn.Module,
  unpack: accuracy_predictor.Unpack,
  optimizer: optax.GradientTransformation,
  layout: layouts_lib.Layout,
) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
  """Steps of one device: of training, evaluation, batch statistics."""
  in_training: dict[str, Any] = {
    'loss_function': accuracy_predictor.make_loss_function(
      model,
      unpack,
      loss=config.loss,
      augmentation=perturb.Perturb(**config.augmentation.to_dict()),
    ),
    'microbatch_size': layout.microbatch_size,
  }
  train = functools.partial(
    steps.train_step, optimizer=optimizer, **in_training
  )
  evaluate = functools.partial(
    steps.eval_step,
    metric_function=accuracy_predictor.make_metric_function(
      model, unpack, loss=config.loss
    ),
    microbatch_size=layout.microbatch_size,
  )
  measure = functools.partial(steps.statistics_step, **in_training)
  return train, evaluate, measure


def _example(layout: layouts_lib.Layout, rows: np.ndarray) -> tuple[Any, Any]:
  """One row of a batch's data, to initialise a model with."""
  batch = layout.batch(next(layout.batches_in_order(rows, 1)))
  data = jax.tree.map(jnp.asarray, batch.data)
  return steps.gather(data, jnp.asarray(batch.index[:1]))


def _check_loss(loss: str, zoo: cnn_zoo.CnnZoo) -> None:
  if (loss == targets_lib.CROSS_ENTROPY) != bool(zoo.class_names):
    kind, fitting = 'accuracies', sorted(regression.LOSSES)
    if zoo.class_names:
      kind, fitting = 'classes', [targets_lib.CROSS_ENTROPY]
    raise ValueError(
      f'config.loss must fit what is predicted, and {zoo.path} holds {kind}, '
      f'got {loss!r}; use one of {fitting}.'
    )


def _check_finite(zoo: cnn_zoo.CnnZoo) -> None:
  for name, split in zoo.splits.items():
    for number, weights in enumerate(split.weights):
      for path, leaf in specs.leaf_arrays(weights).items():
        if not np.isfinite(leaf).all():
          raise ValueError(
            f'weights must be finite, but leaf {path!r} of '
            f'{split.names[number]} ({name}) is not; leave out networks whose '
            'training diverged.'
          )


def _topologies(
  zoo: cnn_zoo.CnnZoo, model: str
) -> tuple[list[graphs.Topology], dict[str, np.ndarray]]:
  """Topologies of all rows, with one common kernel, and rows of the splits."""
  all_specs = [s for x in zoo.splits.values() for s in x.network_specs]
  distinct = set(all_specs)
  kernels = [graphs.topology(spec).kernel for spec in distinct]
  kernel = (max(k[0] for k in kernels), max(k[1] for k in kernels))
  made = {
    spec: graphs.topology(accuracy_predictor.seen_by(model, spec), kernel)
    for spec in distinct
  }
  rows, first = {}, 0
  for name, split in zoo.splits.items():
    rows[name] = np.arange(first, first + len(split))
    first += len(split)
  return [made[spec] for spec in all_specs], rows


def _choose_layout(
  config: ml_collections.ConfigDict,
  zoo: cnn_zoo.CnnZoo,
  topologies: list[graphs.Topology],
  model: nn.Module,
  devices: list[jax.Device],
) -> tuple[layouts_lib.Layout, accuracy_predictor.Unpack]:
  """How batches are made, and how a model's input is taken from them."""
  weights = [w for split in zoo.splits.values() for w in split.weights]
  targets = np.concatenate([s.target for s in zoo.splits.values()])
  size = config.microbatch_size
  if isinstance(model, statnn.StatNN):
    features = summary.of_networks(
      [(t.spec, w) for t, w in zip(topologies, weights, strict=True)],
      **model.options(),
    )
    data = {'features': features, 'target': targets}
    layout = layouts_lib.OnDevice.place(data, devices, microbatch_size=size)
    return layout, accuracy_predictor.unpack_features
  if len(set(topologies)) == 1:
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *weights)
    data = {'weights': stacked, 'target': targets}
    size = microbatches.choose_size(size, model, topologies[0], devices)
    layout = layouts_lib.OnDevice.place(data, devices, microbatch_size=size)
    return layout, accuracy_predictor.make_unpack_weights(topologies[0])
  mixed = layouts_lib.choose_mixed(
    list(zip(topologies, weights, strict=True)),
    targets,
    name=config.model.name,
    batch_size=config.batch_size,
    part_size=size or config.batch_size,
    num_buckets=config.num_buckets,
    multiple_of=len(devices) * processes.share().count,
  )
  return mixed, accuracy_predictor.unpack_parts
