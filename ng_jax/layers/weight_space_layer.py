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
from ng_jax.layers import draws
from ng_jax.layers import set_layers
from ng_jax.layers import weight_maps
from ng_jax.layers import weight_views

Tensors = tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]
# Parts of a target: which axes they have besides graphs and features.
_PARTS = ('all', 'rows', 'columns', 'entries')
_Received = dict[weight_maps.Tensor, dict[str, list[jax.Array]]]


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
    views = weight_views.Views(weights, biases, self.pooling)
    maps = weight_maps.weight_maps(len(weights), diagonal=self.diagonal)
    received: _Received = {
      weight_map.target: {part: [] for part in _PARTS} for weight_map in maps
    }
    numbers = None
    if self.is_initializing():
      numbers = draws.Draws(self.make_rng('params'))
    for kind, add in (
      ('set', self._add_sets),
      ('vector', self._add_vectors),
      ('matrix', self._add_matrices),
    ):
      add([m for m in maps if m.kind == kind], views, received, numbers)
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

  def _width(
    self, weight_map: weight_maps.WeightMap, views: weight_views.Views
  ) -> int:
    return self.features * views.size(weight_map.ends)

  def _add_sets(
    self,
    maps: list[weight_maps.WeightMap],
    views: weight_views.Views,
    received: _Received,
    numbers: draws.Draws | None,
  ) -> None:
    groups: dict[Any, list[Any]] = {}
    for m in maps:
      x = views.over(m.source, m.over)
      params = set_layers.SetLayerParams(
        self.set_layer, self._width(m, views), self.init_scale, name=m.name
      )(x.shape[-1], numbers)
      shape = (*x.shape, self._width(m, views))
      groups.setdefault(shape, []).append((m, x, params))
    for group in groups.values():
      outputs = set_layers.apply_set_layers(
        [x for _, x, _ in group],
        [params for _, _, params in group],
        kind=self.set_layer,
        num_heads=self.num_heads,
        pooling=self.pooling,
        dtype=self.dtype,
      )
      for (m, _, _), y in zip(group, outputs, strict=True):
        part, y = _place_set(m, y, self.features)
        received[m.target][part].append(y)

  def _add_vectors(
    self,
    maps: list[weight_maps.WeightMap],
    views: weight_views.Views,
    received: _Received,
    numbers: draws.Draws | None,
  ) -> None:
    groups: dict[Any, list[Any]] = {}
    for m in maps:
      x = views.vector(m.source)
      params = set_layers.AffineParams(
        self._width(m, views), self.init_scale, name=m.name
      )(x.shape[-1], numbers)
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
    views: weight_views.Views,
    received: _Received,
    numbers: draws.Draws | None,
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
        )(x.shape[-1], numbers)
        x, kernel, bias = nn.dtypes.promote_dtype(
          x, kernel, bias, dtype=self.dtype
        )
        received[m.target][part].append(numerics.linear(x, kernel, bias) / 4)


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
  total = {
    name: functools.reduce(jnp.add, values)
    for name, values in parts.items()
    if values
  }
  terms = [total['entries']] if 'entries' in total else []
  rows, columns = total.get('rows'), total.get('columns')
  if 'all' in total:
    everywhere = total['all'][:, None]
    columns = everywhere if columns is None else columns + everywhere
  if len(shape) == 1:  # The columns of a bias are its only axis.
    terms += [columns] if columns is not None else []
  elif rows is not None and columns is not None:
    terms.append(numerics.add_outer(rows, columns))
  elif rows is not None:
    terms.append(rows[:, :, None])
  elif columns is not None:
    terms.append(columns[:, None])
  result = functools.reduce(jnp.add, terms)
  return jnp.broadcast_to(result, (len(result), *shape, result.shape[-1]))
