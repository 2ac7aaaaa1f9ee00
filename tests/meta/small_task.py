# SPDX-License-Identifier: Apache-2.0
"""A tiny task, its images and a learned optimizer, all for tests."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

NUM_CLASSES = 3


class Batch(NamedTuple):
  images: Any
  labels: Any


class Pixels(NamedTuple):
  images: Any
  labels: Any
  mean: Any
  std: Any

  def take(self, rows):
    x = self.images[rows].astype(jnp.float32) / 255.0
    return Batch((x - self.mean) / self.std, self.labels[rows])


def make_pixels(num_images=20, size=2, seed=0):
  generator = np.random.default_rng(seed)
  images = generator.integers(0, 256, (num_images, size, size, 1), np.uint8)
  labels = generator.integers(0, NUM_CLASSES, num_images, np.int32)
  mean, std = np.array([0.5], np.float32), np.array([0.3], np.float32)
  return jax.device_put(Pixels(images, labels, mean, std))


@dataclasses.dataclass(frozen=True)
class Task:
  """A linear classifier of 2x2 images."""

  name: str = 'small'
  batch_size: int = 6
  scale: float = 0.1

  def init(self, key):
    return {
      'kernel': self.scale * jax.random.normal(key, (4, NUM_CLASSES)),
      'bias': jnp.zeros(NUM_CLASSES),
    }

  def loss(self, params, batch):
    logits = batch.images.reshape(-1, 4) @ params['kernel'] + params['bias']
    return jnp.mean(
      optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
    )


@dataclasses.dataclass(frozen=True)
class Momentum:
  """Learned per-step rate and decay of a momentum, and a bent response."""

  def init(self, key):
    return {
      'rate': 0.3 + 0.01 * jax.random.normal(key, (2,)),
      'decay': jnp.asarray(0.5),
    }

  def transformation(self, theta):
    def init(params):
      return jax.tree.map(jnp.zeros_like, params)

    def update(grads, state, params, *, value=None, **extra):
      del params, value, extra
      state = jax.tree.map(lambda m, g: theta['decay'] * m + g, state, grads)
      updates = jax.tree.map(
        lambda m: -theta['rate'][0] * m - theta['rate'][1] * jnp.tanh(m), state
      )
      return updates, state

    return optax.GradientTransformationExtraArgs(init, update)
