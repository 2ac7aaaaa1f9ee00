# SPDX-License-Identifier: Apache-2.0
"""Probe features: what every neuron answers to learned inputs (paper, sec. 3).

Learned inputs are pushed through the network that is read, with its raw
weights; each neuron's activations on them are projected, normalised and added
to its node embedding. Invariant to hidden permutations like the neuron itself.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import graphs
from ng_jax.layers import linear


def _uniform(
  key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32
) -> jax.Array:
  return jax.random.uniform(key, shape, dtype, -1.0, 1.0)


class ProbeFeatures(nn.Module):
  """Per-neuron projections of the activations on learned probe inputs.

  Attributes:
    features: output width.
    num_probes: number of learned inputs, initialised U(-1, 1).
    network: with `spec` and `activations(weights, x)`; every graph of the batch
      must be one of its networks.
  """

  features: int
  num_probes: int
  network: Any

  @nn.compact
  def __call__(self, connectivity: graphs.Connectivity) -> jax.Array:
    """Runs the probes.

    Args:
      connectivity: of graphs that carry their weights.

    Returns:
      [..., features] for every node. Jit: yes.

    Raises:
      ValueError: no network was given.
    """
    if self.network is None:
      raise ValueError(
        f'num_probes={self.num_probes} needs the network that the probes run '
        'through, got network=None; give network=networks.Siren(...), or set '
        'num_probes=0.'
      )
    num_inputs = self.network.spec.num_inputs
    probes = self.param('inputs', _uniform, (self.num_probes, num_inputs))
    values = self.network.activations(connectivity.network_weights(), probes)
    rows = []
    for i, activation in enumerate(values):
      projection = linear.Linear(self.features, name=f'projection_{i}')
      norm = linear.layer_norm(f'norm_{i}')
      row = norm(projection(jnp.swapaxes(activation, -1, -2)))
      # The inputs' activations are the probes themselves, for every graph.
      rows.append(
        jnp.broadcast_to(row, (connectivity.num_graphs, *row.shape[-2:]))
      )
    return connectivity.from_dense_nodes(jnp.concatenate(rows, axis=-2))
