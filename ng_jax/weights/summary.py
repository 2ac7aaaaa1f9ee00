# SPDX-License-Identifier: Apache-2.0
"""Seven statistics of every weight tensor (Unterthiner et al., 2020).

The features of StatNN: mean, unbiased variance, and the quantiles 0, 1/4, 1/2,
3/4, 1 of each tensor. They depend on nothing but the values, so any hidden
permutation leaves them alone, and networks of any architecture have them.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import specs

NUM_STATISTICS = 7
ORDERS = ('interleaved', 'split')
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def tensor_statistics(
  spec: specs.NetworkSpec,
  weights: specs.Weights,
  *,
  order: str = 'interleaved',
  max_layers: int | None = None,
  align_last: bool = False,
  linear_slots: int = 1,
) -> Any:
  """Computes the features of networks of one spec.

  The three ways of the reference (spec 5.3):
    small CNN zoo: the defaults;
    CNN Wild Park: order='split', max_layers=6;
    its unused variant: max_layers=6, linear_slots=49 (the largest kernel).

  Args:
    spec: of the networks.
    weights: leaves [*batch, *leaf_shape] float.
    order: 'interleaved' (weights, biases of layer 1, then of layer 2, ...) or
      'split' (all weights, then all biases).
    max_layers: layers after padding with zeros; None for no padding. A layer
      is a leaf that fills edges, with the biases of the neurons where they end.
    align_last: put the last layer into the last place, so that its features do
      not move with the depth. Differs from the reference.
    linear_slots: size to which the kernel of each linear layer is padded with
      zeros, which then count; 1 for none.

  Returns:
    [*batch, features] with 14 features per layer. Where all leaves are numpy
    arrays, so is the result, computed on the host. Jit: yes, `spec` and all
    options static; differentiable.

  Raises:
    ValueError: weights that do not fit, an unknown order, too many layers.
  """
  if order not in ORDERS:
    raise ValueError(
      f'unknown order {order!r}; expected one of {sorted(ORDERS)}.'
    )
  specs.check_weights(spec, weights)
  arrays = specs.leaf_arrays(weights)
  layers = _layers(spec)
  num_layers = len(layers) if max_layers is None else max_layers
  if len(layers) > num_layers:
    raise ValueError(
      f'max_layers must be at least the number of layers, got {max_layers=} '
      f'and a network of {len(layers)}; raise it to the deepest network.'
    )
  xp: Any = np if _on_host(arrays.values()) else jnp

  def features(leaf: specs.Leaf | None) -> Any:
    if leaf is None:
      return None
    x = arrays[leaf.path]
    batch = x.shape[: x.ndim - len(spec.leaf_shape(leaf))]
    slots = linear_slots if _is_linear(spec, leaf) else 1
    return _seven(x.reshape(*batch, -1), slots, xp)

  columns = [[features(layer[k]) for layer in layers] for k in (0, 1)]
  known = next(x for x in columns[0] if x is not None)
  zeros = xp.zeros_like(known)
  missing = [None] * (num_layers - len(layers))
  for k, column in enumerate(columns):
    cut = len(column) - 1 if align_last else len(column)
    column = [*column[:cut], *missing, *column[cut:]]
    columns[k] = [zeros if x is None else x for x in column]
  if order == 'interleaved':
    flat = [x for pair in zip(*columns, strict=True) for x in pair]
  else:
    flat = [*columns[0], *columns[1]]
  return xp.concatenate(flat, axis=-1)


def num_features(spec: specs.NetworkSpec, max_layers: int | None = None) -> int:
  """Width of what `tensor_statistics` returns.

  Args:
    spec: of the networks.
    max_layers: as there.

  Returns:
    14 per layer. Jit: static.
  """
  layers = len(_layers(spec)) if max_layers is None else max_layers
  return 2 * NUM_STATISTICS * layers


def _layers(
  spec: specs.NetworkSpec,
) -> list[tuple[specs.Leaf, specs.Leaf | None]]:
  """Leaves of edges in the order of blocks, each with a leaf of biases."""
  waiting: dict[str, list[specs.Leaf]] = {}
  for leaf in spec.leaves:
    if leaf.kind == 'node':
      waiting.setdefault(leaf.fills, []).append(leaf)
  found: list[tuple[specs.Leaf, specs.Leaf | None]] = []
  for block in spec.blocks:
    leaves = [
      leaf
      for leaf in spec.leaves
      if leaf.kind == 'edge' and leaf.fills == block.name
    ]
    for leaf in sorted(leaves, key=lambda leaf: leaf.slot):
      biases = waiting.get(block.target, [])
      found.append((leaf, biases.pop(0) if biases else None))
  return found


def _is_linear(spec: specs.NetworkSpec, leaf: specs.Leaf) -> bool:
  if leaf.kind != 'edge':
    return False
  block = spec.block(leaf.fills)
  return block.type == 'linear' and block.kernel in (None, (1, 1))


def _on_host(arrays: Any) -> bool:
  return all(isinstance(x, np.ndarray) for x in arrays)


def _seven(x: Any, slots: int, xp: Any) -> Any:
  """The statistics of the last axis, as if each value came with zeros."""
  num = x.shape[-1] * slots
  if slots > 1:
    pad = [(0, 0)] * (x.ndim - 1) + [(0, num - x.shape[-1])]
    x = xp.pad(x, pad)
  mean = xp.mean(x, axis=-1, keepdims=True)
  # A single value has no variance; PyTorch has NaN here.
  centred = x - mean
  var = xp.sum(centred * centred, axis=-1, keepdims=True) / max(num - 1, 1)
  ordered = xp.sort(x, axis=-1)
  quantiles = [_quantile(ordered, q) for q in _QUANTILES]
  return xp.concatenate([mean, var, *quantiles], axis=-1)


def _quantile(ordered: Any, q: float) -> Any:
  """Linear interpolation between neighbours, at a static position."""
  position = q * (ordered.shape[-1] - 1)
  low = int(position)
  high = min(low + 1, ordered.shape[-1] - 1)
  part = position - low
  return (1 - part) * ordered[..., low : low + 1] + part * ordered[
    ..., high : high + 1
  ]


def of_networks(
  networks: Sequence[tuple[specs.NetworkSpec, specs.Weights]],
  *,
  num_graphs: int | None = None,
  **options: Any,
) -> np.ndarray:
  """Features of networks of different specs, one row each.

  Args:
    networks: (spec, weights) pairs, weights without batch axes.
    num_graphs: rows after padding with zeros; none by default.
    **options: of `tensor_statistics`; with max_layers.

  Returns:
    [num_graphs, features] float32 numpy. Jit: no, host only.

  Raises:
    ValueError: as `tensor_statistics`; networks with different numbers of
      features.
  """
  rows = [
    tensor_statistics(spec, jax.tree.map(np.asarray, weights), **options)
    for spec, weights in networks
  ]
  widths = sorted({len(row) for row in rows})
  if len(widths) > 1:
    raise ValueError(
      'networks of a batch must have the same number of features, got '
      f'{widths}; give max_layers, the layers of the deepest network.'
    )
  num_graphs = len(rows) if num_graphs is None else num_graphs
  features = np.zeros((num_graphs, widths[0]), np.float32)
  features[: len(rows)] = rows
  return features
