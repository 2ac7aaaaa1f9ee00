# SPDX-License-Identifier: Apache-2.0
"""Neural functional networks, NFN (Zhou et al., 2023): prediction and editing.

They read the weights of plain chains of linear and convolutional layers, all of
one spec. The classifier of INRs and the editor are set up as in the official
code of Kofinas et al.; the predictor of a CNN zoo, as published, is

    models.create(
      'nfn', spec=spec, variant='hnp', channels=(16, 16, 5), num_outputs=1,
      fourier_size=0, io_bands=0, dropout=0.0,
    )
"""

from collections.abc import Callable
import functools
from typing import Any

from flax import linen as nn
import jax
import jraph

from ng_jax import layers
from ng_jax import specs
from ng_jax.graphs import encoding
from ng_jax.layers import nfn
from ng_jax.layers import nfn_embed
from ng_jax.layers import nfn_pool
from ng_jax.layers import weight_space

_LAYERS: dict[str, Callable[..., nn.Module]] = {
  'np': nfn.NPLinear,
  'hnp': nfn.HNPLinear,
  'np_pos': functools.partial(nfn.NPLinear, position_embedding=True),
}


class NeuralFunctionalModel(nn.Module):
  """What both models have in common: encodings and equivariant layers.

  Attributes:
    variant: 'np' (all neurons exchangeable, told apart by codes only), 'hnp'
      (hidden neurons exchangeable) or 'np_pos' (NP with learned positions of
      inputs and outputs).
    channels: of the hidden layers, each followed by a ReLU.
    fourier_size: Gaussian Fourier features; 0 for the raw values.
    fourier_scale: their standard deviation.
    io_bands: bands of the sinusoidal codes of inputs and outputs; 0 for none.
    io_max_frequency: twice their largest frequency.
    layer_codes: whether the codes also tell layers apart.
    normalize: whether the raw values are normalised; the published classifier
      of INRs, HNP predictor and editor read them as they are.
    statistics: `weights.Statistics`, used if `normalize` is set.
    dropout: rate.
    dtype: computation dtype; None follows inputs and parameters.
  """

  variant: str = 'np'
  channels: tuple[int, ...] = (128, 128, 128)
  fourier_size: int = 128
  fourier_scale: float = 3.0
  io_bands: int = 3
  io_max_frequency: float = 3.0
  layer_codes: bool = False
  normalize: bool = False
  statistics: Any = None
  dropout: float = 0.0
  dtype: Any = None

  def embed(self, graph: jraph.GraphsTuple) -> weight_space.WeightSpace:
    """Input stage: `WeightSpaceEmbedding` with the model's options.

    Args:
      graph: of `graphs.encode` with one batch axis.

    Returns:
      Features of the weights and biases. Jit: yes.

    Raises:
      ValueError: `normalize` without statistics.
    """
    if self.normalize and self.statistics is None:
      raise ValueError(
        'normalize=True needs statistics, got None; give those of the training '
        'set, weights.statistics.from_weights(...), or set normalize=False.'
      )
    return nfn_embed.WeightSpaceEmbedding(
      self.fourier_size,
      self.fourier_scale,
      self.io_bands,
      self.io_max_frequency,
      self.layer_codes,
      self.statistics if self.normalize else None,
      self.dtype,
      name='embedding',
    )(graph)

  def equivariant(
    self, space: weight_space.WeightSpace, features: int, number: int
  ) -> weight_space.WeightSpace:
    """Equivariant linear layer of the model's variant.

    Args:
      space: features of the weights and biases.
      features: output channels.
      number: of the layer, from 0.

    Returns:
      Features with that many channels. Jit: yes.

    Raises:
      ValueError: unknown variant.
    """
    if self.variant not in _LAYERS:
      raise ValueError(
        f'unknown variant {self.variant!r}; expected one of {sorted(_LAYERS)}.'
      )
    layer = _LAYERS[self.variant](
      features, dtype=self.dtype, name=f'equivariant_{number}'
    )
    found: weight_space.WeightSpace = layer(space)
    return found


class NeuralFunctionalNetwork(NeuralFunctionalModel):
  """Predicts from weights, invariant to the order of hidden neurons.

  Attributes: those of `NeuralFunctionalModel`, dropout being that before every
    linear layer of the readout, and
    num_outputs: width of the prediction (classes).
    readout_sizes: widths of the readout's hidden layers.
    pooling: 'np', 'hnp' (inputs and outputs kept apart), or 'variant', which is
      'np' for the variant 'np' and else 'hnp'.
    sigmoid: return probabilities and not logits, as the official predictor of a
      CNN zoo can.
  """

  channels: tuple[int, ...] = (512, 512, 512)
  fourier_size: int = 256
  fourier_scale: float = 10.0
  io_bands: int = 6
  io_max_frequency: float = 10.0
  layer_codes: bool = True
  dropout: float = 0.5
  num_outputs: int = 10
  readout_sizes: tuple[int, ...] = (1000, 1000)
  pooling: str = 'variant'
  sigmoid: bool = False

  @nn.compact
  def __call__(
    self, graph: jraph.GraphsTuple, *, train: bool = False
  ) -> jax.Array:
    """Predicts from networks.

    Args:
      graph: of `graphs.encode` with one batch axis, networks of one spec.
      train: whether dropout is on; needs the rng 'dropout'.

    Returns:
      [batch, num_outputs]. Jit: yes.

    Raises:
      ValueError: unknown variant or pooling; networks that are no plain chain
        of layers, a graph of another layout.
    """
    pooling = self.pooling
    if pooling == 'variant':
      pooling = 'np' if self.variant == 'np' else 'hnp'
    if pooling not in nfn_pool.POOLINGS:
      raise ValueError(
        f'unknown pooling {pooling!r}; expected one of '
        f'{sorted([*nfn_pool.POOLINGS, "variant"])}.'
      )
    space = self.embed(graph)
    for i, features in enumerate(self.channels):
      space = jax.tree.map(nn.relu, self.equivariant(space, features, i))
    logits = _Readout(
      (*self.readout_sizes, self.num_outputs),
      self.dropout,
      self.dtype,
      name='readout',
    )(nfn_pool.POOLINGS[pooling](space), train=train)
    return nn.sigmoid(logits) if self.sigmoid else logits


class NeuralFunctionalEditor(NeuralFunctionalModel):
  """Proposes updates of weights, equivariant to hidden permutations.

  Attributes: those of `NeuralFunctionalModel`, dropout being that after the
    first hidden layer, and
    out_scale: initial value of the learned scales, one for the weights and one
      for the biases of each layer.

  The published HNP editor has no codes (io_bands=0).
  """

  out_scale: float = 0.01

  @nn.compact
  def __call__(
    self, graph: jraph.GraphsTuple, *, train: bool = False
  ) -> specs.Weights:
    """Computes updates.

    Args:
      graph: of `graphs.encode` with one batch axis, networks of one spec.
      train: whether dropout is on; needs the rng 'dropout' if its rate is not
        zero.

    Returns:
      Updates with leaves [batch, *leaf_shape], to be added to the raw weights.
      Jit: yes.

    Raises:
      ValueError: unknown variant; networks that are no plain chain of layers, a
        graph of another layout.
    """
    space = self.embed(graph)
    dropout = nn.Dropout(self.dropout, deterministic=not train)
    for i, features in enumerate(self.channels):
      space = jax.tree.map(nn.relu, self.equivariant(space, features, i))
      if i == 0:
        space = jax.tree.map(dropout, space)
    space = self.equivariant(space, 1, len(self.channels))
    space = _LayerScales(self.out_scale, name='scales')(space)
    return weight_space.write(graph.edges[encoding.WEIGHT].topology, space)


class _LayerScales(nn.Module):
  """Multiplies every layer's weights and biases by learned numbers."""

  init_value: float

  @nn.compact
  def __call__(
    self, space: weight_space.WeightSpace
  ) -> weight_space.WeightSpace:
    def scale(name: str, values: jax.Array) -> jax.Array:
      init = nn.initializers.constant(self.init_value)
      return values * self.param(name, init, ()).astype(values.dtype)

    return space.replace(
      weights=tuple(
        scale(f'weight_{i + 1}', w) for i, w in enumerate(space.weights)
      ),
      biases=tuple(
        scale(f'bias_{i + 1}', b) for i, b in enumerate(space.biases)
      ),
    )


class _Readout(nn.Module):
  """Dropout and a linear layer each, with ReLU in between."""

  sizes: tuple[int, ...]
  dropout: float
  dtype: Any = None

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    for i, size in enumerate(self.sizes):
      x = nn.Dropout(self.dropout)(x, deterministic=not train)
      x = layers.Linear(size, dtype=self.dtype, name=f'layer_{i}')(x)
      x = nn.relu(x) if i < len(self.sizes) - 1 else x
    return x
