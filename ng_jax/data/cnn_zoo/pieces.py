# SPDX-License-Identifier: Apache-2.0
"""Layers and loss of the networks of a zoo, for both engines."""

from typing import Any

import jax
import jax.numpy as jnp


def convolve(layer: Any, x: jax.Array) -> jax.Array:
  """A convolution that keeps the size of the map.

  Args:
    layer: {'kernel': [height, width, in, out], 'bias': [out]}, odd kernels.
    x: [batch, rows, columns, in] float.

  Returns:
    [batch, rows, columns, out], before the activation. Jit: yes.
  """
  found: jax.Array = jax.lax.conv_general_dilated(
    x,
    layer['kernel'],
    (1, 1),
    [(size // 2, size // 2) for size in layer['kernel'].shape[:2]],
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )
  return found + layer['bias']


def losses(
  linear: Any, last: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Cross-entropy of the linear layer on the averaged map.

  Args:
    linear: {'kernel': [channels, num_classes], 'bias'}.
    last: [batch, rows, columns, channels] float.
    labels: [batch] int32.

  Returns:
    Loss in nats [batch], and whether the answer is right [batch]. Jit: yes.
  """
  logits = jnp.mean(last, axis=(1, 2)) @ linear['kernel'] + linear['bias']
  likelihood = jax.nn.log_softmax(logits)
  chosen = jnp.take_along_axis(likelihood, labels[:, None], axis=1)[:, 0]
  return -chosen, jnp.argmax(logits, axis=1) == labels


def mean_loss(
  linear: Any, last: jax.Array, labels: jax.Array, mask: jax.Array
) -> jax.Array:
  """Mean of `losses` over real images.

  Args:
    linear: as `losses`, and so
    last: and
    labels: are.
    mask: [batch] float, 1 for real images.

  Returns:
    [] float. Jit: yes.
  """
  loss, _ = losses(linear, last, labels)
  return jnp.sum(mask * loss) / jnp.sum(mask)


def score(
  linear: Any, last: jax.Array, labels: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Sums over real images.

  Args: as `mean_loss`.

  Returns:
    Number of right answers [] float, summed loss [] float. Jit: yes.
  """
  loss, right = losses(linear, last, labels)
  return jnp.sum(mask * right), jnp.sum(mask * loss)
