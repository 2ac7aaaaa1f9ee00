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
      [num_nodes or total_nodes, features], zero at padding and, where the
      topology is not known when compiling, at nodes that the table does not
      cover. Jit: yes.

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
    # What the table does not cover has no row, never another role's.
    places = {'input': index, 'hidden': depth - 1, 'output': index}
    rows = xp.select(
      [
        (role == structure.ROLES[name]) & (place < size)
        for (name, place), size in zip(places.items(), sizes, strict=True)
      ],
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
    vocabulary: activation names, one row each; nodes whose activation is not
      among them get zeros. The reference's seven come first.
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

    Raises:
      ValueError: a name in the vocabulary that no spec may have.
    """
    unknown = set(self.vocabulary) - set(specs.ACTIVATIONS)
    if unknown:
      raise ValueError(
        f'unknown activations {sorted(unknown)} in the vocabulary; expected '
        f'some of {sorted(specs.ACTIVATIONS)}.'
      )
    size = len(self.vocabulary)
    row_of = np.array(
      [
        self.vocabulary.index(name) if name in self.vocabulary else -1
        for name in specs.ACTIVATIONS
      ]
    )
    table = self.param(
      'table', nn.initializers.normal(1.0), (size, self.features)
    )
    hidden = connectivity.node_ids('role') == structure.ROLES['hidden']
    xp = np if isinstance(hidden, np.ndarray) else jnp
    rows = xp.asarray(row_of)[connectivity.node_ids('activation')]
    rows = xp.where(hidden, rows, -1)
    return jax.nn.one_hot(rows, size, dtype=table.dtype) @ table


class PlaceEmbedding(nn.Module):
  """One learned vector per position of a flattened map (spec 1.9).

  Attributes:
    num_places: rows; positions beyond get zeros where they are not known when
      compiling.
    features: width.
  """

  num_places: int
  features: int

  @nn.compact
  def __call__(self, connectivity: graphs.Connectivity) -> jax.Array:
    """Looks up the nodes' rows.

    Args:
      connectivity: of the graph, `flattening='repeat_nodes'`.

    Returns:
      [num_nodes or total_nodes, features], zero at all other nodes. Jit: yes.

    Raises:
      ValueError: a graph of known topology with more positions.
    """
    rows = connectivity.node_ids('place')
    if isinstance(rows, np.ndarray) and rows.max() >= self.num_places:
      raise ValueError(
        f'num_places must be at least {rows.max() + 1} for this graph, got '
        f'{self.num_places}.'
      )
    table = self.param(
      'table', nn.initializers.normal(1.0), (self.num_places, self.features)
    )
    return jax.nn.one_hot(rows, self.num_places, dtype=table.dtype) @ table
