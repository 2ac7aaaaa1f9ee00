# SPDX-License-Identifier: Apache-2.0
"""NG-T: a relational transformer over neural graphs (paper, section 3)."""

from collections.abc import Sequence
import functools
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

_EDGE_POOLINGS = ('mean_edge', 'max_edge')


class TransformerBackbone(base.NeuralGraphModel):
  """Relational attention over all pairs of nodes, with edge updates.

  Attributes: those of `NeuralGraphModel` and
    node_size: width of nodes.
    edge_size: width of edges.
    attention_size: width of all heads together.
    num_heads: number of heads.
    node_hidden_size: width of the node MLPs.
    edge_hidden_size: width of the edge updates and edge MLPs.
    num_layers: blocks.
    reverse_edges: give every edge also its opposite and their sum.
    edge_orientation: 'reference' lets node i read j through the edge i -> j (as
      the official code does), 'paper' through j -> i.
    edge_updates: False keeps the edges as embedded.
    use_norm: False leaves out all layer norms.
    modulate_values: whether edges scale the attention's values.
    head_scale: scale logits by the head's width, not the total width.
    mask_padding: False lets nodes attend to padding, as the official code does;
      needs a batch of `graphs.stack`, or graphs of one spec.
    max_nodes: most nodes of a graph, for concatenated batches.
  """

  node_size: int = 64
  edge_size: int = 32
  attention_size: int = 128
  num_heads: int = 8
  node_hidden_size: int = 128
  edge_hidden_size: int = 64
  num_layers: int = 4
  fourier_scale: float = 1.0
  reverse_edges: bool = False
  edge_orientation: str = 'reference'
  edge_updates: bool = True
  use_norm: bool = True
  modulate_values: bool = True
  head_scale: bool = False
  mask_padding: bool = True
  max_nodes: int | None = None

  def embed_dense(
    self, graph: jraph.GraphsTuple
  ) -> tuple[graphs.Connectivity, jax.Array, jax.Array, jax.Array | None]:
    """Input stage; called inside the compact method of a model.

    Args:
      graph: as the model's.

    Returns:
      The connectivity, nodes [B, N, node_size], edges [B, N, N, edge_size],
      rows sources (targets with edge_orientation 'paper'), and the activations
      of `layers.Embedded`. Jit: yes.

    Raises:
      ValueError: unknown orientation, a graph without the needed fields, a
        concatenated batch without `max_nodes`, a skip over no layer in graphs
        of one spec (others are not checked).
    """
    if self.edge_orientation not in ('reference', 'paper'):
      raise ValueError(
        f'unknown edge_orientation {self.edge_orientation!r}; expected one of '
        "['paper', 'reference']."
      )
    features = (graph.edges or {}).get('weight')
    if isinstance(features, graphs.EdgeBlocks):
      _check_pairs(features.topology.spec)
    connectivity = graphs.connect(
      graph, reverse=self.reverse_edges, max_nodes=self.max_nodes
    )
    embedded = self.embed(
      connectivity, node_size=self.node_size, edge_size=self.edge_size
    )
    groups = layers.multiplied_out(embedded.edges, self.dtype)
    edges = connectivity.to_dense_edges(groups, fill=embedded.no_edge)
    if self.edge_orientation == 'paper':
      edges = edges.swapaxes(1, 2)
    nodes = connectivity.to_dense_nodes(
      embedded.nodes, keep_padding=not self.mask_padding
    )
    return connectivity, nodes, edges, embedded.activations

  def backbone(
    self,
    nodes: jax.Array,
    edges: jax.Array,
    mask: Any,
    *,
    edge_updates: Sequence[bool],
    train: bool,
  ) -> tuple[jax.Array, jax.Array]:
    """All blocks; called inside the compact method of a model.

    Args:
      nodes: [B, N, node_size].
      edges: [B, N, N, edge_size].
      mask: [B or 1, N] bool, False at padding.
      edge_updates: per block, whether it changes the edges.
      train: whether dropout is on.

    Returns:
      Nodes and edges of the same shapes. Jit: yes.
    """
    keys = self._key_mask(mask)

    def run(
      model: TransformerBackbone, nodes: jax.Array, edges: jax.Array, *, i: int
    ) -> tuple[jax.Array, jax.Array]:
      return layers.RelationalBlock(
        model.attention_size,
        model.num_heads,
        model.node_hidden_size,
        model.edge_hidden_size,
        model.dropout,
        edge_updates[i],
        model.use_norm,
        model.modulate_values,
        model.head_scale,
        model.dtype,
        name=f'block_{i}',
      )(nodes, edges, keys, train=train)

    for i in range(len(edge_updates)):
      block = functools.partial(run, i=i)
      nodes, edges = self.run_block(block, nodes, edges)
    return nodes, edges

  def _key_mask(self, mask: Any) -> Any:
    # A static mask without padding needs no masking at all.
    if not self.mask_padding or (isinstance(mask, np.ndarray) and mask.all()):
      return None
    return jnp.asarray(mask)


def _check_pairs(spec: specs.NetworkSpec) -> None:
  """Refuses skips over no layer: each pair of nodes has one place."""
  ends = [(block.source, block.target) for block in spec.blocks]
  for block in spec.blocks:
    pair = (block.source, block.target)
    if block.type == 'skip' and ends.count(pair) > 1:
      raise ValueError(
        f'skip {block.name!r} must skip at least one layer to be read by NG-T, '
        f'but another block leads from {pair[0]!r} to {pair[1]!r} too; put a '
        'neuron set between that layer and the sum, or use ng_gnn.'
      )


class NeuralGraphTransformer(TransformerBackbone, base.Predictor):
  """NG-T that predicts one vector per network.

  Attributes: those of `TransformerBackbone` and `Predictor` and
    readout_size: width of the readout.
    num_readout_layers: linear layers of the readout.
  """

  readout_size: int = 128
  num_readout_layers: int = 2

  @nn.compact
  def __call__(
    self, graph: jraph.GraphsTuple, *, train: bool = False
  ) -> jax.Array:
    """Predicts from networks.

    Args:
      graph: of `graphs.encode` with one batch axis, or any padded batch with
        the fields of `graphs.flatten`.
      train: whether dropout is on; needs the rng 'dropout'.

    Returns:
      [num_graphs, num_outputs]; rows of padding graphs mean nothing. Jit: yes.

    Raises:
      ValueError: unknown pooling or orientation, a graph without the needed
        fields, a concatenated batch without `max_nodes`, `read_probe_outputs`
        without probes.
    """
    connectivity, nodes, edges, activations = self.embed_dense(graph)
    mask = connectivity.dense_mask()
    if self.pooling == 'cls_token':
      nodes, edges, mask = self._add_cls_token(nodes, edges, mask)
    # Only pooling over edges, or over all nodes, keeps the last update.
    needed = self.pooling in _EDGE_POOLINGS or self.pooled_nodes == 'all'
    updates = [needed or self.edge_updates] * (self.num_layers - 1) + [needed]
    nodes, edges = self.backbone(
      nodes, edges, mask, edge_updates=updates, train=train
    )
    pooled = self._pool(nodes, edges, mask, connectivity)
    inputs = self.readout_inputs(
      pooled, activations, graph, connectivity, train=train
    )
    return layers.Readout(
      self.readout_size,
      self.num_outputs,
      self.num_readout_layers,
      self.dtype,
      name='readout',
    )(inputs)

  def _add_cls_token(
    self, nodes: jax.Array, edges: jax.Array, mask: Any
  ) -> tuple[jax.Array, jax.Array, Any]:
    """Puts a learned node without edges before all others."""
    token = self.param(
      'cls_token', nn.initializers.normal(1.0), (self.node_size,)
    )
    token = jnp.broadcast_to(
      token.astype(nodes.dtype), (nodes.shape[0], 1, self.node_size)
    )
    nodes = jnp.concatenate([token, nodes], axis=1)
    edges = jnp.pad(edges, [(0, 0), (1, 0), (1, 0), (0, 0)])
    xp = np if isinstance(mask, np.ndarray) else jnp
    return nodes, edges, xp.pad(mask, [(0, 0), (1, 0)], constant_values=True)

  def _pool(
    self,
    nodes: jax.Array,
    edges: jax.Array,
    mask: Any,
    connectivity: graphs.Connectivity,
  ) -> jax.Array:
    if self.pooling == 'cls_token':
      return nodes[:, 0]
    if self.pooling in _EDGE_POOLINGS:
      if self.pool_padding:
        mask = np.ones((1, nodes.shape[1]), bool)
      columns = mask
      if self.pooled_nodes == 'last':
        columns = connectivity.last_mask(count=self.num_output_nodes)
      return layers.pool_edges(
        edges, jnp.asarray(mask), jnp.asarray(columns), method=self.pooling
      )
    counts_padding = self.pool_padding and self.pooled_nodes == 'all'
    if counts_padding and self.pooling in ('mean', 'max'):
      return layers.pool_dense(nodes, method=self.pooling)
    return layers.pool_nodes(
      connectivity.from_dense_nodes(nodes),
      connectivity,
      method=self.pooling,
      which=self.pooled_nodes,
      num_outputs=self.num_output_nodes,
      num_hidden_layers=self.num_hidden_layers,
    )
