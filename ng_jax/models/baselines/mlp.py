# SPDX-License-Identifier: Apache-2.0
"""Perceptrons on flattened weights, the baselines without any symmetry.

They see the order in which neurons are stored; a hidden permutation changes
what they say.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import jraph

from ng_jax.layers import batch_norm
from ng_jax.layers import linear
from ng_jax.models.baselines import chains


class FlatClassifier(nn.Module):
  """Predicts from all weights, then all biases, side by side.

  Attributes:
    num_outputs: width of the prediction.
    hidden_size: width of the hidden layers.
    num_layers: hidden layers after the first.
    batch_norm: whether they are normalised.
    statistics: `weights.Statistics` that normalise the raw values, or None.
    dtype: computation dtype; None follows inputs and parameters.
  """

  num_outputs: int = 10
  hidden_size: int = 32
  num_layers: int = 4
  batch_norm: bool = True
  statistics: Any = None
  dtype: Any = None

  @nn.compact
  def __call__(
    self, graph: jraph.GraphsTuple, *, train: bool = False
  ) -> jax.Array:
    """Predicts from networks.

    Args:
      graph: of `graphs.encode` with one batch axis.
      train: whether batch statistics are used (collection 'batch_stats'
        mutable).

    Returns:
      [num_graphs, num_outputs]. Jit: yes.

    Raises:
      ValueError: another layout, no chain.
    """
    chain = chains.ChainReader(
      'MLP', self.statistics, 1, self.dtype, name='reader'
    )(graph)
    mask = batch_norm.mask_of(graph)
    x = nn.relu(self._linear(0)(flatten(chain)))
    for i in range(1, self.num_layers + 1):
      x = self._linear(i)(x)
      if self.batch_norm:
        norm = batch_norm.BatchNorm(dtype=self.dtype, name=f'norm_{i}')
        x = norm(x, mask, train=train)
      x = nn.relu(x)
    return linear.Linear(self.num_outputs, dtype=self.dtype, name='out')(x)

  def _linear(self, i: int) -> linear.Linear:
    return linear.Linear(self.hidden_size, dtype=self.dtype, name=f'layer_{i}')


class FlatEditor(nn.Module):
  """Updates of the networks that are read, from all of their weights.

  Attributes:
    hidden_size: width of the hidden layers.
    num_layers: hidden layers.
    out_scale: initial value of the learned factors, one per tensor.
    statistics: `weights.Statistics` that normalise the raw values, or None.
    dtype: computation dtype; None follows inputs and parameters.
  """

  hidden_size: int = 1000
  num_layers: int = 3
  out_scale: float = 0.01
  statistics: Any = None
  dtype: Any = None

  @nn.compact
  def __call__(
    self, graph: jraph.GraphsTuple, *, train: bool = False
  ) -> dict[str, Any]:
    """Computes updates; the caller adds them to the weights.

    Args:
      graph: of `graphs.encode` with one batch axis.
      train: has no effect; there is nothing random.

    Returns:
      A tree of the networks' spec, leaves [num_graphs, *leaf_shape]. Jit: yes.

    Raises:
      ValueError: another layout, no chain.
    """
    del train
    chain = chains.ChainReader(
      'MLP', self.statistics, 1, self.dtype, name='reader'
    )(graph)
    x = flatten(chain)
    num_values = x.shape[-1]
    for i in range(self.num_layers):
      layer = linear.Linear(
        self.hidden_size, dtype=self.dtype, name=f'layer_{i}'
      )
      x = nn.relu(layer(x))
    x = linear.Linear(num_values, dtype=self.dtype, name='out')(x)
    result = chains.OutputScales(self.out_scale, name='scales')(
      unflatten(x, chain)
    )
    return chains.to_weights(graph, result)


def flatten(chain: chains.Chain) -> jax.Array:
  """All weights layer by layer, inputs before outputs, then all biases.

  Args:
    chain: of the networks.

  Returns:
    [num_graphs, number of weights and biases]. Jit: yes.
  """
  arrays = (*chain.weights, *chain.biases)
  return jnp.concatenate([x.reshape(len(x), -1) for x in arrays], axis=-1)


def unflatten(x: jax.Array, like: chains.Chain) -> chains.Chain:
  """Inverse of `flatten`.

  Args:
    x: [num_graphs, number of weights and biases].
    like: a chain of these shapes.

  Returns:
    The chain. Jit: yes.
  """
  arrays = []
  start = 0
  for array in (*like.weights, *like.biases):
    size = array[0].size
    arrays.append(x[:, start : start + size].reshape(array.shape))
    start += size
  num_layers = len(like.weights)
  return chains.Chain(tuple(arrays[:num_layers]), tuple(arrays[num_layers:]))
