# SPDX-License-Identifier: Apache-2.0
"""Tests of tasks by name, their loss and their score."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import meta
from ng_jax.meta import optimizees
from tests.meta import tiny_pixels

_TASK = meta.Task('tiny', optimizees.Mlp((36, 5, 4)), batch_size=8)
_SHAPES = {
  ('cifar10', 0): (32, 32, 3),
  ('cifar10', 14): (14, 14, 3),
  ('digits', 0): (8, 8, 1),
  ('fashion_mnist', 0): (28, 28, 1),
  ('mnist', 8): (8, 8, 1),
}


@pytest.mark.parametrize('source, image_size', _SHAPES)
def test_every_task_of_a_suite_has_weights_and_a_loss(source, image_size):
  batch = meta.Batch(
    jax.ShapeDtypeStruct((3, *_SHAPES[source, image_size]), jnp.float32),
    jax.ShapeDtypeStruct((3,), jnp.int32),
  )
  suite = meta.generalisation_suite(source, image_size)
  assert len(suite) == len(set(suite)) >= 16
  for name in suite:
    task = meta.create_task(name)
    params = jax.eval_shape(task.init, jax.random.key(0))
    assert jax.eval_shape(task.loss, params, batch).shape == ()
    assert (task.name, task.source, task.image_size, task.batch_size) == (
      name,
      source,
      image_size,
      128,
    )


def test_tasks_are_hashable_values():
  for name in ('cifar10_cnn', 'digits_vit', 'fashion_mnist_14_mlp'):
    assert meta.create_task(name) == meta.create_task(name)
    assert hash(meta.create_task(name)) == hash(meta.create_task(name))
    assert name in meta.task_names()
  assert meta.create_task('cifar10_cnn') != meta.create_task('cifar10_vit')


def test_loss_and_score_are_those_of_the_formula():
  pixels = tiny_pixels.draw()
  batch = pixels.take(jnp.arange(8))
  params = _TASK.init(jax.random.key(0))
  logits = np.asarray(_TASK.network.apply(params, batch.images), np.float64)
  likelihood = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  losses = -np.log(likelihood[np.arange(8), batch.labels])
  right, summed = jax.jit(_TASK.score)(params, batch)
  assert right == np.sum(logits.argmax(axis=1) == batch.labels)
  assert right.dtype == jnp.int32
  np.testing.assert_allclose(summed, losses.sum(), rtol=1e-5)
  loss = jax.jit(_TASK.loss)(params, batch)
  np.testing.assert_allclose(loss, losses.mean(), rtol=1e-5)


def test_a_task_reads_its_images_at_its_size():
  splits = meta.read_pixels(meta.create_task('digits_mlp'), num_hold_out=100)
  assert splits.train.images.shape[1:] == (8, 8, 1)
  assert len(splits.hold_out.labels) == 100


def test_errors_name_the_rule():
  with pytest.raises(ValueError, match="unknown task 'cifar10_rnn'.*'cifar10_"):
    meta.create_task('cifar10_rnn')
  with pytest.raises(
    ValueError, match="no tasks of 'digits' with image_size=1"
  ):
    meta.generalisation_suite('digits', 14)
