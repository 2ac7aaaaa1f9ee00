# SPDX-License-Identifier: Apache-2.0
"""The equivariant layer from weight space to weight space (DWSNets).

Navon et al., "Equivariant Architectures for Learning in Deep Weight Spaces"
(2023). `weight_maps` lists the maps; here they are grouped by what they
compute, so that a layer is a few batched products instead of dozens of small
ones:

* set maps of one shape run together (`set_layers`);
* maps between vectors that end in the same tensor are one product;
* what a target receives is added in the smallest shape first: one value for all
  entries, per row, per column, per entry.
"""

from collections.abc import Sequence
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import numerics
from ng_jax.layers import set_layers
from ng_jax.layers import weight_maps

Tensors = tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]
# Parts of a target: which axes they have besides graphs and features.
_PARTS = ('all', 'rows', 'columns', 'entries')


class WeightSpaceLayer(nn.Module):
  """Sum of maps from every tensor to every tensor, over 2 num_layers.

  Attributes:
    features: output features per entry.
    num_heads: of set attention; divides the width of every set layer, which is
      `features` times 1, inputs or outputs.
    set_layer: 'attention' or 'deep_sets'.
    pooling: 'max', 'mean' or 'sum'.
    diagonal: keep neighbouring tensors only.
    init_scale: factor of the initial kernels.
    dtype: computation dtype.
  """

  features: int
  num_heads: int = 8
  set_layer: str = 'attention'
  pooling: str = 'max'
  diagonal: bool = False
  init_scale: float = 1.0
  dtype: Any = None

  @nn.compact
  def __call__(
    self, weights: Sequence[jax.Array], biases: Sequence[jax.Array]
  ) -> Tensors:
    """Maps a chain to a chain.

    Args:
      weights: per layer [num_graphs, n_l, n_(l+1), in_features] float.
      biases: per layer [num_graphs, n_(l+1), in_features] float.

    Returns:
      Weights and biases with `features`. Jit: yes.

    Raises:
      ValueError: an unknown set layer or pooling, heads that do not divide.
    """
    self._check()
    views = _Views(weights, biases, self.pooling)
    maps = weight_maps.weight_maps(len(weights), diagonal=self.diagonal)
    received: dict[weight_maps.Tensor, dict[str, list[jax.Array]]] = {
      weight_map.target: {part: [] for part in _PARTS} for weight_map in maps
    }
    self._add_sets([m for m in maps if m.kind == 'set'], views, received)
    self._add_vectors([m for m in maps if m.kind == 'vector'], views, received)
    self._add_matrices([m for m in maps if m.kind == 'matrix'], views, received)
    divisor = 2 * len(weights)
    results = {
      target: _add_up(parts, views.shape(target)) / divisor
      for target, parts in received.items()
    }
    layers = range(len(weights))
    return (
      tuple(results[weight_maps.Tensor('weight', i)] for i in layers),
      tuple(results[weight_maps.Tensor('bias', i)] for i in layers),
    )

  def _check(self) -> None:
    for field, known in (
      ('set_layer', set_layers.SET_LAYERS),
      ('pooling', set_layers.POOLINGS),
    ):
      if getattr(self, field) not in known:
        raise ValueError(
          f'unknown {field} {getattr(self, field)!r}; expected one of '
          f'{sorted(known)}.'
        )
    if self.set_layer == 'attention' and self.features % self.num_heads:
      raise ValueError(
        'num_heads must divide the features, got '
        f'num_heads={self.num_heads} and features={self.features}.'
      )

  def _width(self, weight_map: weight_maps.WeightMap, views: '_Views') -> int:
    return self.features * views.size(weight_map.ends)

  def _add_sets(
    self,
    maps: list[weight_maps.WeightMap],
    views: '_Views',
    received: dict[weight_maps.Tensor, dict[str, list[jax.Array]]],
  ) -> None:
    groups: dict[Any, list[Any]] = {}
    for m in maps:
      x = views.over(m.source, m.over)
      params = set_layers.SetLayerParams(
        self.set_layer, self._width(m, views), self.init_scale, name=m.name
      )(x.shape[-1])
      shape = (*x.shape, self._width(m, views))
      groups.setdefault(shape, []).append((m, x, params))
    for group in groups.values():
      chosen, inputs, params = zip(*group, strict=True)
      outputs = set_layers.apply_set_layers(
        inputs,
        params,
        kind=self.set_layer,
        num_heads=self.num_heads,
        pooling=self.pooling,
        dtype=self.dtype,
      )
      for m, y in zip(chosen, outputs, strict=True):
        part, y = _place_set(m, y, self.features)
        received[m.target][part].append(y)

  def _add_vectors(
    self,
    maps: list[weight_maps.WeightMap],
    views: '_Views',
    received: dict[weight_maps.Tensor, dict[str, list[jax.Array]]],
  ) -> None:
    groups: dict[Any, list[Any]] = {}
    for m in maps:
      x = views.vector(m.source)
      params = set_layers.AffineParams(
        self._width(m, views), self.init_scale, name=m.name
      )(x.shape[-1])
      groups.setdefault((m.target, m.ends), []).append((x, *params))
    for (target, ends), group in groups.items():
      inputs, kernels, shifts = zip(*group, strict=True)
      x, kernel, bias = nn.dtypes.promote_dtype(
        jnp.concatenate(inputs, axis=-1),
        jnp.concatenate(kernels),
        sum(shifts),
        dtype=self.dtype,
      )
      y = numerics.linear(x, kernel, bias)
      part = {'inputs': 'rows', 'outputs': 'columns', '': 'all'}[ends]
      if ends:
        y = y.reshape(len(y), -1, self.features)
      received[target][part].append(y)

  def _add_matrices(
    self,
    maps: list[weight_maps.WeightMap],
    views: '_Views',
    received: dict[weight_maps.Tensor, dict[str, list[jax.Array]]],
  ) -> None:
    for m in maps:
      layer = m.source.layer
      inputs = {
        'each': views.weights[layer],
        # Pooled over rows, what is left differs from column to column.
        'pooled_rows': views.over(m.source, layer + 1),
        'pooled_columns': views.over(m.source, layer),
        'pooled_all': views.vector(m.source),
      }
      parts = ('entries', 'columns', 'rows', 'all')
      for (name, x), part in zip(inputs.items(), parts, strict=True):
        kernel, bias = set_layers.AffineParams(
          self.features, self.init_scale, name=f'{m.name}_{name}'
        )(x.shape[-1])
        x, kernel, bias = nn.dtypes.promote_dtype(
          x, kernel, bias, dtype=self.dtype
        )
        received[m.target][part].append(numerics.linear(x, kernel, bias) / 4)


class _Views:
  """What maps read of each tensor; every view is computed once.

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


def _place_set(
  weight_map: weight_maps.WeightMap, y: jax.Array, features: int
) -> tuple[str, jax.Array]:
  """Which part of its target the result of a set map is, and its shape."""
  target = weight_map.target
  if target.kind == 'bias':
    return 'entries', y
  by_columns = weight_map.over == target.layer + 1
  if not weight_map.ends:
    return ('columns' if by_columns else 'rows'), y
  y = y.reshape(*y.shape[:2], -1, features)
  return 'entries', (y.swapaxes(1, 2) if by_columns else y)


def _add_up(
  parts: dict[str, list[jax.Array]], shape: tuple[int, ...]
) -> jax.Array:
  """Adds what a target receives, broadcasting as late as possible."""
  total = {name: sum(values) for name, values in parts.items() if values}
  everywhere: Any = total.get('all', 0)
  if len(shape) == 1:  # A bias: columns are its only axis.
    result = total.get('entries', 0) + total.get('columns', 0)
    if 'all' in total:
      result = result + everywhere[:, None]
    return jnp.broadcast_to(result, (len(result), *shape, result.shape[-1]))
  rows = total.get('rows')
  columns = total.get('columns')
  if 'all' in total:
    if rows is not None:
      rows = rows + everywhere[:, None]
    else:
      shift = everywhere[:, None]
      columns = shift if columns is None else columns + shift
  result = total.get('entries', 0)
  if rows is not None and columns is not None:
    return result + numerics.add_outer(rows, columns)
  if rows is not None:
    result = result + rows[:, :, None]
  if columns is not None:
    result = result + columns[:, None]
  return jnp.broadcast_to(result, (len(result), *shape, result.shape[-1]))
