# SPDX-License-Identifier: Apache-2.0
"""The last part of every optimizer of the paper: from features to an update."""

from collections.abc import Sequence
import math
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax.layers import linear


class UpdateHead(nn.Module):
  """An MLP on each parameter's features and context: scale a exp(scale b).

  Attributes:
    hidden_sizes: widths of the hidden layers, with ReLU.
    step_scale: factor of the update and of its exponent.
    max_exponent: bound of |scale b|, or None. The reference has none.
  """

  hidden_sizes: tuple[int, ...] = (64, 64)
  step_scale: float = 0.01
  max_exponent: float | None = None

  @nn.compact
  def __call__(
    self,
    features: Sequence[jax.Array],
    contexts: Sequence[jax.Array | None] | None = None,
  ) -> list[jax.Array]:
    """Computes updates.

    All parameters are rows of the same few products, whichever array they
    belong to.

    Args:
      features: per array [*shape, num_features] float.
      contexts: per array [*shape, context_size], any axis of `shape` may be 1;
        or None for zeros. None where nothing has a context.

    Returns:
      Per array, the update [*shape]. Jit: yes.
    """
    first = self.hidden_sizes[0]
    hidden = self._first_layer(first, features, contexts)
    shapes = [h.shape[:-1] for h in hidden]
    rows = jnp.concatenate([h.reshape(-1, first) for h in hidden])
    for i, size in enumerate(self.hidden_sizes[1:]):
      rows = linear.Linear(size, name=f'layer_{i + 1}')(nn.relu(rows))
    directions = linear.Linear(2, name='out')(nn.relu(rows))
    exponent = self.step_scale * directions[:, 1]
    if self.max_exponent is not None:
      exponent = jnp.clip(exponent, -self.max_exponent, self.max_exponent)
    steps = self.step_scale * directions[:, 0] * jnp.exp(exponent)
    ends = [0]
    for shape in shapes:
      ends.append(ends[-1] + math.prod(shape))
    return [
      steps[start:end].reshape(shape)
      for start, end, shape in zip(ends[:-1], ends[1:], shapes, strict=True)
    ]

  def _first_layer(
    self,
    size: int,
    features: Sequence[jax.Array],
    contexts: Sequence[jax.Array | None] | None,
  ) -> list[jax.Array]:
    """Linear([features, context]); the context's product once where shared."""
    if contexts is None:
      plain = linear.Linear(size, name='layer_0')
      return [plain(own) for own in features]
    given = tuple(context for context in contexts if context is not None)
    layer = linear.SplitLinear(size, name='layer_0')
    own, of_context = layer(tuple(features), given)
    products: Any = iter(of_context)
    return [
      h if context is None else h + next(products)
      for h, context in zip(own, contexts, strict=True)
    ]
