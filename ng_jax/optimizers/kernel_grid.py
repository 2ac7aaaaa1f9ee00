# SPDX-License-Identifier: Apache-2.0
"""The 5x5 grid on which the paper's optimizers read kernels, without padding.

An edge has 350 numbers: the 14 features at each of 25 places, zeros where the
kernel is smaller; a node likewise, whose bias stands in the centre (l2o spec
2.5). Only the places that are there are made here, and the rows of a map that
belong to them are taken, which gives the same numbers. Kernels of more than 5
rows or columns are averaged over 5 bins.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import specs

# Rows and columns of the kernel that a projection reads.
GRID = 5
NUM_PLACES = GRID * GRID


class Window(NamedTuple):
  """The part of the grid that a kernel covers; static.

  Attributes:
    rows: (first, one past the last).
    columns: likewise.
    channel_major: whether the 350 numbers run over features, then places.
  """

  rows: tuple[int, int]
  columns: tuple[int, int]
  channel_major: bool = False

  def take(self, kernel: jax.Array) -> jax.Array:
    """The rows of a map that belong to the window's places.

    Args:
      kernel: [25 num_features, size].

    Returns:
      [num_places num_features, size]. Jit: yes.
    """
    height, width = slice(*self.rows), slice(*self.columns)
    if self.channel_major:
      grid = kernel.reshape(-1, GRID, GRID, kernel.shape[-1])
      part = grid[:, height, width]
    else:
      grid = kernel.reshape(GRID, GRID, -1, kernel.shape[-1])
      part = grid[height, width]
    return part.reshape(-1, kernel.shape[-1])

  def fill(self, numbers: jax.Array) -> jax.Array:
    """The numbers of all places, zeros outside of the window.

    Args:
      numbers: [..., num_places num_features], of the window's places.

    Returns:
      [..., 25 num_features], whose product with a map is that of `numbers` with
      the rows that `take` gives. Jit: yes.
    """
    height, width = self.rows[1] - self.rows[0], self.columns[1]
    width -= self.columns[0]
    *others, size = numbers.shape
    num_features = size // (height * width)
    borders = [(r[0], GRID - r[1]) for r in (self.rows, self.columns)]
    if self.channel_major:
      grid = numbers.reshape(*others, num_features, height, width)
      borders = [(0, 0), *borders]
    else:
      grid = numbers.reshape(*others, height, width, num_features)
      borders = [*borders, (0, 0)]
    filled = jnp.pad(grid, [(0, 0)] * len(others) + borders)
    return filled.reshape(*others, NUM_PLACES * num_features)


def kernel_of(block: specs.Block) -> tuple[int, int]:
  """The kernel that a block's channels are read as.

  Args:
    block: of a spec.

  Returns:
    (rows, columns); a single row without a kernel. Jit: static.
  """
  return block.kernel or (1, block.num_channels)


def read(
  values: jax.Array, kernel: tuple[int, int], *, channel_major: bool
) -> tuple[jax.Array, Window]:
  """The numbers of a kernel's places, in the order of the grid.

  Args:
    values: [..., rows columns, num_features] float.
    kernel: (rows, columns), static.
    channel_major: see `Window`.

  Returns:
    [..., num_places num_features] and the window. Jit: yes.
  """
  if max(kernel) > GRID:
    placed = placement(kernel)
    used = np.flatnonzero(placed.any(axis=0))
    pooling = jnp.asarray(placed[:, used], values.dtype)
    values = jnp.einsum('...cf,cp->...pf', values, pooling)
  if channel_major:
    values = values.swapaxes(-1, -2)
  rows, columns = (
    ((GRID - size) // 2, (GRID - size) // 2 + size)
    for size in (min(size, GRID) for size in kernel)
  )
  numbers = values.reshape(*values.shape[:-2], -1)
  return numbers, Window(rows, columns, channel_major)


@functools.cache
def placement(kernel: tuple[int, int]) -> np.ndarray:
  """Where the places of a kernel lie on the 5x5 grid.

  Args:
    kernel: (rows, columns).

  Returns:
    [rows columns, 25] float64: ones, or parts of averages. Jit: static.
  """
  rows, columns = map(_place_along, kernel)
  return np.kron(rows, columns)


def _place_along(size: int) -> np.ndarray:
  """[size, GRID]: centred, or averages over bins that cover all."""
  placed = np.zeros((size, GRID))
  if size <= GRID:
    first = (GRID - size) // 2
    placed[np.arange(size), first + np.arange(size)] = 1.0
    return placed
  for i in range(GRID):
    first, last = i * size // GRID, -((i + 1) * -size // GRID)
    placed[first:last, i] = 1.0 / (last - first)
  return placed
