# SPDX-License-Identifier: Apache-2.0
"""Inner steps per second of meta-training and of trained optimizers.

Rows of `peers.py`; no benchmark itself. `ff_pes_*` are windows of persistent
evolution strategies with the settings of the library learned_optimization: its
FF, 8 MLPs in windows of 50 steps or 2 CNNs in windows of 10, batches of 128,
both signs counted. `*_apply_cnn` train Fashion-MNIST's CNN with a given
optimizer, `gradient_only_cnn` without any. The images are random.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from ng_jax import meta
from ng_jax import optimizers
from ng_jax.meta import estimators
from ng_jax.meta import horizons
from ng_jax.meta import outer
from ng_jax.meta import training


class Window(NamedTuple):
  """Settings of a row: task, particles, steps of a window."""

  task: str
  num_particles: int
  num_steps: int


WINDOWS = {
  'ff_pes_mlp8': Window('fashion_mnist_8_mlp_32', 8, 50),
  'ff_pes_mlp28': Window('fashion_mnist_mlp_32', 8, 50),
  'ff_pes_cnn': Window('fashion_mnist_cnn', 2, 10),
}
# Name of the optimizer, None for plain gradient steps.
APPLICATIONS = {
  'gradient_only_cnn': None,
  'ff_apply_cnn': 'ff',
  'lstm_apply_cnn': 'lstm',
  'nfn_apply_cnn': 'nfn',
  'ng_gnn_apply_cnn': 'ng_gnn',
  'ng_t_apply_cnn': 'ng_t',
}
_NUM_APPLIED = 20
_SIDES = {'cifar10': 32, 'digits': 8}


class Work(NamedTuple):
  """What a row times.

  Attributes:
    call: () -> arrays, compiled at its first call.
    num_steps: inner steps of a call.
  """

  call: Any
  num_steps: int


def prepare(row: str) -> Work:
  """Makes the work of a row.

  Args:
    row: a key of `WINDOWS` or `APPLICATIONS`.

  Returns:
    The work.
  """
  if row not in WINDOWS:
    return make_application('fashion_mnist_cnn', APPLICATIONS[row])
  spec = meta.create_task(WINDOWS[row].task).network.spec
  return make_window(WINDOWS[row], optimizers.create('google_ff', spec))


def make_window(
  settings: Window, optimizer: optimizers.LearnedOptimizer
) -> Work:
  """Makes a window of persistent evolution strategies.

  Args:
    settings: of the window.
    optimizer: for the network of its task.

  Returns:
    The work; both signs are counted.
  """
  task = meta.create_task(settings.task)
  estimator = estimators.create(
    'pes',
    meta.LearningProblem(task, optimizer),
    num_particles=settings.num_particles,
    window=settings.num_steps,
    horizon=horizons.constant(20 * settings.num_steps),
  )
  update = outer.create('evolution', 100).transformation
  data = _draw_images(task)
  devices = jax.local_devices()[:1]
  shared, (state,) = training.create_state(
    [estimator],
    optimizer.init(jax.random.key(0)),
    update,
    jax.random.key(1),
    [data],
  )
  step = training.make_step(estimator, update, devices)
  # Steps give the memory of their states away, so each call goes on.
  states = [training.place(shared, devices), training.place(state, devices)]

  def call() -> Any:
    states[0], states[1], metrics = step(states[0], states[1], data)
    return metrics

  return Work(call, 2 * settings.num_particles * settings.num_steps)


def make_application(task_name: str, name: str | None) -> Work:
  """Makes steps of training with an optimizer, drawn at random.

  Args:
    task_name: of `meta.task_names()`.
    name: of the optimizer, None for plain gradient steps.

  Returns:
    The work.
  """
  task = meta.create_task(task_name)
  theta: Any = {}
  if name is not None:
    optimizer = optimizers.create(name, task.network.spec)
    theta = optimizer.init(jax.random.key(0))

  def transformation(theta: Any) -> optax.GradientTransformation:
    return optimizer.transformation(theta) if theta else optax.sgd(1e-3)

  data = _draw_images(task)
  rows = meta.draw_rows(
    jax.random.key(1),
    num_steps=_NUM_APPLIED,
    num_images=len(data.labels),
    batch_size=task.batch_size,
  )

  @jax.jit
  def train(theta: Any, data: meta.Pixels) -> Any:
    tx = optax.with_extra_args_support(transformation(theta))
    params = task.init(jax.random.key(2))

    def step(carry: Any, rows: jax.Array) -> tuple[Any, jax.Array]:
      params, state = carry
      loss, gradient = jax.value_and_grad(task.loss)(params, data.take(rows))
      updates, state = tx.update(gradient, state, params, value=loss)
      return (optax.apply_updates(params, updates), state), loss

    return jax.lax.scan(step, (params, tx.init(params)), rows)[1]

  return Work(lambda: train(theta, data), _NUM_APPLIED)


def _draw_images(task: meta.Task) -> meta.Pixels:
  side = task.image_size or _SIDES.get(task.source, 28)
  channels = 3 if task.source == 'cifar10' else 1
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (2_048, side, side, channels), np.uint8)
  labels = rng.integers(0, 10, 2_048).astype(np.int32)
  scale = np.full(channels, 0.3, np.float32)
  return jax.device_put(meta.Pixels(images, labels, scale, scale))
