# SPDX-License-Identifier: Apache-2.0
"""NG-GNN: a graph neural network over neural graphs (paper, section 3)."""

import functools
from typing import Any

from flax import linen as nn
import jax
import jraph

from ng_jax import graphs
from ng_jax import layers
from ng_jax.models import base


class GNNBackbone(base.NeuralGraphModel):
  """PNA message passing with FiLM-modulated edges and edge updates.

  Attributes: those of `NeuralGraphModel` and
    hidden_size: width of nodes and edges.
    num_layers: rounds of message passing.
    reverse_edges: also pass messages against the edges.
    norm_mode: 'graph' (default), 'batch' (the reference's) or 'node'.
    modulation: 'film', 'gate' or 'concat'.
    degree_constant: delta of PNA, mean log(degree + 1) over the training set
      (forward edges); 2.246871 for SIRENs of sizes (2, 32, 32, 1).
    zero_small_std: rule for small standard deviations, see `aggregate_pna`.
  """

  hidden_size: int = 32
  num_layers: int = 4
  reverse_edges: bool = True
  norm_mode: str = 'graph'
  modulation: str = 'film'
  degree_constant: float = 2.246871
  zero_small_std: bool = False

  def backbone(
    self,
    nodes: jax.Array,
    edges: Any,
    connectivity: graphs.Connectivity,
    *,
    train: bool,
  ) -> tuple[jax.Array, graphs.EdgeGroups]:
    """Passes messages; called inside the compact method of a model.

    Args:
      nodes: [..., hidden_size].
      edges: groups [..., hidden_size], perhaps deferred.
      connectivity: of the batch.
      train: whether dropout is on.

    Returns:
      Nodes and edge groups of the same shapes. Jit: yes.
    """

    def run(
      model: GNNBackbone, nodes: jax.Array, edges: Any, *, i: int
    ) -> tuple[jax.Array, Any]:
      nodes = layers.PNAConv(
        model.hidden_size,
        model.degree_constant,
        model.modulation,
        model.zero_small_std,
        model.dtype,
        name=f'conv_{i}',
      )(nodes, edges, connectivity)
      if i == model.num_layers - 1:
        return nodes, edges
      nodes = layers.GraphNorm(model.norm_mode, model.dtype, name=f'norm_{i}')(
        nodes, connectivity
      )
      nodes = nn.Dropout(model.dropout)(nn.silu(nodes), deterministic=not train)
      edges = layers.EdgeUpdate(
        model.hidden_size, model.dtype, deferred=True, name=f'edge_update_{i}'
      )(nodes, edges, connectivity)
      return nodes, edges

    for i in range(self.num_layers):
      nodes, edges = self.run_block(functools.partial(run, i=i), nodes, edges)
    return nodes, layers.multiplied_out(edges, self.dtype)


class NeuralGraphGNN(GNNBackbone, base.Predictor):
  """NG-GNN that predicts one vector per network.

  Attributes: those of `GNNBackbone` and `Predictor` and
    readout_size: width of the readout, 0 for `hidden_size` (the paper's).
    num_readout_layers: linear layers of the readout.
  """

  readout_size: int = 0
  num_readout_layers: int = 3

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
      ValueError: unknown pooling, norm or modulation, a graph without the
        needed fields, `read_probe_outputs` without probes.
    """
    connectivity = graphs.connect(graph, reverse=self.reverse_edges)
    embedded = self.embed(
      connectivity, node_size=self.hidden_size, edge_size=self.hidden_size
    )
    nodes, _ = self.backbone(
      embedded.nodes, embedded.edges, connectivity, train=train
    )
    pooled = layers.pool_nodes(
      nodes,
      connectivity,
      method=self.pooling,
      which=self.pooled_nodes,
      num_outputs=self.num_output_nodes,
      num_hidden_layers=self.num_hidden_layers,
      keep_padding=self.pool_padding,
    )
    inputs = self.readout_inputs(
      pooled, embedded.activations, graph, connectivity, train=train
    )
    return layers.Readout(
      self.readout_size or self.hidden_size,
      self.num_outputs,
      self.num_readout_layers,
      self.dtype,
      name='readout',
    )(inputs)
