# SPDX-License-Identifier: Apache-2.0
"""StatNN: a perceptron on statistics of the weights (Unterthiner et al., 2020).

It sees the values of each tensor and not where they stand. Networks of one spec
need nothing special. For mixed batches the features are computed where the
batch is laid out, and lie in the globals of the graph:

    batch = graphs.concatenate(networks, budget)
    batch = statnn.with_statistics(batch, networks, model)
    prediction = model.apply(variables, batch)
"""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import jraph

from ng_jax import graphs
from ng_jax import specs
from ng_jax.layers import linear
from ng_jax.models.baselines import chains
from ng_jax.weights import summary

# Key in the globals of a graph: [num_graphs, features] float.
FEATURES = 'tensor_statistics'


class StatNN(nn.Module):
  """Three linear layers on `weights.tensor_statistics`.

  Attributes:
    num_outputs: width of the prediction.
    hidden_size: width of the hidden layers.
    order: 'interleaved' or 'split' (CNN Wild Park).
    max_layers: layers after padding; None for networks of one depth.
    align_last: keep the place of the last layer whatever the depth.
    linear_slots: see `weights.tensor_statistics`.
    statistics: `weights.Statistics` that normalise the raw values of a chain,
      or None. Features that come with the graph are taken as they are.
    dropout: rate.
    sigmoid: return probabilities and not logits, as the reference does for the
      small CNN zoo; its training loop applies a second sigmoid.
    dtype: computation dtype of the layers; None follows inputs and parameters.
  """

  num_outputs: int = 1
  hidden_size: int = 1000
  order: str = 'interleaved'
  max_layers: int | None = None
  align_last: bool = False
  linear_slots: int = 1
  statistics: Any = None
  dropout: float = 0.0
  sigmoid: bool = False
  dtype: Any = None

  @nn.compact
  def __call__(
    self, graph: jraph.GraphsTuple, *, train: bool = False
  ) -> jax.Array:
    """Predicts from networks.

    Args:
      graph: of `graphs.encode` with one batch axis, or any batch of
        `with_statistics`.
      train: whether dropout is on; needs the rng 'dropout'.

    Returns:
      [num_graphs, num_outputs] logits; rows of padding graphs mean nothing.
      Jit: yes.

    Raises:
      ValueError: a mixed batch without features; as
        `weights.tensor_statistics`.
    """
    x = self._features(graph)
    if self.dtype is not None:
      x = x.astype(self.dtype)
    dropout = nn.Dropout(self.dropout, deterministic=not train)
    widths = (self.hidden_size, self.hidden_size, self.num_outputs)
    for i, width in enumerate(widths):
      x = dropout(nn.relu(x)) if i else x
      x = linear.Linear(width, dtype=self.dtype, name=f'layer_{i}')(x)
    return nn.sigmoid(x) if self.sigmoid else x

  def options(self) -> dict[str, Any]:
    """Those of `weights.tensor_statistics` that the model has."""
    return {
      'order': self.order,
      'max_layers': self.max_layers,
      'align_last': self.align_last,
      'linear_slots': self.linear_slots,
    }

  def _features(self, graph: jraph.GraphsTuple) -> jax.Array:
    given = (graph.globals or {}).get(FEATURES)
    if given is not None:
      return jnp.asarray(given)
    if not isinstance((graph.edges or {}).get('weight'), graphs.EdgeBlocks):
      raise ValueError(
        f'StatNN reads a mixed batch with the global {FEATURES!r}, got '
        f'{sorted(graph.globals or {})}; add it with statnn.with_statistics, '
        'or give networks of one spec as graphs.encode does.'
      )
    topology = chains.topology_of(graph, reader='StatNN')
    weights = graph.globals['weights']
    if self.statistics is not None:
      chain = chains.ChainReader('StatNN', self.statistics, name='reader')(
        graph
      )
      weights = {
        **specs.leaf_arrays(weights),  # Buffers are not in the chain.
        **specs.leaf_arrays(chains.to_weights(graph, chain)),
      }
      weights = specs.from_leaf_arrays(weights)
    return summary.tensor_statistics(topology.spec, weights, **self.options())


def with_statistics(
  graph: jraph.GraphsTuple,
  networks: Sequence[tuple[graphs.Topology, specs.Weights]],
  model: StatNN,
) -> jraph.GraphsTuple:
  """Adds the features of a mixed batch to its globals.

  Args:
    graph: of `graphs.concatenate` or `graphs.stack`.
    networks: that it was made of.
    model: whose options say which features.

  Returns:
    The graph with the global 'tensor_statistics' [num_graphs, features], zeros
    for padding. Jit: no, host only.

  Raises:
    ValueError: as `weights.tensor_statistics`.
  """
  features = summary.of_networks(
    [(topology.spec, weights) for topology, weights in networks],
    num_graphs=graph.n_node.shape[0],
    **model.options(),
  )
  return graph._replace(globals={**(graph.globals or {}), FEATURES: features})
