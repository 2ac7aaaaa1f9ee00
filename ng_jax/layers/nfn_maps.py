# SPDX-License-Identifier: Apache-2.0
"""Maps to new features of one layer, which NFN layers are made of.

The symbols are those of `ng_jax.layers.nfn`. Where the results of several maps
are added, all of them are drawn from one range, by their joint fan-in, as in
the reference.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import numerics
from ng_jax.layers import linear


def merge_axis(array: jax.Array, axis: int) -> jax.Array:
  """Moves an axis behind the channels: [..., n, ..., C] -> [..., C * n].

  Args:
    array: [..., C] float.
    axis: to merge; entry j of channel c becomes number c * n + j.

  Returns:
    The array with one axis less. Jit: yes.
  """
  moved = jnp.moveaxis(array, axis, -1)
  return moved.reshape(*moved.shape[:-2], -1)


def split_axis(array: jax.Array, size: int, axis: int) -> jax.Array:
  """Inverse of `merge_axis` for an axis of the given size. Jit: yes."""
  split = array.reshape(*array.shape[:-1], -1, size)
  return jnp.moveaxis(split, -1, axis)


class _SharedLinear(nn.Module):
  """x W + b, one of several maps whose results are added.

  Attributes:
    features: output width.
    fan_in: input width of all of them together; parameters are drawn from
      U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
    dtype: computation dtype.
  """

  features: int
  fan_in: int
  dtype: Any = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    init = linear.torch_uniform(self.fan_in)
    kernel = self.param('kernel', init, (x.shape[-1], self.features))
    bias = self.param('bias', init, (self.features,))
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    return numerics.linear(x, kernel, bias)


def _fan_in(*inputs: jax.Array) -> int:
  return sum(x.shape[-1] for x in inputs)


class LayerMap(nn.Module):
  """New features of one layer whose sources and targets are exchangeable.

  W' = A W + G g + P R (one value per source) + Q C (one per target),
  b' = S C + T g. All maps have biases.

  Attributes:
    features: output channels.
    area: kernel entries of the layer.
    dtype: computation dtype.
  """

  features: int
  area: int
  dtype: Any = None

  @nn.compact
  def __call__(
    self,
    weight: jax.Array,
    of_sources: jax.Array,
    of_targets: jax.Array,
    whole: jax.Array,
  ) -> tuple[jax.Array, jax.Array]:
    """Applies the maps.

    Args:
      weight: W, [B, num_sources, num_targets, C * area].
      of_sources: R, [B, num_sources, channels].
      of_targets: C, [B, num_targets, channels], the own bias among them.
      whole: g, [B, channels].

    Returns:
      W' [B, num_sources, num_targets, features * area] and b' [B, num_targets,
      features]. Jit: yes.
    """
    width = self.features * self.area
    fan_in = _fan_in(weight, whole, of_sources, of_targets)

    def weight_map(name: str) -> _SharedLinear:
      return _SharedLinear(width, fan_in, self.dtype, name=f'weight_{name}')

    rows = (
      weight_map('sources')(of_sources) + weight_map('whole')(whole)[:, None]
    )
    columns = weight_map('targets')(of_targets)
    new_weight = weight_map('own')(weight) + numerics.add_outer(rows, columns)
    new_bias = _map_bias(self.features, of_targets, whole, self.dtype)
    return new_weight, new_bias


def _map_bias(
  features: int, of_targets: jax.Array, whole: jax.Array, dtype: Any
) -> jax.Array:
  """Of targets and whole; inside the compact call of a module."""
  fan_in = _fan_in(of_targets, whole)
  own = _SharedLinear(features, fan_in, dtype, name='bias_own')
  rest = _SharedLinear(features, fan_in, dtype, name='bias_whole')
  return own(of_targets) + rest(whole)[:, None]


class InputLayerMap(nn.Module):
  """New features of layer 1, whose inputs are told apart (HNP).

  W' = U Z + U' g with the inputs among the channels, b' = Y Z + Y' g.

  Attributes:
    features: output channels.
    area: kernel entries of the layer.
    num_inputs: of the network.
    dtype: computation dtype.
  """

  features: int
  area: int
  num_inputs: int
  dtype: Any = None

  @nn.compact
  def __call__(
    self, of_targets: jax.Array, whole: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Applies the maps.

    Args:
      of_targets: Z, [B, num_targets, channels].
      whole: g, [B, channels].

    Returns:
      W' [B, num_inputs, num_targets, features * area] and b' [B, num_targets,
      features]. Jit: yes.
    """
    width = self.features * self.area * self.num_inputs
    # Differs from all other maps: each has a fan-in of its own.
    own = linear.Linear(width, dtype=self.dtype, name='weight_own')
    rest = linear.Linear(width, dtype=self.dtype, name='weight_whole')
    merged = own(of_targets) + rest(whole)[:, None]
    new_bias = _map_bias(self.features, of_targets, whole, self.dtype)
    return split_axis(merged, self.num_inputs, 1), new_bias


class OutputLayerMap(nn.Module):
  """New features of layer L, whose outputs are told apart (HNP).

  W' = U Z + U' g and b' = Y' g with the outputs among the channels.

  Attributes:
    features: output channels.
    area: kernel entries of the layer.
    num_outputs: of the network.
    dtype: computation dtype.
  """

  features: int
  area: int
  num_outputs: int
  dtype: Any = None

  @nn.compact
  def __call__(
    self, of_sources: jax.Array, whole: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Applies the maps.

    Args:
      of_sources: Z, [B, num_sources, channels].
      whole: g, [B, channels].

    Returns:
      W' [B, num_sources, num_outputs, features * area] and b' [B, num_outputs,
      features]. Jit: yes.
    """
    width = self.features * self.area * self.num_outputs
    fan_in = _fan_in(of_sources, whole)
    own = _SharedLinear(width, fan_in, self.dtype, name='weight_own')
    rest = _SharedLinear(width, fan_in, self.dtype, name='weight_whole')
    merged = own(of_sources) + rest(whole)[:, None]
    new_bias = linear.Linear(
      self.features * self.num_outputs, dtype=self.dtype, name='bias_whole'
    )(whole)
    return (
      split_axis(merged, self.num_outputs, 2),
      split_axis(new_bias, self.num_outputs, 1),
    )
