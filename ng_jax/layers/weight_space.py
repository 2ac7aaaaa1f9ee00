# SPDX-License-Identifier: Apache-2.0
"""Features of every weight and bias of a chain of layers.

Models that act on weights directly, and not on a graph, keep one array per
layer of the network that they read. This works for plain chains of linear and
convolutional layers, which is what those models are defined for.
"""

import flax.struct
import jax
import jax.numpy as jnp
import jraph

from ng_jax import graphs
from ng_jax import specs
from ng_jax.graphs import encoding


class WeightSpace(flax.struct.PyTreeNode):
  """Features of the weights and biases of layers 1 to L.

  Attributes:
    weights: per layer [batch, num_sources, num_targets, channels * area]. The
      area is the number of kernel entries, 1 for a linear layer; entry k of
      channel c is number c * area + k.
    biases: per layer [batch, num_targets, channels].
    areas: static, per layer.
  """

  weights: tuple[jax.Array, ...]
  biases: tuple[jax.Array, ...]
  areas: tuple[int, ...] = flax.struct.field(pytree_node=False)

  @property
  def num_layers(self) -> int:
    """Number of layers, L."""
    return len(self.areas)


def check_chain(spec: specs.NetworkSpec) -> None:
  """Refuses networks that are no plain chain of layers.

  Args:
    spec: of the network.

  Raises:
    ValueError: names the block or neuron set that does not fit.

  Jit: static.
  """
  names = [s.name for s in spec.neuron_sets]
  problems = []
  for i, block in enumerate(spec.blocks):
    if block.type not in ('linear', 'conv') or block.kind != 'dense':
      problems.append(f'block {block.name!r} is a {block.kind} {block.type}')
    elif [block.source, block.target] != names[i : i + 2]:
      ends = f'{block.source!r} -> {block.target!r}'
      problems.append(f'block {block.name!r} leads {ends}')
  for leaf in spec.leaves:
    if leaf.kind == 'node' and leaf.fills == names[0]:
      problems.append(f'the input set {leaf.fills!r} has a bias')
    elif leaf.kind == 'node' and leaf.slot + spec.layout(leaf).num_channels > 1:
      problems.append(f'neuron set {leaf.fills!r} has several biases a neuron')
  if problems:
    raise ValueError(
      'this model reads plain chains of linear and convolutional layers '
      '(no skips, norms or attention; one layer after the other), but '
      f"{problems[0]}; read such networks with 'ng_gnn' or 'ng_t'."
    )


def read(graph: jraph.GraphsTuple) -> WeightSpace:
  """Reads the raw weights and biases out of graphs of one spec.

  Args:
    graph: as `graphs.encode` returns it, with one leading batch axis.

  Returns:
    Features with one channel; a layer without biases has zeros. Jit: yes.

  Raises:
    ValueError: a graph that is not of one spec, or has no weights or not
      exactly one batch axis; networks that are no plain chain.
  """
  connectivity = graphs.connect(graph)  # Checks the fields and the batch axis.
  edges = graph.edges[encoding.WEIGHT]
  if not isinstance(edges, graphs.EdgeBlocks):
    raise ValueError(
      'this model reads networks of one spec, so graph must be as '
      'graphs.encode returns it, got one whose edges are joined in one array '
      '(graphs.flatten, or a mixed batch); give the encoded graph, or read '
      "mixed batches with 'ng_gnn' or 'ng_t'."
    )
  topology = edges.topology
  check_chain(topology.spec)
  nodes = connectivity.node_features()
  biases = tuple(nodes[:, slice(*b.target)] for b in topology.blocks)
  areas = tuple(b.block.num_channels for b in topology.blocks)
  return WeightSpace(edges.arrays, biases, areas)


def write(topology: graphs.Topology, space: WeightSpace) -> specs.Weights:
  """Makes weights of features with one channel; the inverse of `read`.

  Args:
    topology: of the networks' spec.
    space: weights [batch, num_sources, num_targets, area] and biases
      [batch, num_targets, 1].

  Returns:
    Leaves [batch, *leaf_shape]; what the spec has no leaf for is dropped.
    Jit: yes, with `topology` static.
  """
  batch = space.biases[0].shape[0]
  num_inputs = topology.spec.neuron_sets[0].size
  inputs = jnp.zeros((batch, num_inputs, 1), space.biases[0].dtype)
  graph = jraph.GraphsTuple(
    nodes={encoding.BIAS: jnp.concatenate([inputs, *space.biases], axis=1)},
    edges={encoding.WEIGHT: graphs.EdgeBlocks(space.weights, topology)},
    globals=None,
    senders=None,
    receivers=None,
    n_node=None,
    n_edge=None,
  )
  return graphs.decode(topology, graph)
