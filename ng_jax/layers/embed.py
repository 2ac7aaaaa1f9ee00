# SPDX-License-Identifier: Apache-2.0
"""From raw biases and weights to node and edge embeddings (paper, sec. 2).

The order of the reference is kept: Gaussian Fourier features and a linear map,
probe features added to the nodes, a second linear map, then the embeddings of
position and activation.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import graphs
from ng_jax import numerics
from ng_jax import specs
from ng_jax.graphs import placing
from ng_jax.layers import identity
from ng_jax.layers import linear
from ng_jax.layers import normalise
from ng_jax.layers import probe


def _contract(values: jax.Array, matrix: Any) -> jax.Array:
  """Values [..., c] times matrix [c, d]; an outer product where c is 1."""
  if values.shape[-1] == 1:
    return values * matrix[0]
  return values @ matrix


class FeatureProjection(nn.Module):
  """Fourier features and a linear map of raw weights or biases.

  gamma(v) = [cos(2 pi B v), sin(2 pi B v)], B ~ N(0, scale^2) fixed (paper,
  appendix; Tancik et al., 2020), then Linear. Blocks with fewer channels than
  the common width multiply their own rows of B, so nothing is padded.

  Attributes:
    features: output width.
    fourier_size: rows of B; 0 maps the raw values linearly.
    fourier_scale: standard deviation of B.
    num_layers: linear layers; beyond the first with SiLU in between.
    dtype: computation dtype.
  """

  features: int
  fourier_size: int = 128
  fourier_scale: float = 3.0
  num_layers: int = 1
  dtype: Any = None

  @nn.compact
  def __call__(
    self,
    groups: tuple[jax.Array, ...],
    placements: tuple[np.ndarray, ...],
  ) -> graphs.EdgeGroups:
    """Projects each group with the same parameters.

    Args:
      groups: arrays [..., c_g] float.
      placements: per group [c_g, channels], where its features lie among the
        common channels.

    Returns:
      Arrays [..., features], one per group. Jit: yes.
    """
    channels = placements[0].shape[1]
    fan_in = 2 * self.fourier_size or channels
    kernel, bias = linear.linear_params(self, fan_in, self.features)
    frequencies = None
    if self.fourier_size:
      frequencies = self.variable(
        'constants',
        'frequencies',
        lambda: (
          self.fourier_scale
          * jax.random.normal(
            self.make_rng('params'), (self.fourier_size, channels)
          )
        ),
      ).value

    def project(values: jax.Array, placement: np.ndarray) -> jax.Array:
      if frequencies is None:
        placed = placement.astype(kernel.dtype) @ kernel
        values, placed, shift = nn.dtypes.promote_dtype(
          values, placed, bias, dtype=self.dtype
        )
        return _contract(values, placed) + shift
      own = placement.astype(frequencies.dtype) @ frequencies.T
      sine, cosine = numerics.sin_cos_turns(_contract(values, own))
      sine, cosine, maps, shift = nn.dtypes.promote_dtype(
        sine, cosine, kernel, bias, dtype=self.dtype
      )
      half = self.fourier_size
      return numerics.linear(cosine, maps[:half], shift) + numerics.linear(
        sine, maps[half:]
      )

    outputs = tuple(map(project, groups, placements))
    for i in range(1, self.num_layers):
      layer = linear.Linear(self.features, dtype=self.dtype, name=f'layer_{i}')
      outputs = tuple(layer(nn.silu(h)) for h in outputs)
    return outputs


class Embedded(NamedTuple):
  """What the input stage makes of a batch of graphs.

  Attributes:
    nodes: [..., node_size].
    edges: groups [..., edge_size], their last product deferred
      (`multiplied_out` carries it out).
    no_edge: [edge_size], what pairs without an edge carry.
    activations: [..., num_probes] of every neuron on the probe inputs, None
      without probes.
  """

  nodes: jax.Array
  edges: linear.Deferred
  no_edge: jax.Array
  activations: jax.Array | None


class GraphEmbedding(nn.Module):
  """The whole input stage of NG-GNN and NG-T.

  Attributes:
    node_size: width of node embeddings.
    edge_size: width of edge embeddings.
    fourier_size: see `FeatureProjection`.
    fourier_scale: see `FeatureProjection`.
    num_input_layers: see `FeatureProjection`.
    use_weights: False replaces projected weights by zeros (ablation).
    use_biases: False replaces projected biases by zeros (ablation).
    position_sizes: (inputs, hidden layers, outputs), or None for no positions.
    activation_embedding: whether to add activation embeddings.
    statistics: means and standard deviations that normalise the raw values; an
      object with tuples weight_mean, weight_std, bias_mean, bias_std.
    num_probes: probe inputs; 0 for none.
    network: the family that runs the probes, with `activations`.
    dtype: computation dtype.
    linear_as_conv: False gives edges of linear layers a first projection of
      their own.
    mirror_linear: whether it also takes their reverse edges.
    num_places: positions of flattened maps that have an embedding.
    activation_vocabulary: see `ActivationEmbedding`.
    probe_options: further fields of `ProbeFeatures`.
  """

  node_size: int
  edge_size: int
  fourier_size: int = 128
  fourier_scale: float = 3.0
  num_input_layers: int = 1
  use_weights: bool = True
  use_biases: bool = True
  position_sizes: tuple[int, int, int] | None = None
  activation_embedding: bool = False
  statistics: Any = None
  num_probes: int = 0
  network: Any = None
  dtype: Any = None
  linear_as_conv: bool = True
  mirror_linear: bool = False
  num_places: int = 0
  activation_vocabulary: tuple[str, ...] = specs.ACTIVATIONS
  probe_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @nn.compact
  def __call__(self, connectivity: graphs.Connectivity) -> Embedded:
    """Embeds the nodes and edges of a batch of graphs.

    Args:
      connectivity: of the batch.

    Returns:
      `Embedded`. Jit: yes.
    """
    weights, biases = normalise.normalise(self, self.statistics, connectivity)
    edges = self._project_edges(weights, connectivity)
    width = biases.shape[-1]
    (nodes,) = self._projection(self.node_size, 'node_projection')(
      (biases,), (np.eye(width, dtype=np.float32),)
    )
    edges = edges if self.use_weights else jax.tree.map(jnp.zeros_like, edges)
    nodes = nodes if self.use_biases else jnp.zeros_like(nodes)
    activations = None
    if self.num_probes:
      features, activations = probe.ProbeFeatures(
        self.node_size,
        self.num_probes,
        self.network,
        **self.probe_options,
        name='probes',
      )(connectivity)
      nodes = nodes + features
    nodes = linear.Linear(self.node_size, dtype=self.dtype, name='node_in')(
      nodes
    )
    all_edges = linear.DeferredLinear(self.edge_size, name='edge_in')(edges)
    embedded = all_edges._replace(groups=all_edges.groups[:-1])
    without_edge = all_edges._replace(groups=all_edges.groups[-1:])
    (no_edge,) = linear.multiplied_out(without_edge, self.dtype)
    if self.num_places:
      nodes = nodes + identity.PlaceEmbedding(
        self.num_places, self.node_size, name='places'
      )(connectivity).astype(nodes.dtype)
    if self.position_sizes:
      nodes = nodes + identity.PositionEmbedding(
        *self.position_sizes, self.node_size, name='positions'
      )(connectivity).astype(nodes.dtype)
    if self.activation_embedding:
      nodes = nodes + identity.ActivationEmbedding(
        self.node_size, self.activation_vocabulary, name='activations'
      )(connectivity).astype(nodes.dtype)
    return Embedded(nodes, embedded, no_edge, activations)

  def _project_edges(
    self, weights: graphs.EdgeGroups, connectivity: graphs.Connectivity
  ) -> graphs.EdgeGroups:
    """First projection of all edge groups, and last of pairs without edge."""
    channels = connectivity.placements[0].shape[1]
    no_edge = jnp.zeros((channels,), weights[0].dtype)
    empty = (no_edge, np.eye(channels, dtype=np.float32))
    shared = self._projection(self.edge_size, 'edge_projection')
    if self.linear_as_conv:
      values = (*weights, empty[0])
      return shared(values, (*connectivity.placements, empty[1]))
    groups = connectivity.split_linear(weights, mirror=self.mirror_linear)
    of_shared = [group.shared for group in groups if group.shared] + [empty]
    projected = iter(shared(*zip(*of_shared, strict=True)))
    of_linear = [group.linear for group in groups if group.linear]
    # A network without linear layers has the same parameters as one with them.
    placement = placing.linear_placement(
      reverse_edges=connectivity.reverse, backward=False
    )
    of_linear.append((jnp.zeros((1,), weights[0].dtype), placement))
    separate = self._projection(self.edge_size, 'linear_projection')
    linears = iter(separate(*zip(*of_linear, strict=True)))
    edges = []
    for group in groups:
      found = [next(projected)] if group.shared else []
      found += [next(linears)] if group.linear else []
      if group.is_linear is not None:
        found = [jnp.where(group.is_linear, found[1], found[0])]
      edges += found
    return (*edges, next(projected))

  def _projection(self, features: int, name: str) -> FeatureProjection:
    return FeatureProjection(
      features,
      self.fourier_size,
      self.fourier_scale,
      self.num_input_layers,
      self.dtype,
      name=name,
    )
