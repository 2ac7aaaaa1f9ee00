# SPDX-License-Identifier: Apache-2.0
"""NG-GNN and NG-T that write weights: editing (paper, section 4; spec 4).

The backbone of the predictor, then one head for nodes and one for edges. What
they give is scaled by a learned number per layer, small at first, and is the
*update* of the weights; `apply_update` adds it to the raw weights.
"""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import jraph
import numpy as np

from ng_jax import graphs
from ng_jax import layers
from ng_jax import specs
from ng_jax.models import base
from ng_jax.models import gnn
from ng_jax.models import transformer


class Editor(base.NeuralGraphModel):
  """Options and output stage of a model that writes weights.

  Attributes: those of `NeuralGraphModel` and
    num_weight_layers: most blocks of weights of the networks read (skips are
      none); each has its scale.
    out_scale: initial value of all scales.
    normalize: multiply by the standard deviation of the layer and add its mean
      before scaling; needs `statistics`.
  """

  num_weight_layers: int = 3
  out_scale: float = 0.01
  normalize: bool = False

  def write_update(
    self,
    nodes: jax.Array,
    edges: graphs.EdgeGroups,
    connectivity: graphs.Connectivity,
  ) -> Any:
    """Heads and scales; called inside the compact method of a model.

    Args:
      nodes: embeddings [..., node_size].
      edges: embeddings of the forward groups [..., edge_size].
      connectivity: of the batch.

    Returns:
      As the model. Jit: yes.

    Raises:
      ValueError: `normalize` without statistics, too few scales for a graph of
        known topology.
    """
    width = connectivity.node_features().shape[-1]
    (biases,) = layers.FeatureHead(width, self.dtype, name='node_head')(
      (nodes,), (np.eye(width, dtype=np.float32),)
    )
    placements = connectivity.forward_placements
    weights = layers.FeatureHead(
      placements[0].shape[1], self.dtype, name='edge_head'
    )(edges, placements)
    rows = connectivity.forward_edges(connectivity.edge_layers())
    depths = connectivity.node_ids('depth') - 1
    self._check(rows, depths)
    scale_weights = self._scale('weight', self.num_weight_layers)
    scale_biases = self._scale('bias', self.num_hidden_layers + 1)
    graph = connectivity.with_features(
      scale_biases(biases, depths[:, None]),
      tuple(map(scale_weights, weights, rows)),
    )
    features = graph.edges['weight']
    if isinstance(features, graphs.EdgeBlocks):
      return graphs.decode(features.topology, graph)
    return graph

  def _scale(
    self, kind: str, num_layers: int
  ) -> Callable[[jax.Array, Any], jax.Array]:  # (values, layer) -> values
    """Declares the scales of weights or biases; s (std x + mean) per layer."""
    scale = self.param(
      f'{kind}_scale',
      nn.initializers.constant(self.out_scale),
      (num_layers,),
    )
    # The last row, index -1, belongs to skips, inputs and padding: no update.
    factor, shift = jnp.append(scale, 0.0), None
    if self.normalize:
      mean = jnp.asarray(getattr(self.statistics, f'{kind}_mean'))
      std = jnp.asarray(getattr(self.statistics, f'{kind}_std'))
      factor, shift = jnp.append(scale * std, 0.0), jnp.append(scale * mean, 0)

    def apply(values: jax.Array, layer: Any) -> jax.Array:
      scaled = values * factor[layer].astype(values.dtype)
      if shift is None:
        return scaled
      return scaled + shift[layer].astype(values.dtype)

    return apply

  def _check(self, rows: tuple[Any, ...], depths: Any) -> None:
    if self.normalize and self.statistics is None:
      raise ValueError(
        'normalize=True needs the statistics of the weights, got '
        'statistics=None; give statistics, or set normalize=False.'
      )
    if not isinstance(depths, np.ndarray):
      return
    found = {
      'num_weight_layers': (max(rows) + 1, self.num_weight_layers),
      'num_hidden_layers': (int(max(depths)), self.num_hidden_layers),
    }
    for name, (needed, given) in found.items():
      if needed > given:
        raise ValueError(
          f'the editor has too few scales for this graph: {name} must be at '
          f'least {needed}, got {given}; create the model with the largest '
          'network it will read.'
        )


class GNNEditor(gnn.GNNBackbone, Editor):
  """NG-GNN that writes weights.

  Attributes: those of `GNNBackbone` and `Editor` and
    biases_from_start: for comparisons only: like the official code, read the
      update of a node's bias from the node `num_inputs` places before it. That
      breaks the symmetry of hidden neurons.
  """

  hidden_size: int = 128
  fourier_size: int = 0
  biases_from_start: bool = False

  @nn.compact
  def __call__(self, graph: jraph.GraphsTuple, *, train: bool = False) -> Any:
    """Computes updates of weights.

    Args:
      graph: of `graphs.encode` with one batch axis, or any padded batch with
        the fields of `graphs.flatten`.
      train: whether dropout is on; needs the rng 'dropout'.

    Returns:
      For graphs of one spec the updates as a weights tree without buffers,
      leaves [num_graphs, *leaf_shape]; for a padded batch the graph with the
      updates in its fields 'bias' and 'weight', 0 at padding, inputs and skips
      (`graphs.decode` reads them). Jit: yes.

    Raises:
      ValueError: unknown norm or modulation, too few scales, a graph without
        the needed fields, `biases_from_start` where it is not defined.
    """
    connectivity = graphs.connect(graph, reverse=self.reverse_edges)
    embedded = self.embed(
      connectivity, node_size=self.hidden_size, edge_size=self.hidden_size
    )
    nodes, edges = self.backbone(
      embedded.nodes, embedded.edges, connectivity, train=train
    )
    if self.biases_from_start:
      nodes = jnp.roll(nodes, self._num_inputs(graph), axis=1)
    return self.write_update(
      nodes, connectivity.forward_edges(edges), connectivity
    )

  def _num_inputs(self, graph: jraph.GraphsTuple) -> int:
    features, width = graph.edges['weight'], graph.nodes['bias'].shape[-1]
    if not isinstance(features, graphs.EdgeBlocks) or width > 1:
      raise ValueError(
        'biases_from_start is defined for graphs of one spec with one bias per '
        f'node, got a padded batch or {width} node channels; leave it False.'
      )
    return features.topology.spec.num_inputs


class TransformerEditor(transformer.TransformerBackbone, Editor):
  """NG-T that writes weights; every block updates the edges.

  Attributes: those of `TransformerBackbone` and `Editor`.
  """

  num_heads: int = 4
  fourier_scale: float = 3.0
  reverse_edges: bool = True
  dropout: float = 0.3

  @nn.compact
  def __call__(self, graph: jraph.GraphsTuple, *, train: bool = False) -> Any:
    """Computes updates of weights.

    Args:
      graph: of `graphs.encode` with one batch axis, or any padded batch with
        the fields of `graphs.flatten`.
      train: whether dropout is on; needs the rng 'dropout'.

    Returns:
      As `GNNEditor`. Jit: yes.

    Raises:
      ValueError: unknown orientation, too few scales, a graph without the
        needed fields, a concatenated batch without `max_nodes`.
    """
    connectivity, nodes, edges, _ = self.embed_dense(graph)
    nodes, edges = self.backbone(
      nodes,
      edges,
      connectivity.dense_mask(),
      edge_updates=[self.edge_updates] * self.num_layers,
      train=train,
    )
    if self.edge_orientation == 'paper':
      edges = edges.swapaxes(1, 2)
    return self.write_update(
      connectivity.from_dense_nodes(nodes),
      connectivity.from_dense_edges(edges),
      connectivity,
    )


def apply_update(
  weights: specs.Weights, update: specs.Weights
) -> dict[str, Any]:
  """Adds an update to raw weights.

  Args:
    weights: leaves [*batch, *leaf_shape] float.
    update: as an editor returns it; leaves that it lacks (buffers) are kept.

  Returns:
    New weights with the dtypes of `weights`. Jit: yes; differentiable.

  Raises:
    ValueError: lists every leaf of the update that the weights do not have.
  """
  old, change = specs.leaf_arrays(weights), specs.leaf_arrays(update)
  problems = [
    f'{path} {tuple(np.shape(value))}'
    for path, value in change.items()
    if path not in old or np.shape(old[path]) != np.shape(value)
  ]
  if problems:
    raise ValueError(
      f'update must have leaves and shapes of the weights, got {problems} for '
      f'{ {path: tuple(np.shape(value)) for path, value in old.items()} }; '
      'give the update of these networks.'
    )
  return specs.from_leaf_arrays(
    {
      path: (value + change[path]).astype(value.dtype)
      if path in change
      else value
      for path, value in old.items()
    }
  )
