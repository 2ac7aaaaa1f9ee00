# SPDX-License-Identifier: Apache-2.0
"""From a config to everything that meta-training a learned optimizer needs."""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax
import ml_collections
import optax

from ng_jax import meta
from ng_jax import optimizers
from ng_jax.meta import outer
from ng_jax.meta import training
from ng_jax.train import devices as devices_lib
from ng_jax.train import meta_config
from ng_jax.train import meta_training
from ng_jax.train import state as state_lib


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What a run works with.

  Attributes:
    config: of the run.
    tasks: that are trained on, in turn.
    splits: their images.
    data: training images of each task, on the devices.
    devices: that the run works on, of all processes.
    learning_rate: outer step to rate.
    init: makes the state before the first step.
    train_step: see `meta_training.make_train_step`.
  """

  config: ml_collections.ConfigDict
  tasks: tuple[meta.Task, ...]
  splits: tuple[meta.Splits, ...]
  data: tuple[meta.Pixels, ...]
  devices: list[jax.Device]
  learning_rate: optax.Schedule
  init: Callable[[], state_lib.TrainState]
  train_step: Callable[..., Any]

  @property
  def facts(self) -> dict[str, Any]:
    """Images of each split, of the first task."""
    return {'sizes': self.splits[0].sizes}

  def sampler(self) -> meta_training.Rotation:
    """The tasks in turn."""
    num_images = sum(len(pixels.labels) for pixels in self.data)
    return meta_training.Rotation(len(self.tasks), num_images)


def prepare(config: ml_collections.ConfigDict) -> Experiment:
  """Builds the experiment of a config.

  Args:
    config: with the fields of `meta_config.default_config`.

  Returns:
    The experiment.

  Raises:
    ValueError: bad options, too few devices, missing images.
  """
  devices = devices_lib.of_all_processes(devices_lib.choose(config.num_devices))
  tasks = tuple(
    dataclasses.replace(meta.create_task(name), batch_size=config.batch_size)
    for name in config.tasks
  )
  check_theta_fits(config)
  splits = tuple(read_images(config, task) for task in tasks)
  estimators = [
    meta_config.make_estimator(
      config,
      meta.LearningProblem(
        task, make_optimizer(config, task), config.outer_loss
      ),
    )
    for task in tasks
  ]
  options = config.outer.to_dict()
  update = outer.create(options.pop('name'), config.num_steps, **options)
  data = tuple(training.place(part.train, devices) for part in splits)
  return Experiment(
    config=config,
    tasks=tasks,
    splits=splits,
    data=data,
    devices=devices,
    learning_rate=update.rate,
    init=meta_training.make_init(
      estimators,
      make_optimizer(config, tasks[0]).init,
      update.transformation,
      data,
      seed=config.seed,
    ),
    train_step=meta_training.make_train_step(
      estimators, update.transformation, devices
    ),
  )


def make_optimizer(
  config: ml_collections.ConfigDict, task: meta.Task
) -> optimizers.LearnedOptimizer:
  """Makes the optimizer of a config for a task.

  Args:
    config: of a run.
    task: whose network it will read, where it reads networks.

  Returns:
    The optimizer; theta does not depend on the task. Jit: static.

  Raises:
    ValueError: a bad option.
  """
  options = config.model.to_dict()
  return optimizers.create(options.pop('name'), task.network.spec, **options)


def check_theta_fits(config: ml_collections.ConfigDict) -> None:
  """Refuses tasks that one theta cannot serve, before a long run.

  Args:
    config: of a run.

  Raises:
    ValueError: theta has other shapes for another of its tasks.
  """
  names = (*config.tasks, *config.evaluation.tasks)
  key = jax.eval_shape(lambda: jax.random.key(0))
  shapes = [
    jax.eval_shape(make_optimizer(config, meta.create_task(name)).init, key)
    for name in names
  ]
  wrong = [
    n for n, shape in zip(names, shapes, strict=True) if shape != shapes[0]
  ]
  if wrong:
    raise ValueError(
      f'theta of {config.model.name!r} must fit all of config.tasks and '
      f'config.evaluation.tasks, but that of {names[0]!r} does not fit '
      f'{sorted(set(wrong))}; choose tasks of one depth, or options that do '
      "not depend on it, such as share='role' of 'nfn'."
    )


def read_images(
  config: ml_collections.ConfigDict, task: meta.Task
) -> meta.Splits:
  """Reads the images of a task.

  Args:
    config: of a run; config.data says where they are.
    task: of the run.

  Returns:
    Training, hold-out and test images on the device. Jit: no.

  Raises:
    ValueError: missing or damaged files.
  """
  return meta.read_pixels(task, image_dir=config.data.image_dir or None)
