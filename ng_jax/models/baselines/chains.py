# SPDX-License-Identifier: Apache-2.0
"""Plain chains of linear layers, as baselines read and write them.

A baseline that stacks or flattens weights needs networks of one spec, a chain:
each layer reads the one before it and nothing else.
"""

import functools
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp
import jraph

from ng_jax import graphs
from ng_jax import specs


class Chain(NamedTuple):
  """Weights and biases of num_layers layers.

  Attributes:
    weights: per layer [num_graphs, inputs, outputs, features].
    biases: per layer [num_graphs, outputs, features].
  """

  weights: tuple[jax.Array, ...]
  biases: tuple[jax.Array, ...]


@functools.cache
def check_spec(
  spec: specs.NetworkSpec, *, reader: str, min_layers: int = 1
) -> None:
  """Refuses networks that are no chain of linear layers.

  Args:
    spec: of the networks.
    reader: what reads them, for the message.
    min_layers: fewest linear layers it can read.

  Raises:
    ValueError: says which block is out of place. Jit: static.
  """
  names = [s.name for s in spec.neuron_sets]
  for i, block in enumerate(spec.blocks):
    if (block.source, block.target) != tuple(names[i : i + 2]) or (
      block.type,
      block.kind,
    ) != ('linear', 'dense'):
      raise ValueError(
        f'{reader} reads plain chains of linear layers, got the {block.type} '
        f'block {block.name!r} from {block.source!r} to {block.target!r} as '
        f'layer {i + 1}; use ng_gnn, ng_t or statnn for other networks.'
      )
  if len(spec.blocks) < min_layers:
    raise ValueError(
      f'{reader} reads networks of at least {min_layers} linear layers, got '
      f'{len(spec.blocks)}; use ng_gnn, ng_t, mlp or statnn for shallow ones.'
    )


def topology_of(graph: jraph.GraphsTuple, *, reader: str) -> graphs.Topology:
  """The topology that the graphs of a batch share.

  Args:
    graph: of a batch.
    reader: what reads them, for the message.

  Returns:
    The topology. Jit: static.

  Raises:
    ValueError: a batch in a padded layout, or without exactly one batch axis.
  """
  edges = graph.edges.get('weight') if graph.edges else None
  if not isinstance(edges, graphs.EdgeBlocks):
    raise ValueError(
      f'{reader} reads networks of one spec, as graphs.encode gives them, got '
      'a graph without blocks (of graphs.flatten, concatenate or stack); use '
      'ng_gnn, ng_t or statnn for mixed batches.'
    )
  if graph.n_node.ndim != 2:
    raise ValueError(
      f'{reader} needs exactly one leading batch axis, got batch shape '
      f'{graph.n_node.shape[:-1]}; add an axis with weights[None] or reshape.'
    )
  return edges.topology


class ChainReader(nn.Module):
  """Takes a chain out of a batch of graphs, and normalises it.

  Attributes:
    reader: name of the model, for messages.
    statistics: `weights.Statistics`, one mean and standard deviation per layer
      for weights and one for biases, or None.
    min_layers: fewest linear layers.
    dtype: of the result; None keeps the weights'.
  """

  reader: str
  statistics: Any = None
  min_layers: int = 1
  dtype: Any = None

  @nn.compact
  def __call__(self, graph: jraph.GraphsTuple) -> Chain:
    """Reads the networks.

    Args:
      graph: of `graphs.encode` with one batch axis.

    Returns:
      The chain. Jit: yes; differentiable.

    Raises:
      ValueError: another layout, no chain, too few layers.
    """
    topology = topology_of(graph, reader=self.reader)
    check_spec(topology.spec, reader=self.reader, min_layers=self.min_layers)
    weights = graph.edges['weight'].arrays
    ranges = list(topology.node_ranges.values())[1:]
    biases = tuple(graph.nodes['bias'][:, a:b] for a, b in ranges)
    if self.statistics is not None:
      weights = self._normalise(weights, 'weight')
      biases = self._normalise(biases, 'bias')
    if self.dtype is not None:
      weights, biases = jax.tree.map(
        lambda x: x.astype(self.dtype), (weights, biases)
      )
    return Chain(weights, biases)

  def _normalise(
    self, arrays: tuple[jax.Array, ...], kind: str
  ) -> tuple[jax.Array, ...]:
    mean, std = (
      self.variable(
        'constants',
        f'{kind}_{name}',
        jnp.asarray,
        getattr(self.statistics, f'{kind}_{name}'),
      ).value
      for name in ('mean', 'std')
    )
    return tuple(
      (x - mean[i].astype(x.dtype)) / std[i].astype(x.dtype)
      for i, x in enumerate(arrays)
    )


def to_weights(graph: jraph.GraphsTuple, chain: Chain) -> dict[str, Any]:
  """Writes a chain as a tree of weights of the graphs' spec.

  Args:
    graph: that the chain was read from.
    chain: values, such as updates, with as many features as the weights have.

  Returns:
    Leaves [num_graphs, *leaf_shape]. Jit: yes; differentiable.
  """
  topology = graph.edges['weight'].topology
  first = chain.biases[0]
  inputs = topology.spec.neuron_sets[0].size
  before = jnp.zeros((first.shape[0], inputs, first.shape[-1]), first.dtype)
  return graphs.decode(
    topology,
    graph._replace(
      nodes={'bias': jnp.concatenate([before, *chain.biases], axis=1)},
      edges={'weight': graphs.EdgeBlocks(chain.weights, topology)},
    ),
  )


class OutputScales(nn.Module):
  """Learned factors, one per tensor, of what an editing baseline returns.

  Attributes:
    initial: their first value.
  """

  initial: float = 0.01

  @nn.compact
  def __call__(self, chain: Chain) -> Chain:
    """Multiplies each tensor by its factor.

    Args:
      chain: of any features.

    Returns:
      A chain of the same shapes. Jit: yes.
    """

    def scale(kind: str, layer: int, x: jax.Array) -> jax.Array:
      factor = self.param(
        f'{kind}_{layer}', nn.initializers.constant(self.initial), ()
      )
      return x * factor.astype(x.dtype)

    return Chain(
      tuple(scale('weight', i, x) for i, x in enumerate(chain.weights)),
      tuple(scale('bias', i, x) for i, x in enumerate(chain.biases)),
    )
