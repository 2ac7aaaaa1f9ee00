# SPDX-License-Identifier: Apache-2.0
"""What a graph shows of a network, and the weights as it shows them.

A graph may show some weights more than once, or constants that are no weights
(see `graphs.flattening`); it then has a spec of its own.
"""

from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from ng_jax import specs


@dataclasses.dataclass(frozen=True)
class Shown:
  """What a graph shows of a network.

  Attributes:
    spec: of the graph; the network's own for 'kernel'.
    depths: per neuron set, 0 for inputs, 1.. for hidden layers, then outputs.
    bias_layers: per neuron set, the row of bias statistics; -1 for none.
    places: per neuron set, the position in the map that it repeats, or -1.
    edge_layers: per block, the row of weight statistics; -1 for constants.
    origins: per leaf of `spec`, (path in the network or None, position).
  """

  spec: specs.NetworkSpec
  depths: tuple[int, ...]
  bias_layers: tuple[int, ...]
  places: tuple[int, ...]
  edge_layers: tuple[int, ...]
  origins: tuple[tuple[str | None, int], ...] = ()


def expand(
  spec: specs.NetworkSpec, shown: Shown, arrays: Mapping[str, Any]
) -> dict[str, Any]:
  """Arrays of the network as leaves of what is shown.

  Args:
    spec: of the network.
    shown: by its graph.
    arrays: {path: [*batch, *leaf_shape]} of the network, numpy or jax.

  Returns:
    {path: array} of the leaves of `shown.spec`. Jit: yes, with both static.
  """
  if shown.spec == spec:
    return dict(arrays)
  own = {leaf.path: leaf for leaf in spec.leaves}
  example = next(iter(own.values()))
  rank = len(spec.leaf_shape(example))
  values = arrays[example.path]
  batch, dtype = values.shape[: values.ndim - rank], values.dtype
  expanded = {}
  for leaf, (path, place) in zip(shown.spec.leaves, shown.origins, strict=True):
    if path is None:
      shape = shown.spec.leaf_shape(leaf)
      expanded[leaf.path] = np.zeros((*batch, *shape), dtype)
      expanded[leaf.path][..., place] = 1
    elif _is_slice(own[path], leaf):
      layout = spec.layout(own[path])
      expanded[leaf.path] = layout.unfold(arrays[path])[..., place]
    else:
      expanded[leaf.path] = arrays[path]
  return expanded


def collapse(
  spec: specs.NetworkSpec, shown: Shown, arrays: Mapping[str, Any]
) -> dict[str, Any]:
  """Inverse of `expand`; repeated copies that differ are averaged.

  Args:
    spec: of the network.
    shown: by its graph.
    arrays: {path: [*batch, *leaf_shape]} of the leaves of `shown.spec`.

  Returns:
    {path: array} of the network, buffers left out. Jit: yes, with both static.
  """
  if shown.spec == spec:
    return dict(arrays)
  copies: dict[str, list[tuple[int, Any]]] = {}
  sliced = set()
  own = {leaf.path: leaf for leaf in spec.leaves}
  for leaf, (path, place) in zip(shown.spec.leaves, shown.origins, strict=True):
    if path is not None and leaf.kind != 'buffer':
      copies.setdefault(path, []).append((place, arrays[leaf.path]))
      if _is_slice(own[path], leaf):
        sliced.add(path)
  collapsed = {}
  for path, found in copies.items():
    values = [array for _, array in found]
    if path in sliced:
      layout = spec.layout(own[path])
      collapsed[path] = layout.fold(jnp.stack(values, axis=-1))
    else:
      collapsed[path] = _average(values)
  return collapsed


def _is_slice(own: specs.Leaf, shown: specs.Leaf) -> bool:
  """Whether a leaf shows one position of a dense layer's matrix."""
  return own.layout != shown.layout


def _average(copies: list[Any]) -> Any:
  """Mean of arrays; where all are equal, their value to the bit."""
  first, *others = copies
  if not others:
    return first
  same = functools.reduce(jnp.logical_and, [first == other for other in others])
  mean = functools.reduce(jnp.add, others, first) / len(copies)
  return jnp.where(same, first, mean.astype(first.dtype))
