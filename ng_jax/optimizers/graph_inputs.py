# SPDX-License-Identifier: Apache-2.0
"""From an optimizee's features to embeddings of nodes and edges.

The paper gives each edge 350 numbers: the 14 features at each of the 25 places
of a 5x5 kernel, zeros where the kernel is smaller; likewise each node, whose
bias stands in the centre (l2o spec 2.5). Nothing is padded here: a projection
takes only the rows of the places that are there, which gives the same numbers.
Kernels of more than 5 rows or columns are averaged over 5 bins.
"""

import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import graphs
from ng_jax import numerics
from ng_jax.layers import linear
from ng_jax.optimizers import graph_reading

# Rows and columns of the kernel that a projection reads.
GRID = 5
_PLACES = GRID * GRID


@functools.cache
def placement(kernel: tuple[int, int]) -> np.ndarray:
  """Where the places of a kernel lie on the 5x5 grid.

  Args:
    kernel: (rows, columns).

  Returns:
    [rows columns, 25] float32: ones, or parts of averages. Jit: static.
  """
  rows, columns = map(_place_along, kernel)
  return np.kron(rows, columns).astype(np.float32)


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


def _kernel_of(entry: Any) -> tuple[int, int]:
  return entry.block.kernel or (1, entry.block.num_channels)


def _project(values: jax.Array, placed: np.ndarray, kernel: jax.Array) -> Any:
  """Features [..., c, F] at places [c, 25] times a kernel [25, F, d]."""
  if len(placed) > _PLACES:
    values = jnp.einsum('...cf,cp->...pf', values, placed)
  else:
    kernel = jnp.einsum('cp,pfd->cfd', placed.astype(kernel.dtype), kernel)
  rows = values.reshape(*values.shape[:-2], -1)
  return numerics.linear(rows, kernel.reshape(-1, kernel.shape[-1]))


class GraphProjection(nn.Module):
  """The two linear maps of nodes and of edges, without any padding.

  Attributes:
    features: width.
    reverse: whether there are reverse edges. Then an edge's input is (e, 0, e),
      that of its reverse (0, e, e).
  """

  features: int
  reverse: bool

  @nn.compact
  def __call__(
    self, reader: graph_reading.GraphReader, inputs: graph_reading.Features
  ) -> tuple[jax.Array, graphs.EdgeGroups, jax.Array]:
    """Projects.

    Args:
      reader: of the optimizee.
      inputs: {path: [num_features, *shape]}.

    Returns:
      Nodes [1, num_nodes, features]; edge groups, forward then reverse, [1,
      *block_shape, features]; the vector [features] of pairs without an edge.
      Jit: yes.
    """
    nodes = self._nodes(reader, inputs)
    values = reader.edges(inputs)
    num_features = values[0].shape[-1]
    copies = 3 if self.reverse else 1
    kernel, bias = _Kernel(self.features, name='edge_projection')(
      copies * _PLACES * num_features
    )
    slabs = kernel.reshape(copies, _PLACES, num_features, self.features)
    kernels = (
      [slabs[0] + slabs[2], slabs[1] + slabs[2]] if self.reverse else slabs
    )
    second = linear.Linear(self.features, name='edge_in')
    groups = [
      second(_project(own, placement(_kernel_of(entry)), direction) + bias)
      for direction in kernels
      for own, entry in zip(values, reader.topology.blocks, strict=True)
    ]
    node_in = linear.Linear(self.features, name='node_in')
    return node_in(nodes), tuple(groups), second(bias)

  def _nodes(
    self, reader: graph_reading.GraphReader, inputs: graph_reading.Features
  ) -> jax.Array:
    """Channel-major, unlike the edges, as in the reference."""
    num_features = len(next(iter(inputs.values())))
    kernel, bias = _Kernel(self.features, name='node_projection')(
      num_features * _PLACES
    )
    kernel = kernel.reshape(num_features, _PLACES, self.features)
    kernel = kernel.swapaxes(0, 1)
    rows = []
    for own, (first, last) in zip(
      reader.nodes(inputs), reader.topology.node_ranges.values(), strict=True
    ):
      shift = jnp.broadcast_to(bias, (1, last - first, self.features))
      if own is not None:
        shift = shift + _project(own, placement((1, own.shape[2])), kernel)
      rows.append(shift)
    return jnp.concatenate(rows, axis=1)


class _Kernel(nn.Module):
  """Parameters of a linear map whose rows are used in parts."""

  features: int

  @nn.compact
  def __call__(self, fan_in: int) -> tuple[jax.Array, jax.Array]:
    draw = linear.torch_uniform(fan_in)
    kernel = self.param('kernel', draw, (fan_in, self.features))
    return kernel, self.param('bias', draw, (self.features,))
