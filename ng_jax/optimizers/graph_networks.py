# SPDX-License-Identifier: Apache-2.0
"""NG-GNN and NG-T as optimizers (l2o spec 3.5, 3.6).

The neural graph of the optimizee, with features of its parameters on nodes and
edges, passes through the layers of the paper; what comes out is the context of
the update head. Every layer permutes with the hidden neurons, hence the updates
do.
"""

import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import layers
from ng_jax import specs
from ng_jax.layers import linear
from ng_jax.optimizers import graph_inputs
from ng_jax.optimizers import graph_reading
from ng_jax.optimizers import head
from ng_jax.optimizers import positions
from ng_jax.optimizers import spec_optimizer


class _GraphNetwork(nn.Module):
  """What both networks share: input stage and head.

  Attributes:
    spec: of the optimizee.
    features: width of nodes and edges.
    num_layers: of the body.
    indexing: of `positions.SinusoidalPositions`.
    head_sizes: hidden layers of the head.
    step_scale: see `head.UpdateHead`.
    max_exponent: see `head.UpdateHead`.
    compat_reference_indexing: see `NeuralGraphGNN` and
      `NeuralGraphTransformer`.
  """

  spec: specs.NetworkSpec
  features: int
  num_layers: int
  indexing: str
  head_sizes: tuple[int, ...]
  step_scale: float
  max_exponent: float | None
  compat_reference_indexing: bool

  def embed(
    self,
    reader: graph_reading.GraphReader,
    inputs: graph_reading.Features,
    *,
    reverse: bool,
  ) -> tuple[Any, Any, Any]:
    """Nodes with positions, edge groups, the vector of no edge."""
    nodes, edges, fill = graph_inputs.GraphProjection(
      self.features, reverse, name='embedding'
    )(reader, inputs)
    place = positions.SinusoidalPositions(
      self.features, self.indexing, name='positions'
    )(reader.topology.node_ids)
    return nodes + place.astype(nodes.dtype), edges, fill

  def write(
    self,
    reader: graph_reading.GraphReader,
    inputs: graph_reading.Features,
    nodes: jax.Array,
    edges: Any,
  ) -> dict[str, jax.Array]:
    """Updates from contexts of nodes and forward edges."""
    paths, features, contexts = reader.rows(inputs, nodes, edges)
    updates = head.UpdateHead(
      self.head_sizes, self.step_scale, self.max_exponent, name='head'
    )(features, contexts)
    return reader.fold(paths, updates)


class _OutputMap(nn.Module):
  """Linear layers of one width with ReLU between.

  Attributes:
    features: width.
    num_layers: of them.
  """

  features: int
  num_layers: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    for i in range(self.num_layers):
      x = nn.relu(x) if i else x
      x = linear.Linear(self.features, name=f'layer_{i}')(x)
    return x


class GNNNetwork(_GraphNetwork):
  """Message passing with edge updates, as in NG-GNN.

  Attributes: those of `_GraphNetwork` and
    degree_constant: delta of PNA, fixed when meta-training.
  """

  degree_constant: float

  @nn.compact
  def __call__(self, inputs: graph_reading.Features) -> dict[str, jax.Array]:
    """Computes updates.

    Args:
      inputs: {path: [num_features, *shape]}.

    Returns:
      {path: update [*shape]}. Jit: yes.
    """
    reader = graph_reading.GraphReader(self.spec, tuple(inputs))
    nodes, edges, _ = self.embed(reader, inputs, reverse=True)
    connectivity = reader.connect(nodes, reverse=True)
    for i in range(self.num_layers):
      nodes = layers.PNAConv(
        self.features,
        self.degree_constant,
        zero_small_std=True,
        name=f'conv_{i}',
      )(nodes, edges, connectivity)
      if i == self.num_layers - 1:
        break
      nodes = layers.GraphNorm(name=f'norm_{i}')(nodes, connectivity)
      nodes = nn.silu(nodes)
      edges = layers.EdgeUpdate(
        self.features, deferred=True, name=f'edge_update_{i}'
      )(nodes, edges, connectivity)
    of_edge = _OutputMap(self.features, 2, name='edge_out')
    of_node = _OutputMap(self.features, 2, name='node_out')(nodes)
    if self.compat_reference_indexing:
      # Biases are read from the first node on, not from the first with a bias.
      of_node = jnp.roll(of_node, self.spec.num_inputs, axis=1)
    forward = connectivity.forward_edges(layers.multiplied_out(edges))
    return self.write(reader, inputs, of_node, tuple(map(of_edge, forward)))


class TransformerNetwork(_GraphNetwork):
  """Relational attention over all pairs of nodes, as in NG-T.

  Attributes: those of `_GraphNetwork` and
    num_heads: of the attention.
  """

  num_heads: int

  @nn.compact
  def __call__(self, inputs: graph_reading.Features) -> dict[str, jax.Array]:
    """Computes updates.

    Args:
      inputs: {path: [num_features, *shape]}.

    Returns:
      {path: update [*shape]}. Jit: yes.
    """
    reader = graph_reading.GraphReader(self.spec, tuple(inputs))
    nodes, groups, fill = self.embed(reader, inputs, reverse=False)
    connectivity = reader.connect(nodes, reverse=False)
    edges = connectivity.to_dense_edges(groups, fill=fill)
    if self.compat_reference_indexing:
      nodes, edges = self._add_class_token(nodes, edges)
    for i in range(self.num_layers):
      nodes, edges = layers.RelationalBlock(
        self.features,
        self.num_heads,
        2 * self.features,
        2 * self.features,
        name=f'block_{i}',
      )(nodes, edges)
    out = _OutputMap(self.features, 3, name='out')
    if self.compat_reference_indexing:
      # Reads all one too early, the token first.
      nodes, edges = nodes[:, :-1], edges[:, :-1, :-1]
    found = connectivity.from_dense_edges(edges)
    return self.write(reader, inputs, out(nodes), tuple(map(out, found)))

  def _add_class_token(
    self, nodes: jax.Array, edges: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """A learned node without edges before all others."""
    token = self.param(
      'class_token', nn.initializers.normal(1.0), (self.features,)
    )
    token = token.astype(nodes.dtype)[None, None]
    nodes = jnp.concatenate([token, nodes], axis=1)
    return nodes, jnp.pad(edges, [(0, 0), (1, 0), (1, 0), (0, 0)])


@dataclasses.dataclass(frozen=True)
class NeuralGraphGNN(spec_optimizer.SpecOptimizer):
  """NG-GNN (l2o spec 3.5).

  Attributes: those of `PerParameterOptimizer` and
    features: width of nodes, edges and head.
    num_layers: rounds of message passing.
    num_head_layers: hidden layers of the head; the reference ties them to
      `num_layers`.
    indexing: of positions: 'running' (the paper's) or 'role'.
    degree_constant: delta of PNA, mean log(in-degree + 1); 2.3173 for the
      paper's CNN of layout (1, 16, 32, 32, 10).
    compat_reference_indexing: a defect of the reference, for ablations: the
      context of each bias is that of another node, too early by the number of
      inputs, so that updates do not permute with the neurons.
  """

  features: int = 64
  num_layers: int = 8
  num_head_layers: int = 8
  indexing: str = 'running'
  degree_constant: float = 2.3173
  compat_reference_indexing: bool = False

  def network(self, paths: tuple[str, ...]) -> nn.Module:
    del paths
    return GNNNetwork(
      self.given_spec(),
      self.features,
      self.num_layers,
      self.indexing,
      (self.features,) * self.num_head_layers,
      degree_constant=self.degree_constant,
      compat_reference_indexing=self.compat_reference_indexing,
      **self.head_options(),
    )


@dataclasses.dataclass(frozen=True)
class NeuralGraphTransformer(spec_optimizer.SpecOptimizer):
  """NG-T (l2o spec 3.6, with the block of the paper's other experiments).

  Attributes: those of `PerParameterOptimizer` and
    features: width of nodes, edges, attention and head.
    num_heads: of the attention.
    num_layers: blocks.
    num_head_layers: hidden layers of the head.
    indexing: of positions: 'running' (the paper's) or 'role'.
    compat_reference_indexing: a defect of the reference, for ablations: there
      is a class token before the nodes, and contexts are read as if it were
      the first node, so that updates do not permute with the neurons.
  """

  features: int = 32
  num_heads: int = 4
  num_layers: int = 2
  num_head_layers: int = 2
  indexing: str = 'running'
  compat_reference_indexing: bool = False

  def network(self, paths: tuple[str, ...]) -> nn.Module:
    del paths
    return TransformerNetwork(
      self.given_spec(),
      self.features,
      self.num_layers,
      self.indexing,
      (self.features,) * self.num_head_layers,
      num_heads=self.num_heads,
      compat_reference_indexing=self.compat_reference_indexing,
      **self.head_options(),
    )
