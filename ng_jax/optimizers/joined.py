# SPDX-License-Identifier: Apache-2.0
"""All parameters of an optimizee as one row, array after array.

Whatever is done to each parameter is then a few operations in all, not a few
for each array, which is what small networks in a scan spend their time on.
"""

from collections.abc import Mapping
import itertools
import math

import jax
import jax.numpy as jnp


class Joined:
  """Where the arrays lie in the row; static, made when tracing.

  Attributes:
    shapes: {path: shape} of the arrays, in order.
    num_arrays: number of arrays.
  """

  def __init__(self, arrays: Mapping[str, jax.Array]) -> None:
    self.shapes = {path: array.shape for path, array in arrays.items()}
    self.num_arrays = len(self.shapes)
    self.sizes = [math.prod(shape) for shape in self.shapes.values()]
    ends = list(itertools.accumulate(self.sizes))
    self._ranges = list(zip([0, *ends[:-1]], ends, strict=True))

  def join(self, arrays: Mapping[str, jax.Array]) -> jax.Array:
    """The arrays' entries.

    Args:
      arrays: {path: [*shape]} float, in any order.

    Returns:
      [num_params] in the widest dtype. Jit: yes.
    """
    dtype = jnp.result_type(*arrays.values())
    rows = [arrays[path].reshape(-1).astype(dtype) for path in self.shapes]
    return jnp.concatenate(rows)

  def split(self, rows: jax.Array) -> dict[str, jax.Array]:
    """Inverse of `join`.

    Args:
      rows: [*batch, num_params].

    Returns:
      {path: [*batch, *shape]}. Jit: yes.
    """
    return {
      path: rows[..., start:end].reshape(*rows.shape[:-1], *shape)
      for (path, shape), (start, end) in zip(
        self.shapes.items(), self._ranges, strict=True
      )
    }

  def means(self, rows: jax.Array) -> jax.Array:
    """Means over each array.

    Args:
      rows: [num_rows, num_params] float.

    Returns:
      [num_rows, num_arrays]. Jit: yes.
    """
    parts = [jnp.mean(rows[:, a:b], axis=1) for a, b in self._ranges]
    return jnp.stack(parts, axis=1)

  def spread(self, values: jax.Array) -> jax.Array:
    """Repeats a value of each array for all its entries.

    Args:
      values: [num_rows, num_arrays].

    Returns:
      [num_rows, num_params]. Jit: yes.
    """
    num_rows = len(values)
    parts = [
      jnp.broadcast_to(values[:, i : i + 1], (num_rows, size))
      for i, size in enumerate(self.sizes)
    ]
    return jnp.concatenate(parts, axis=1)

  def standardize(self, rows: jax.Array) -> jax.Array:
    """X / sqrt(mean(x^2) + 1e-5), with the mean over each array.

    Args:
      rows: [num_rows, num_params] float.

    Returns:
      Likewise. Jit: yes.
    """
    scales = jax.lax.rsqrt(self.means(rows * rows) + 1e-5)
    return rows * self.spread(scales)
