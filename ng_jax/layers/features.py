# SPDX-License-Identifier: Apache-2.0
"""From embeddings back to features of the graph: the head of an editor."""

from typing import Any

from flax import linen as nn
import jax
import numpy as np

from ng_jax import graphs
from ng_jax import numerics
from ng_jax.layers import linear


class _PlacedLinear(nn.Module):
  """A linear map whose outputs are channels; each group computes its own."""

  num_channels: int
  dtype: Any = None

  @nn.compact
  def __call__(
    self, groups: graphs.EdgeGroups, placements: tuple[np.ndarray, ...]
  ) -> graphs.EdgeGroups:
    kernel, bias = linear.linear_params(
      self, groups[0].shape[-1], self.num_channels
    )

    def project(values: jax.Array, placement: np.ndarray) -> jax.Array:
      own = np.argmax(placement, axis=1)
      maps, shift = kernel, bias
      if shift is not None and len(own) < self.num_channels:
        maps, shift = kernel[:, own], shift[own]
      values, maps, shift = nn.dtypes.promote_dtype(
        values, maps, shift, dtype=self.dtype
      )
      return numerics.linear(values, maps, shift)

    return tuple(map(project, groups, placements))


class FeatureHead(nn.Module):
  """Linear, ReLU, Linear from an embedding to the channels of a feature.

  The same map for all layers and positions (paper, appendix).

  Attributes:
    num_channels: channels that the graph's features have.
    dtype: computation dtype.
  """

  num_channels: int
  dtype: Any = None

  @nn.compact
  def __call__(
    self, groups: graphs.EdgeGroups, placements: tuple[np.ndarray, ...]
  ) -> graphs.EdgeGroups:
    """Applies the head to each group.

    Args:
      groups: embeddings [..., F] float; the hidden layer is as wide.
      placements: per group [c_g, num_channels] numpy, which channels it has.

    Returns:
      Arrays [..., c_g], one per group. Jit: yes.
    """
    hidden = linear.Linear(
      groups[0].shape[-1], dtype=self.dtype, name='layer_0'
    )
    out = _PlacedLinear(self.num_channels, self.dtype, name='layer_1')
    return out(tuple(nn.relu(hidden(x)) for x in groups), placements)
