# SPDX-License-Identifier: Apache-2.0
"""Message passing of NG-GNN: PNA with FiLM-modulated edges (paper, sec. 3).

Each layer is written once over a `graphs.Connectivity`. What depends on a node
alone is multiplied before it is spread over the node's edges.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import graphs
from ng_jax import numerics
from ng_jax.layers import linear

_STD_FLOOR = 1e-5


def aggregate_pna(
  edges: graphs.EdgeGroups,
  connectivity: graphs.Connectivity,
  *,
  zero_small_std: bool = False,
) -> jax.Array:
  """Mean, min, max and standard deviation of incoming messages.

  std = sqrt(max(mean(m^2) - mean(m)^2, 1e-5)), the rule of torch_geometric
  2.3.0; its gradient is zero where the floor is reached.

  Args:
    edges: messages, [..., features] per group.
    connectivity: of the batch.
    zero_small_std: newer rule, zero instead of the floor.

  Returns:
    [..., 4 features]; mean = min = max = 0 where no edge ends. Jit: yes.
  """
  found = connectivity.aggregate(edges)
  variance = found['mean_square'] - found['mean'] ** 2
  std = jnp.sqrt(jnp.maximum(variance, _STD_FLOOR))
  if zero_small_std:
    std = jnp.where(variance > _STD_FLOOR, std, jnp.zeros_like(std))
  return jnp.concatenate(
    [found['mean'], found['min'], found['max'], std], axis=-1
  )


class PNAConv(nn.Module):
  """Principal neighbourhood aggregation with edge-modulated messages.

  Attributes:
    features: width F of nodes and messages.
    degree_constant: delta, mean of log(degree + 1) over training graphs.
    modulation: 'film' (scale and shift), 'gate' (sigmoid scale) or 'concat'.
    zero_small_std: see `aggregate_pna`.
    dtype: computation dtype.
  """

  features: int
  degree_constant: float
  modulation: str = 'film'
  zero_small_std: bool = False
  dtype: Any = None

  @nn.compact
  def __call__(
    self,
    nodes: jax.Array,
    edges: linear.Groups,
    connectivity: graphs.Connectivity,
  ) -> jax.Array:
    """One round of messages.

    Args:
      nodes: [..., F].
      edges: groups [..., edge_size], perhaps deferred.
      connectivity: of the batch.

    Returns:
      New nodes [..., F]. Jit: yes.

    Raises:
      ValueError: unknown modulation.
    """
    rules = {'film': self._film, 'gate': self._gate, 'concat': self._concat}
    if self.modulation not in rules:
      raise ValueError(
        f'unknown modulation {self.modulation!r}; expected one of '
        f'{sorted(rules)}.'
      )
    messages = rules[self.modulation](nodes, edges, connectivity)
    # Four aggregations read every message.
    messages = tuple(map(numerics.materialize, messages))
    received = aggregate_pna(
      messages, connectivity, zero_small_std=self.zero_small_std
    )
    delta = self.variable(
      'constants', 'degree_constant', lambda: jnp.asarray(self.degree_constant)
    ).value
    amplify = jnp.log(connectivity.in_degree() + 1.0) / delta
    # D_i = [A_i, A_i log(deg_i + 1) / delta], x' = Linear(Linear([x_i, D_i])).
    post = linear.SplitLinear(self.features, dtype=self.dtype, name='post')
    own, identity, amplified = post(nodes, received, received)
    amplify = amplify.astype(amplified.dtype)
    return self._linear(self.features, 'out')(
      own + identity + amplify * amplified
    )

  def _linear(self, features: int, name: str) -> linear.Linear:
    return linear.Linear(features, dtype=self.dtype, name=name)

  def _encoder(self) -> linear.PairLinear:
    return linear.PairLinear(
      self.features, dtype=self.dtype, name='edge_encoder'
    )

  def _endpoint_sums(
    self,
    nodes: jax.Array,
    connectivity: graphs.Connectivity,
  ) -> graphs.EdgeGroups:
    """Linear([x_i, x_j]) = A x_i + B x_j, target first."""
    pre = linear.SplitLinear(self.features, dtype=self.dtype, name='pre')
    of_target, of_source = pre(nodes, nodes)
    return connectivity.endpoint_sums(of_source, of_target)

  def _film(
    self,
    nodes: jax.Array,
    edges: linear.Groups,
    connectivity: graphs.Connectivity,
  ) -> graphs.EdgeGroups:
    sums = self._endpoint_sums(nodes, connectivity)
    return tuple(
      scale * pair + shift
      for pair, (scale, shift) in zip(sums, self._encoder()(edges), strict=True)
    )

  def _gate(
    self,
    nodes: jax.Array,
    edges: linear.Groups,
    connectivity: graphs.Connectivity,
  ) -> graphs.EdgeGroups:
    sums = self._endpoint_sums(nodes, connectivity)
    return tuple(
      nn.sigmoid(gate) * pair
      for pair, (gate, _) in zip(sums, self._encoder()(edges), strict=True)
    )

  def _concat(
    self,
    nodes: jax.Array,
    edges: linear.Groups,
    connectivity: graphs.Connectivity,
  ) -> graphs.EdgeGroups:
    encoded = self._linear(self.features, 'edge_encoder')(edges)
    pre = linear.SplitLinear(self.features, dtype=self.dtype, name='pre')
    of_target, of_source, of_edges = pre(nodes, nodes, encoded)
    sums = connectivity.endpoint_sums(of_source, of_target)
    return tuple(map(jnp.add, sums, of_edges))


class EdgeUpdate(nn.Module):
  """e <- Linear(SiLU(Linear(e) + Linear(x_source) + Linear(x_target))).

  Attributes:
    features: width of the edges.
    dtype: computation dtype.
    deferred: leaves the outer product to those who read the edges.
  """

  features: int
  dtype: Any = None
  deferred: bool = False

  @nn.compact
  def __call__(
    self,
    nodes: jax.Array,
    edges: linear.Groups,
    connectivity: graphs.Connectivity,
  ) -> Any:
    """Updates every edge from its endpoints.

    Args:
      nodes: [..., F].
      edges: groups [..., edge_size], perhaps deferred.
      connectivity: of the batch.

    Returns:
      Groups of the same shapes, deferred if so asked. Jit: yes.
    """

    def layer(name: str) -> linear.Linear:
      return linear.Linear(self.features, dtype=self.dtype, name=name)

    sums = connectivity.endpoint_sums(
      layer('source')(nodes), layer('target')(nodes)
    )
    hidden = tuple(
      nn.silu(of_edge + ends)
      for of_edge, ends in zip(layer('edge')(edges), sums, strict=True)
    )
    if self.deferred:
      return linear.DeferredLinear(self.features, name='out')(hidden)
    return layer('out')(hidden)


class GraphNorm(nn.Module):
  """Layer norm over nodes and features, y = (x - mean) / (std + 1e-5) g + b.

  The reference normalises over the whole mini-batch ('batch'), so that a
  prediction depends on its neighbours; the default is each graph by itself,
  which equals the reference on one graph.

  Attributes:
    mode: 'graph', 'batch', or 'node' (ordinary LayerNorm, epsilon in the root).
    dtype: of the result; moments are taken in at least float32.
  """

  mode: str = 'graph'
  dtype: Any = None

  @nn.compact
  def __call__(
    self, nodes: jax.Array, connectivity: graphs.Connectivity
  ) -> jax.Array:
    """Normalises.

    Args:
      nodes: [..., F].
      connectivity: of the batch.

    Returns:
      [..., F]. Jit: yes.

    Raises:
      ValueError: unknown mode.
    """
    if self.mode not in ('graph', 'batch', 'node'):
      raise ValueError(
        f"unknown norm mode {self.mode!r}; expected one of ['batch', 'graph', "
        "'node']."
      )
    if self.mode == 'node':
      return linear.layer_norm('node', dtype=self.dtype)(nodes)
    features = nodes.shape[-1]
    scale = self.param('scale', nn.initializers.ones_init(), (features,))
    bias = self.param('bias', nn.initializers.zeros_init(), (features,))
    x = nodes.astype(jnp.promote_types(nodes.dtype, jnp.float32))
    mean, variance = connectivity.graph_moments(
      x, over_batch=self.mode == 'batch'
    )
    # sqrt has an infinite slope at 0 (padding, constant graphs).
    positive = variance > 0
    std = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)
    y = (x - mean) / (std + 1e-5) * scale + bias
    return y.astype(nodes.dtype)
