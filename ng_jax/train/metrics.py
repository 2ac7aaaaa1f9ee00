# SPDX-License-Identifier: Apache-2.0
"""Exact metrics: sums over real examples, never means.

Padding may hold anything, huge values and NaN included.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


def classification_sums(
  logits: jax.Array, labels: jax.Array, mask: jax.Array
) -> dict[str, jax.Array]:
  """Sums of loss and of right answers over the real examples.

  Args:
    logits: [num_examples, num_classes] float.
    labels: [num_examples] int, in [0, num_classes).
    mask: [num_examples] bool, True for real examples.

  Returns:
    'loss' [] float, the summed cross-entropy in nats; 'correct' [] int32;
    'count' [] int32. Jit: yes.
  """
  # Both operands are guarded: a NaN in padding would reach the gradient.
  logits = jnp.where(mask[:, None], logits, 0.0)
  labels = jnp.where(mask, labels, 0)
  losses = optax.losses.softmax_cross_entropy_with_integer_labels(
    logits.astype(jnp.promote_types(logits.dtype, jnp.float32)), labels
  )
  correct = jnp.argmax(logits, axis=-1) == labels
  return {
    'loss': jnp.sum(jnp.where(mask, losses, 0.0)),
    'correct': jnp.sum(jnp.where(mask, correct, False), dtype=jnp.int32),
    'count': jnp.sum(mask, dtype=jnp.int32),
  }


def classification_results(logits: jax.Array) -> dict[str, jax.Array]:
  """What a classifier says of each example.

  Args:
    logits: [num_examples, num_classes] float.

  Returns:
    'prediction' [num_examples] int32, the likeliest class, and 'confidence'
    [num_examples] float, the probability that it is given. Jit: yes.
  """
  return {
    'prediction': jnp.argmax(logits, axis=-1),
    'confidence': jnp.max(jax.nn.softmax(logits), axis=-1),
  }


def mean_squared_error(pixels: jax.Array, targets: jax.Array) -> jax.Array:
  """Error of each image, averaged over its pixels and channels.

  Args:
    pixels: [num_images, rows, columns, channels] float.
    targets: the same shape.

  Returns:
    [num_images]. Jit: yes.
  """
  return jnp.mean(jnp.square(pixels - targets), axis=(1, 2, 3))


def masked_sum(values: jax.Array, mask: jax.Array) -> jax.Array:
  """Sum over the real examples.

  Args:
    values: [num_examples] float; padding may hold anything.
    mask: [num_examples] bool, True for real examples.

  Returns:
    [] float. Jit: yes.
  """
  return jnp.sum(jnp.where(mask, values, 0.0))


def averages(sums: Mapping[str, Any]) -> dict[str, float]:
  """Divides every sum by 'count'.

  Args:
    sums: 'count' and others, numbers or arrays that are summed first (in
      float64).

  Returns:
    {name: mean over examples} without 'count'; 0 for no examples. Jit: static.
  """
  totals = {
    name: np.sum(np.asarray(value, np.float64)) for name, value in sums.items()
  }
  count = max(totals.pop('count'), 1.0)
  return {name: float(total / count) for name, total in totals.items()}


def means(sums: Mapping[str, Any]) -> dict[str, float]:
  """Turns sums into loss and accuracy.

  Args:
    sums: 'loss', 'correct' and 'count', numbers or arrays that are summed
      first (in float64).

  Returns:
    'loss' in nats and 'accuracy' in [0, 1]; 0 for no examples. Jit: static.
  """
  found = averages(sums)
  return {'loss': found['loss'], 'accuracy': found['correct']}


def confusion_matrix(
  labels: np.ndarray, predictions: np.ndarray, *, num_classes: int
) -> np.ndarray:
  """Counts pairs of label and prediction.

  Args:
    labels: [num_examples] int.
    predictions: [num_examples] int.
    num_classes: size of the matrix.

  Returns:
    [num_classes, num_classes] int64: rows are labels, columns predictions.
    Jit: static.
  """
  matrix = np.zeros((num_classes, num_classes), np.int64)
  np.add.at(matrix, (labels, predictions), 1)
  return matrix
