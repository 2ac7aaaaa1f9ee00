# SPDX-License-Identifier: Apache-2.0
"""A small classifier without a network, for tests of the training code.

Its loss adds noise drawn from the per-example keys, and can drop inputs with
the key of the microbatch.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax.train import metrics
from ng_jax.train import optimizers
from ng_jax.train import state as state_lib

NUM_CLASSES = 3


def make_data(num_examples=21, size=5, seed=0):
  generator = np.random.default_rng(seed)
  x = generator.normal(size=(num_examples, size)).astype(np.float32)
  y = generator.integers(0, NUM_CLASSES, num_examples).astype(np.int32)
  return {'x': jnp.asarray(x), 'y': jnp.asarray(y)}


def make_state(size=5, learning_rate=0.1):
  optimizer = optimizers.adamw(learning_rate, clip_norm=1.0, eps=1e-3)
  kernel = jax.random.normal(jax.random.key(1), (size, NUM_CLASSES))
  variables = {
    'params': {'kernel': kernel, 'bias': jnp.zeros(NUM_CLASSES)},
    'constants': {'scale': jnp.asarray(0.5)},
  }
  state = state_lib.create(variables, optimizer, key=jax.random.key(7))
  return state, optimizer


def make_loss(*, noise=0.0, dropout=0.0):
  def loss_function(variables, examples, mask, keys):
    params = variables['params']
    x = examples['x'] * variables['constants']['scale']
    draws = jax.vmap(lambda k: jax.random.normal(k, x.shape[1:]))(keys.examples)
    x = x + noise * draws.astype(x.dtype)
    kept = jax.random.bernoulli(keys.microbatch, 1.0 - dropout, x.shape)
    logits = (x * kept) @ params['kernel'] + params['bias']
    sums = metrics.classification_sums(logits, examples['y'], mask)
    return sums['loss'], (sums, {})

  return loss_function


def metric_function(variables, examples, mask):
  params = variables['params']
  x = examples['x'] * variables['constants']['scale']
  logits = x @ params['kernel'] + params['bias']
  results = {
    'prediction': jnp.argmax(logits, axis=-1),
    'confidence': jnp.max(jax.nn.softmax(logits), axis=-1),
  }
  return metrics.classification_sums(logits, examples['y'], mask), results
