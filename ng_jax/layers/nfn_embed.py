# SPDX-License-Identifier: Apache-2.0
"""Input encodings of neural functional networks (Zhou et al., 2023).

Normalisation, Gaussian Fourier features (sine before cosine, unlike NG-GNN and
NG-T) and sinusoidal codes that say which layer, input or output a weight or a
bias belongs to.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import jraph
import numpy as np

from ng_jax import numerics
from ng_jax.layers import weight_space


def sinusoidal_codes(
  num_positions: int, *, num_bands: int, max_frequency: float
) -> np.ndarray:
  """Codes of evenly spaced positions x in [-1, 1].

  Args:
    num_positions: number of positions; a single one is at -1.
    num_bands: frequencies s, evenly spaced from 1 to max_frequency / 2.
    max_frequency: twice the largest frequency.

  Returns:
    [num_positions, 2 num_bands + 1] float64: sin(pi x s), cos(pi x s), x.
    Jit: static.
  """
  x = np.linspace(-1.0, 1.0, num_positions)[:, None]
  angles = np.pi * x * np.linspace(1.0, max_frequency / 2, num_bands)
  return np.concatenate([np.sin(angles), np.cos(angles), x], axis=-1)


class WeightSpaceEmbedding(nn.Module):
  """From raw weights and biases to the features that NFN layers take.

  Attributes:
    fourier_size: Gaussian Fourier features sin(2 pi B x), cos(2 pi B x), B
      fixed; 0 keeps the raw values.
    fourier_scale: standard deviation of B.
    io_bands: frequencies of the codes of positions; 0 for no codes.
    io_max_frequency: see `sinusoidal_codes`.
    layer_codes: whether the codes also tell layers apart; inputs and outputs
      are always told apart.
    statistics: `weights.Statistics` that normalise the raw values, or None.
    dtype: of the features; None follows the inputs.
  """

  fourier_size: int
  fourier_scale: float
  io_bands: int
  io_max_frequency: float
  layer_codes: bool
  statistics: Any = None
  dtype: Any = None

  @nn.compact
  def __call__(self, graph: jraph.GraphsTuple) -> weight_space.WeightSpace:
    """Encodes networks of one spec.

    Args:
      graph: of `graphs.encode` with one batch axis.

    Returns:
      Features with 2 fourier_size (or 1) channels, then 2 io_bands + 1 for the
      codes. Jit: yes.

    Raises:
      ValueError: see `weight_space.read`; statistics of another number of
        layers.
    """
    space = weight_space.read(graph)
    if self.statistics is not None:
      space = self._normalise(space)
    if self.fourier_size:
      space = self._fourier_features(space)
    if self.dtype is not None:
      space = jax.tree.map(lambda x: x.astype(self.dtype), space)
    return self._add_codes(space) if self.io_bands else space

  def _normalise(
    self, space: weight_space.WeightSpace
  ) -> weight_space.WeightSpace:
    """(x - mean) / std with the numbers of each layer."""
    found = len(self.statistics.weight_mean), len(self.statistics.bias_mean)
    if found != (space.num_layers, space.num_layers):
      raise ValueError(
        'statistics must have one entry per layer of the network, '
        f'{space.num_layers}, got {found[0]} for the weights and {found[1]} '
        'for the biases; compute them with weights.statistics.from_weights.'
      )

    def apply(
      arrays: tuple[jax.Array, ...], kind: str
    ) -> tuple[jax.Array, ...]:
      mean, std = (
        self.variable(
          'constants',
          f'{kind}_{moment}',
          lambda name=f'{kind}_{moment}': jnp.asarray(
            getattr(self.statistics, name)
          ),
        ).value
        for moment in ('mean', 'std')
      )
      return tuple(
        (x - mean[i].astype(x.dtype)) / std[i].astype(x.dtype)
        for i, x in enumerate(arrays)
      )

    return space.replace(
      weights=apply(space.weights, 'weight'), biases=apply(space.biases, 'bias')
    )

  def _fourier_features(
    self, space: weight_space.WeightSpace
  ) -> weight_space.WeightSpace:
    frequencies = self.variable(
      'constants',
      'frequencies',
      lambda: (
        self.fourier_scale
        * jax.random.normal(self.make_rng('params'), (self.fourier_size,))
      ),
    ).value

    def encode(x: jax.Array) -> jax.Array:  # [..., area], one channel.
      turns = x[..., None, :] * frequencies[:, None].astype(x.dtype)
      waves = jnp.concatenate(numerics.sin_cos_turns(turns), axis=-2)
      return waves.reshape(*x.shape[:-1], -1)

    return jax.tree.map(encode, space)

  def _add_codes(
    self, space: weight_space.WeightSpace
  ) -> weight_space.WeightSpace:
    """Appends codes of layer, input and output as further channels."""
    last = space.num_layers - 1
    layers = self._codes(space.num_layers) * float(self.layer_codes)
    inputs = self._codes(space.weights[0].shape[1])
    outputs = self._codes(space.weights[-1].shape[2])
    weights, biases = [], []
    for i, area in enumerate(space.areas):
      of_weight, of_bias = layers[i][None, None], layers[i][None]
      if i == 0:
        of_weight = of_weight + inputs[:, None]
      if i == last:
        # Differs from the reference, which adds the inputs' code here if the
        # layer is a convolution.
        of_weight = of_weight + outputs
        of_bias = of_bias + outputs
      of_weight = np.repeat(of_weight, area, axis=-1)
      weights.append(_append(space.weights[i], of_weight))
      biases.append(_append(space.biases[i], of_bias))
    return space.replace(weights=tuple(weights), biases=tuple(biases))

  def _codes(self, num_positions: int) -> np.ndarray:
    return sinusoidal_codes(
      num_positions,
      num_bands=self.io_bands,
      max_frequency=self.io_max_frequency,
    )


def _append(values: jax.Array, codes: np.ndarray) -> jax.Array:
  """Codes [..., d], broadcast to all positions, behind the channels."""
  shape = (*values.shape[:-1], codes.shape[-1])
  spread = jnp.broadcast_to(jnp.asarray(codes, values.dtype), shape)
  return jnp.concatenate([values, spread], axis=-1)
