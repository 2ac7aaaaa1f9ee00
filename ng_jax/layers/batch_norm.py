# SPDX-License-Identifier: Apache-2.0
"""Batch normalisation as PyTorch has it, blind to padding examples.

Differs from `flax.linen.BatchNorm`: epsilon and momentum are PyTorch's, the
running variance is unbiased, and the mask is one of examples.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import jraph

# Key in the globals of a graph: [num_graphs] bool, False where a graph is
# padding; batch statistics leave it out. Absent, all graphs are real.
MASK = 'mask'


def mask_of(graph: jraph.GraphsTuple) -> jax.Array | None:
  """Which graphs are real: [num_graphs] bool, or None for all. Jit: yes."""
  return (graph.globals or {}).get(MASK)


class BatchNorm(nn.Module):
  """(x - mean) / sqrt(variance + epsilon) * scale + bias, per feature.

  In training mean and variance are those of the real examples at hand; the
  running ones, in the collection 'batch_stats', move towards them and serve
  evaluation. A batch without real examples leaves them as they are. Applied
  without that collection, as to take them anew, it notes those of the batch.

  Attributes:
    momentum: weight of the old running statistics.
    epsilon: added to the variance.
    dtype: computation dtype; statistics are float32 at least.
  """

  momentum: float = 0.9
  epsilon: float = 1e-5
  dtype: Any = None

  @nn.compact
  def __call__(
    self, x: jax.Array, mask: jax.Array | None = None, *, train: bool
  ) -> jax.Array:
    """Normalises each feature over the examples and all axes but the last.

    Args:
      x: [num_examples, ..., features] float.
      mask: [num_examples] bool, False where an example is padding and must not
        count; None if all are real.
      train: whether to use, and to note, the statistics of this batch; then
        the collection 'batch_stats' must be mutable.

    Returns:
      [num_examples, ..., features]. Jit: yes.
    """
    features = x.shape[-1]
    known = self.has_variable('batch_stats', 'mean')
    mean = self.variable('batch_stats', 'mean', jnp.zeros, (features,))
    var = self.variable('batch_stats', 'var', jnp.ones, (features,))
    scale = self.param('scale', nn.initializers.ones_init(), (features,))
    bias = self.param('bias', nn.initializers.zeros_init(), (features,))
    used = mean.value, var.value
    if train:
      if mask is None:
        mask = jnp.ones(x.shape[0], bool)
      mask = mask.reshape(-1, *[1] * (x.ndim - 1))
      # Even NaN in padding reaches neither statistics nor gradients.
      x = jnp.where(mask, x, 0)
      used, count = _moments(x, mask)
      if not self.is_initializing():
        # As in PyTorch, the running variance alone is unbiased.
        unbiased = used[1] * count / jnp.maximum(count - 1, 1)
        for kept, new in ((mean, used[0]), (var, unbiased)):
          old = kept.value
          moved = self.momentum * old + (1 - self.momentum) * new
          moved = moved if known else new
          moved = jnp.where(count > 0, moved, old)
          kept.value = moved.astype(jnp.result_type(old))
    dtype = jnp.result_type(x) if self.dtype is None else self.dtype
    factor = scale / jnp.sqrt(used[1] + self.epsilon)
    return ((x - used[0]) * factor + bias).astype(dtype)


def _moments(
  x: jax.Array, mask: jax.Array
) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
  """Mean and biased variance of real examples, and how many values each has.

  Args:
    x: [num_examples, ..., features], zeros where the mask is False.
    mask: [num_examples, 1, ...] bool.

  Returns:
    (mean, variance) [features], count []. Jit: yes.
  """
  x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  axes = tuple(range(x.ndim - 1))
  per_example = x[0, ..., 0].size
  count = (jnp.sum(mask) * per_example).astype(x.dtype)
  mean = jnp.sum(x, axis=axes) / jnp.maximum(count, 1)
  centred = jnp.where(mask, x - mean, 0)
  variance = jnp.sum(centred * centred, axis=axes) / jnp.maximum(count, 1)
  return (mean, variance), count
