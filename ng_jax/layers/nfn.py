# SPDX-License-Identifier: Apache-2.0
"""Equivariant linear layers of neural functional networks (NFN).

Zhou et al., "Permutation Equivariant Neural Functionals" (2023). NP treats
inputs and outputs as exchangeable, like hidden neurons; HNP tells them apart.
For weights W^i of layer i = 1 to L, b^i its biases:

  r^i, k^i  means of W^i over its targets (one value per source) and over its
            sources (one per target); m^i over both; beta^i the mean of b^i;
  g         what is seen of the whole network, all m^i and beta^i and more.

A convolution counts its kernel entries as channels, see `WeightSpace`.
"""

from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax.layers import nfn_maps
from ng_jax.layers import weight_space


class _Means(NamedTuple):
  """r^i [B, num_sources, C], k^i [B, num_targets, C], m^i and beta^i [B, C]."""

  sources: list[jax.Array]
  targets: list[jax.Array]
  weights: list[jax.Array]
  biases: list[jax.Array]


def _take_means(space: weight_space.WeightSpace) -> _Means:
  sources = [jnp.mean(w, axis=2) for w in space.weights]
  return _Means(
    sources,
    [jnp.mean(w, axis=1) for w in space.weights],
    [jnp.mean(r, axis=1) for r in sources],
    [jnp.mean(b, axis=1) for b in space.biases],
  )


def _join(parts: list[jax.Array]) -> jax.Array:
  return jnp.concatenate(parts, axis=-1)


class NPLinear(nn.Module):
  """Linear layer that is equivariant to permutations of all neurons (NP).

  Attributes:
    features: output channels.
    position_embedding: NP-PosEmb, adds a learned vector to the weights of every
      input, and to the weights and the bias of every output, before the map.
      Then only hidden neurons are exchangeable.
    dtype: computation dtype; None follows inputs and parameters.
  """

  features: int
  position_embedding: bool = False
  dtype: Any = None

  @nn.compact
  def __call__(
    self, space: weight_space.WeightSpace
  ) -> weight_space.WeightSpace:
    """Applies the layer.

    Args:
      space: features with C channels.

    Returns:
      Features of the same layers with `features` channels. Jit: yes.
    """
    if self.position_embedding:
      space = self._add_positions(space)
    means = _take_means(space)
    whole = _join([*means.weights, *means.biases])
    last = space.num_layers - 1
    mapped = []
    for i, (weight, bias) in enumerate(
      zip(space.weights, space.biases, strict=True)
    ):
      of_sources = [means.sources[i]]
      if i > 0:
        of_sources += [means.targets[i - 1], space.biases[i - 1]]
      of_targets = [means.targets[i], bias]
      if i < last:
        of_targets.append(means.sources[i + 1])
      layer = nfn_maps.LayerMap(
        self.features, space.areas[i], self.dtype, name=f'layer_{i + 1}'
      )
      mapped.append(
        layer(
          weight,
          _join(of_sources),
          _join(of_targets),
          whole,
        )
      )
    weights, biases = zip(*mapped, strict=True)
    return space.replace(weights=weights, biases=biases)

  def _add_positions(
    self, space: weight_space.WeightSpace
  ) -> weight_space.WeightSpace:
    def table(name: str, values: jax.Array, axis: int) -> jax.Array:
      shape = (values.shape[axis], values.shape[-1])
      rows = self.param(name, nn.initializers.normal(1.0), shape)
      return rows.astype(values.dtype)

    weights, biases = list(space.weights), list(space.biases)
    inputs = table('input_positions', weights[0], 1)
    outputs = table('output_positions', weights[-1], 2)
    weights[0] = weights[0] + inputs[:, None]
    weights[-1] = weights[-1] + outputs
    biases[-1] = biases[-1] + table('output_bias_positions', biases[-1], 1)
    return space.replace(weights=tuple(weights), biases=tuple(biases))


class HNPLinear(nn.Module):
  """Linear layer that is equivariant to permutations of hidden neurons (HNP).

  Attributes:
    features: output channels.
    dtype: computation dtype; None follows inputs and parameters.
  """

  features: int
  dtype: Any = None

  @nn.compact
  def __call__(
    self, space: weight_space.WeightSpace
  ) -> weight_space.WeightSpace:
    """Applies the layer.

    Args:
      space: features with C channels of at least two layers.

    Returns:
      Features of the same layers with `features` channels. Jit: yes.

    Raises:
      ValueError: a network with a single layer.
    """
    check_depth(space)
    weights, biases = space.weights, space.biases
    means = _take_means(space)
    ends = [means.sources[0], means.targets[-1], biases[-1]]
    ends = [nfn_maps.merge_axis(x, 1) for x in ends]
    whole = _join([*means.weights, *means.biases, *ends])
    by_input = nfn_maps.merge_axis(weights[0], 1)
    by_output = nfn_maps.merge_axis(weights[-1], 2)
    last = space.num_layers - 1
    to_first = [by_input, means.sources[1], biases[0]]
    to_last = [by_output, means.targets[-2]]
    if last == 1:  # They are neighbours.
      to_first.append(by_output)
      to_last.append(by_input)
    mapped = [self._input_map(space)(_join(to_first), whole)]
    for i in range(1, last):
      of_sources = [means.sources[i], means.targets[i - 1], biases[i - 1]]
      of_targets = [means.targets[i], biases[i], means.sources[i + 1]]
      of_sources += [by_input] * (i == 1)
      of_targets += [by_output] * (i == last - 1)
      layer = nfn_maps.LayerMap(
        self.features, space.areas[i], self.dtype, name=f'layer_{i + 1}'
      )
      mapped.append(
        layer(weights[i], _join(of_sources), _join(of_targets), whole)
      )
    mapped.append(self._output_map(space)(_join(to_last), whole))
    new_weights, new_biases = zip(*mapped, strict=True)
    return space.replace(weights=new_weights, biases=new_biases)

  def _input_map(
    self, space: weight_space.WeightSpace
  ) -> nfn_maps.InputLayerMap:
    num_inputs = space.weights[0].shape[1]
    return nfn_maps.InputLayerMap(
      self.features, space.areas[0], num_inputs, self.dtype, name='layer_1'
    )

  def _output_map(
    self, space: weight_space.WeightSpace
  ) -> nfn_maps.OutputLayerMap:
    num_outputs = space.weights[-1].shape[2]
    name = f'layer_{space.num_layers}'
    return nfn_maps.OutputLayerMap(
      self.features, space.areas[-1], num_outputs, self.dtype, name=name
    )


def check_depth(space: weight_space.WeightSpace) -> None:
  """Refuses networks whose only layer is both the first and the last.

  Args:
    space: features of the networks.

  Raises:
    ValueError: fewer than two layers.

  Jit: static.
  """
  if space.num_layers < 2:
    raise ValueError(
      'HNP layers and pooling need a network with a hidden layer, got '
      f"{space.num_layers} layer; use variant='np' with pooling='np'."
    )
