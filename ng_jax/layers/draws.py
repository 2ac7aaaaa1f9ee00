# SPDX-License-Identifier: Apache-2.0
"""Random numbers for many small parameters, drawn in a few large blocks.

A DWSNets has some 900 parameter arrays. Each random draw is a program of its
own inside the compiled initialisation; with one per array it takes minutes to
compile.
"""

from collections.abc import Callable
import math

import jax
import jax.numpy as jnp

_BLOCK_SIZE = 2**15


class Draws:
  """A stream of standard normal and of uniform numbers; never reused.

  Lives inside one call; what it gives depends on the order of the requests.
  """

  def __init__(self, key: jax.Array) -> None:
    """Starts the streams.

    Args:
      key: typed PRNG key.
    """
    normal_key, uniform_key = jax.random.split(key)
    self._normal = _Stream(normal_key, jax.random.normal)
    self._uniform = _Stream(uniform_key, jax.random.uniform)

  def normal(self, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal numbers of that shape, float32. Jit: yes."""
    return self._normal.take(shape)

  def uniform(self, shape: tuple[int, ...]) -> jax.Array:
    """Uniform numbers in [-1, 1) of that shape, float32. Jit: yes."""
    return 2 * self._uniform.take(shape) - 1


class _Stream:
  """Numbers of one distribution, taken one after the other."""

  def __init__(
    self,
    key: jax.Array,
    draw: Callable[..., jax.Array],  # (key, shape, dtype) -> array
  ) -> None:
    self._key = key
    self._draw = draw
    self._block = jnp.zeros(0, jnp.float32)
    self._used = 0
    self._num_blocks = 0

  def take(self, shape: tuple[int, ...]) -> jax.Array:
    size = math.prod(shape)
    if self._used + size > self._block.size:
      key = jax.random.fold_in(self._key, self._num_blocks)
      self._block = self._draw(key, (max(size, _BLOCK_SIZE),), jnp.float32)
      self._used = 0
      self._num_blocks += 1
    values = self._block[self._used : self._used + size]
    self._used += size
    return values.reshape(shape)
