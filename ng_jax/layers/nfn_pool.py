# SPDX-License-Identifier: Apache-2.0
"""Pooling of neural functional networks: one invariant vector per network.

Zhou et al. (2023). Means over exchangeable neurons, in the order W^1, b^1, W^2,
b^2, ...; channels are outermost in the result.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ng_jax.layers import nfn
from ng_jax.layers import weight_space


def pool_np(space: weight_space.WeightSpace) -> jax.Array:
  """Means over both ends of every layer.

  Args:
    space: features with C channels.

  Returns:
    [batch, C * sum of (area + 1) over the layers]. Jit: yes.
  """
  parts = []
  for weight, bias, area in zip(
    space.weights, space.biases, space.areas, strict=True
  ):
    mean = jnp.mean(weight, axis=(1, 2))
    parts.append(mean.reshape(mean.shape[0], -1, area))
    parts.append(jnp.mean(bias, axis=1)[..., None])
  return _join(parts)


def pool_hnp(space: weight_space.WeightSpace) -> jax.Array:
  """As `pool_np`, but inputs and outputs are kept apart.

  Args:
    space: features with C channels of at least two layers.

  Returns:
    [batch, C * K], K being num_inputs * area + 1 for the first layer, area + 1
    for those between, num_outputs * (area + 1) for the last. Jit: yes.

  Raises:
    ValueError: a network with a single layer.
  """
  nfn.check_depth(space)
  last = space.num_layers - 1
  parts = []
  for i, area in enumerate(space.areas):
    weight, bias = space.weights[i], space.biases[i]
    # Only the inputs of layer 1 and the outputs of layer L keep their axis.
    sources = weight if i == 0 else jnp.mean(weight, axis=1, keepdims=True)
    kept = sources if i == last else jnp.mean(sources, axis=2, keepdims=True)
    kept = kept.reshape(kept.shape[0], -1, kept.shape[-1])
    parts.append(_split_channels(kept, area))
    bias = bias if i == last else jnp.mean(bias, axis=1, keepdims=True)
    parts.append(_split_channels(bias, 1))
  return _join(parts)


POOLINGS: dict[str, Callable[[weight_space.WeightSpace], jax.Array]] = {
  'np': pool_np,
  'hnp': pool_hnp,
}


def _split_channels(values: jax.Array, area: int) -> jax.Array:
  """[B, n, C * area] -> [B, C, n * area], nodes before kernel entries."""
  batch, num_nodes, _ = values.shape
  split = values.reshape(batch, num_nodes, -1, area)
  return split.swapaxes(1, 2).reshape(batch, -1, num_nodes * area)


def _join(parts: list[jax.Array]) -> jax.Array:
  joined = jnp.concatenate(parts, axis=-1)
  return joined.reshape(joined.shape[0], -1)
