# SPDX-License-Identifier: Apache-2.0
"""Embeddings that say which neuron a node is, and how it is activated."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import graphs
from ng_jax import specs
from ng_jax.graphs import structure


class PositionEmbedding(nn.Module):
  """One learned vector per input, per hidden layer and per output.

  Attributes:
    num_inputs: rows for input nodes.
    num_hidden_layers: rows for hidden layers.
    num_outputs: rows for output nodes, always the last of the table.
    features: width.
  """

  num_inputs: int
  num_hidden_layers: int
  num_outputs: int
  features: int

  @nn.compact
  def __call__(self, connectivity: graphs.Connectivity) -> jax.Array:
    """Looks up the nodes' rows.

    Args:
      connectivity: of the graph.

    Returns:
      [num_nodes or total_nodes, features], zero at padding. Jit: yes.

    Raises:
      ValueError: a graph of known topology that the table does not cover.
    """
    role = connectivity.node_ids('role')
    index = connectivity.node_ids('index')
    depth = connectivity.node_ids('depth')
    sizes = (self.num_inputs, self.num_hidden_layers, self.num_outputs)
    if isinstance(role, np.ndarray):
      self._check(role, index, depth)
    xp = np if isinstance(role, np.ndarray) else jnp
    rows = xp.select(
      [role == structure.ROLES[name] for name in ('input', 'hidden', 'output')],
      [index, sizes[0] + depth - 1, sizes[0] + sizes[1] + index],
      -1,
    )
    table = self.param(
      'table', nn.initializers.normal(1.0), (sum(sizes), self.features)
    )
    return jax.nn.one_hot(rows, sum(sizes), dtype=table.dtype) @ table

  def _check(
    self, role: np.ndarray, index: np.ndarray, depth: np.ndarray
  ) -> None:
    found = {
      'num_inputs': int(np.sum(role == structure.ROLES['input'])),
      'num_hidden_layers': len(set(depth[role == structure.ROLES['hidden']])),
      'num_outputs': int(np.sum(role == structure.ROLES['output'])),
    }
    for name, number in found.items():
      if number > getattr(self, name):
        raise ValueError(
          f'the position table has too few rows for this graph: {name} must '
          f'be at least {number}, got {getattr(self, name)}; create the model '
          'with the largest network it will read.'
        )


class ActivationEmbedding(nn.Module):
  """One learned vector per activation function, added to hidden nodes.

  Attributes:
    features: width.
    vocabulary: activation names; the reference's seven come first.
  """

  features: int
  vocabulary: tuple[str, ...] = specs.ACTIVATIONS

  @nn.compact
  def __call__(self, connectivity: graphs.Connectivity) -> jax.Array:
    """Looks up the nodes' rows.

    Args:
      connectivity: of the graph.

    Returns:
      [num_nodes or total_nodes, features], zero at inputs, outputs and padding.
      Jit: yes.
    """
    size = len(self.vocabulary)
    table = self.param(
      'table', nn.initializers.normal(1.0), (size, self.features)
    )
    hidden = connectivity.node_ids('role') == structure.ROLES['hidden']
    xp = np if isinstance(hidden, np.ndarray) else jnp
    rows = xp.where(hidden, connectivity.node_ids('activation'), -1)
    return jax.nn.one_hot(rows, size, dtype=table.dtype) @ table
