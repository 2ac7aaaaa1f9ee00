# SPDX-License-Identifier: Apache-2.0
"""Normalisation of raw weights and biases, layer by layer (spec 1.2)."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import graphs


def normalise(
  module: nn.Module, statistics: Any, connectivity: graphs.Connectivity
) -> tuple[graphs.EdgeGroups, jax.Array]:
  """(x - mean) / std with the layer's statistics.

  Inputs, skips and channels that an edge does not have stay as they are.

  Args:
    module: inside its compact call; holds the statistics as constants.
    statistics: an object with tuples weight_mean, weight_std, bias_mean,
      bias_std, one number per layer; None normalises nothing.
    connectivity: of the batch.

  Returns:
    Edge groups [..., channels] and nodes [..., node_channels]. Jit: yes.

  Raises:
    ValueError: a graph of known topology with more layers.
  """
  weights = connectivity.edge_features()
  biases = connectivity.node_features()
  if statistics is None:
    return weights, biases

  def table(name: str, identity: float) -> jax.Array:
    values = getattr(statistics, name)
    # The last row, index -1, belongs to what is never normalised.
    constant = module.variable('constants', name, lambda: jnp.asarray(values))
    return jnp.append(constant.value, identity)

  weight_mean, weight_std = table('weight_mean', 0.0), table('weight_std', 1.0)
  bias_mean, bias_std = table('bias_mean', 0.0), table('bias_std', 1.0)
  layers = connectivity.edge_layers()
  _check_layers(layers, len(statistics.weight_mean))
  normalised = tuple(
    # A channel that an edge does not have stays zero.
    jnp.where(
      has,
      (w - weight_mean[layer].astype(w.dtype))
      / weight_std[layer].astype(w.dtype),
      0,
    )
    for w, layer, has in zip(
      weights, layers, connectivity.edge_channels(), strict=True
    )
  )
  rows = connectivity.node_ids('layer')
  biases = (biases - bias_mean[rows][:, None].astype(biases.dtype)) / bias_std[
    rows
  ][:, None].astype(biases.dtype)
  return normalised, biases


def _check_layers(layers: tuple[Any, ...], known: int) -> None:
  needed = 1 + max((i for i in layers if isinstance(i, int)), default=-1)
  if needed > known:
    raise ValueError(
      f'statistics must cover every layer of the graph, {needed}, got {known}; '
      'compute them with weights.statistics.from_networks over all '
      'architectures.'
    )
