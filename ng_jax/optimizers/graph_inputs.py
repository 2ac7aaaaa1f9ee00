# SPDX-License-Identifier: Apache-2.0
"""From an optimizee's features to embeddings of nodes and edges.

The paper gives each edge and each node 350 numbers, most of them zeros; which
ones, and how they are left out, is in `kernel_grid`.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import graphs
from ng_jax import numerics
from ng_jax.layers import linear
from ng_jax.optimizers import graph_reading
from ng_jax.optimizers import kernel_grid


def _project(
  values: jax.Array,
  size: tuple[int, int],
  kernel: jax.Array,
  *,
  channel_major: bool,
) -> jax.Array:
  """Features [..., c, F] of a kernel times a map [25 F, d]."""
  numbers, window = kernel_grid.read(values, size, channel_major=channel_major)
  return numerics.linear(numbers, window.take(kernel))


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
      copies * kernel_grid.NUM_PLACES * num_features
    )
    slabs = jnp.split(kernel, copies)
    directions = [slabs[0]]
    if self.reverse:
      directions = [slabs[0] + slabs[2], slabs[1] + slabs[2]]
    second = linear.Linear(self.features, name='edge_in')
    groups = []
    for direction in directions:
      for own, entry in zip(values, reader.topology.blocks, strict=True):
        size = kernel_grid.kernel_of(entry.block)
        found = _project(own, size, direction, channel_major=False)
        groups.append(second(found + bias))
    node_in = linear.Linear(self.features, name='node_in')
    return node_in(nodes), tuple(groups), second(bias)

  def _nodes(
    self, reader: graph_reading.GraphReader, inputs: graph_reading.Features
  ) -> jax.Array:
    """Channel-major, unlike the edges, as in the reference."""
    num_features = len(next(iter(inputs.values())))
    kernel, bias = _Kernel(self.features, name='node_projection')(
      num_features * kernel_grid.NUM_PLACES
    )
    rows = []
    for own, (first, last) in zip(
      reader.nodes(inputs), reader.topology.node_ranges.values(), strict=True
    ):
      shift = jnp.broadcast_to(bias, (1, last - first, self.features))
      if own is not None:
        size = (1, own.shape[2])
        shift = shift + _project(own, size, kernel, channel_major=True)
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
