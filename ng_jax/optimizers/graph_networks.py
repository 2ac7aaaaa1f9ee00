# SPDX-License-Identifier: Apache-2.0
"""NG-GNN and NG-T as optimizers (l2o spec 3.5, 3.6).

The neural graph of the optimizee, with features of its parameters on nodes and
edges, passes through the layers of the paper; what comes out is the context of
the update head. Every layer permutes with the hidden neurons, hence the updates
do.
"""

import dataclasses
from typing import Any, ClassVar

from flax import linen as nn
import jax

from ng_jax import layers
from ng_jax import specs
from ng_jax.layers import linear
from ng_jax.optimizers import graph_inputs
from ng_jax.optimizers import graph_reading
from ng_jax.optimizers import head
from ng_jax.optimizers import per_parameter
from ng_jax.optimizers import positions

# Small network with every kind of part, to draw theta with.
_EXAMPLE = specs.mlp((1, 2, 1))


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
  """

  spec: specs.NetworkSpec
  features: int
  num_layers: int
  indexing: str
  head_sizes: tuple[int, ...]
  step_scale: float
  max_exponent: float | None

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

  def mlp(self, num_layers: int, name: str) -> nn.Module:
    """Linear layers of one width with ReLU between."""
    parts: list[Any] = []
    for _ in range(num_layers - 1):
      parts += [linear.Linear(self.features), nn.relu]
    return nn.Sequential([*parts, linear.Linear(self.features)], name=name)


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
      edges = layers.EdgeUpdate(self.features, name=f'edge_update_{i}')(
        nodes, edges, connectivity
      )
    of_edge = self.mlp(2, 'edge_out')
    forward = connectivity.forward_edges(edges)
    return self.write(
      reader,
      inputs,
      self.mlp(2, 'node_out')(nodes),
      tuple(map(of_edge, forward)),
    )


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
    for i in range(self.num_layers):
      nodes, edges = layers.RelationalBlock(
        self.features,
        self.num_heads,
        2 * self.features,
        2 * self.features,
        name=f'block_{i}',
      )(nodes, edges)
    out = self.mlp(3, 'out')
    found = connectivity.from_dense_edges(edges)
    return self.write(reader, inputs, out(nodes), tuple(map(out, found)))


@dataclasses.dataclass(frozen=True)
class _GraphOptimizer(per_parameter.PerParameterOptimizer):
  """Checks that both need."""

  needs_spec: ClassVar[bool] = True

  def check_params(self, params: dict[str, jax.Array]) -> None:
    spec = self.given_spec()
    prefix = graph_reading.path_prefix(spec, tuple(params))
    for leaf in spec.leaves:
      expected = spec.leaf_shape(leaf)
      found = params.get(prefix + leaf.path)
      if found is not None and found.shape != expected:
        raise ValueError(
          f'params at {leaf.path!r} must have the shape of the spec, '
          f'{expected}, got {found.shape}; infer the spec from the same module.'
        )

  def example(self) -> tuple[nn.Module, dict[str, tuple[int, ...]]]:
    small = dataclasses.replace(self, spec=_EXAMPLE)
    shapes = {leaf.path: _EXAMPLE.leaf_shape(leaf) for leaf in _EXAMPLE.leaves}
    return small.network(tuple(shapes)), shapes


@dataclasses.dataclass(frozen=True)
class NeuralGraphGNN(_GraphOptimizer):
  """NG-GNN (l2o spec 3.5).

  Attributes: those of `PerParameterOptimizer` and
    features: width of nodes, edges and head.
    num_layers: rounds of message passing.
    num_head_layers: hidden layers of the head; the reference ties them to
      `num_layers`.
    indexing: of positions: 'running' (the paper's) or 'role'.
    degree_constant: delta of PNA, mean log(in-degree + 1); 2.3173 for the
      paper's CNN of layout (1, 16, 32, 32, 10).
  """

  features: int = 64
  num_layers: int = 8
  num_head_layers: int = 8
  indexing: str = 'running'
  degree_constant: float = 2.3173

  def network(self, paths: tuple[str, ...]) -> nn.Module:
    del paths
    return GNNNetwork(
      self.given_spec(),
      self.features,
      self.num_layers,
      self.indexing,
      (self.features,) * self.num_head_layers,
      degree_constant=self.degree_constant,
      **self.head_options(),
    )


@dataclasses.dataclass(frozen=True)
class NeuralGraphTransformer(_GraphOptimizer):
  """NG-T (l2o spec 3.6, with the block of the paper's other experiments).

  Attributes: those of `PerParameterOptimizer` and
    features: width of nodes, edges, attention and head.
    num_heads: of the attention.
    num_layers: blocks.
    num_head_layers: hidden layers of the head.
    indexing: of positions: 'running' (the paper's) or 'role'.
  """

  features: int = 32
  num_heads: int = 4
  num_layers: int = 2
  num_head_layers: int = 2
  indexing: str = 'running'

  def network(self, paths: tuple[str, ...]) -> nn.Module:
    del paths
    return TransformerNetwork(
      self.given_spec(),
      self.features,
      self.num_layers,
      self.indexing,
      (self.features,) * self.num_head_layers,
      num_heads=self.num_heads,
      **self.head_options(),
    )
