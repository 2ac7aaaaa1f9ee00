# SPDX-License-Identifier: Apache-2.0
"""What the maps of DWSNets read of weights and biases, each computed once."""

from collections.abc import Sequence
import functools
from typing import Any

import jax

from ng_jax.layers import set_layers
from ng_jax.layers import weight_maps


class Views:
  """Sets and vectors of the tensors of a chain.

  Attributes:
    weights: per layer [num_graphs, n_l, n_(l+1), features].
    biases: per layer [num_graphs, n_(l+1), features].
  """

  def __init__(
    self,
    weights: Sequence[jax.Array],
    biases: Sequence[jax.Array],
    pooling: str,
  ) -> None:
    self.weights = tuple(weights)
    self.biases = tuple(biases)
    self._last = len(self.weights) - 1
    self._pool = functools.partial(set_layers.pool, method=pooling)
    self._made: dict[Any, jax.Array] = {}

  def size(self, ends: str) -> int:
    """Number of inputs or outputs of the network, 1 for ''."""
    sizes = {
      'inputs': self.weights[0].shape[1],
      'outputs': self.weights[-1].shape[2],
    }
    return sizes.get(ends, 1)

  def shape(self, tensor: weight_maps.Tensor) -> tuple[int, ...]:
    """Shape without graphs and features."""
    arrays = self.weights if tensor.kind == 'weight' else self.biases
    return arrays[tensor.layer].shape[1:-1]

  def over(self, tensor: weight_maps.Tensor, layer: int) -> jax.Array:
    """The tensor as a set over a hidden layer, [num_graphs, n, features].

    Inputs and outputs are features; another hidden layer is pooled.
    """
    key = (tensor, layer)
    if key not in self._made:
      self._made[key] = self._over(tensor, layer)
    return self._made[key]

  def vector(self, tensor: weight_maps.Tensor) -> jax.Array:
    """The tensor as one vector: hidden layers pooled, the ends kept."""
    key = (tensor, 0)
    if key not in self._made:
      i = tensor.layer
      if tensor.kind == 'bias':
        x = self.biases[i]
        last = i == self._last
        made = x.reshape(len(x), -1) if last else self._pool(x, axis=1)
      else:
        over = i if i == self._last else i + 1
        made = self._pool(self.over(tensor, over), axis=1)
      self._made[key] = made
    return self._made[key]

  def _over(self, tensor: weight_maps.Tensor, layer: int) -> jax.Array:
    if tensor.kind == 'bias':
      return self.biases[tensor.layer]
    x = self.weights[tensor.layer]
    if layer == tensor.layer + 1:  # Over its columns.
      if tensor.layer == 0:
        return x.swapaxes(1, 2).reshape(len(x), x.shape[2], -1)
      return self._pool(x, axis=1)
    if tensor.layer == self._last:
      return x.reshape(len(x), x.shape[1], -1)
    return self._pool(x, axis=2)
