# SPDX-License-Identifier: Apache-2.0
"""What NG-GNN and NG-T have in common: their options and their input stage.

Each has a backbone, which turns a graph into embeddings of its nodes and edges,
and two users of it: a predictor and an editor (`models.editing`).
"""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import jraph

from ng_jax import graphs
from ng_jax import layers
from ng_jax import specs
from ng_jax.layers import batch_norm
from ng_jax.layers import rematerialise


class NeuralGraphModel(nn.Module):
  """Common options; see `models.create` for how specs fill them in.

  Attributes:
    num_inputs: input neurons of the networks read, rows of the position table.
    num_hidden_layers: most hidden layers of the networks read.
    num_output_nodes: output neurons of the networks read.
    position_embedding: whether nodes know which input, hidden layer or output
      they are.
    activation_embedding: whether hidden nodes know their activation function.
    statistics: `weights.Statistics` that normalise the raw values, or None.
    network: the family that runs the probes (`networks.Siren(...)`); see
      `graphs.activations` for what it must have.
    num_probes: probe inputs; 0 for none.
    probe_source: where they come from: 'uniform' (the paper's) and 'normal' are
      learned, 'generator' learns codes of a shared generator, 'given' reads
      `probe_inputs`. Inputs or activations that the graphs carry take their
      place (`graphs.add_probe_inputs`, `graphs.add_activations`).
    probe_inputs: [num_probes, *input shape] for 'given', kept in `constants`.
    probe_shape: shape of one input, where the network does not say, such as
      (32, 32, 3) for images.
    probe_projection: 'set' (the paper's), or 'role' for networks of different
      depths, see `layers.ProbeFeatures`.
    fourier_size: Gaussian Fourier features; 0 for a linear map.
    fourier_scale: their standard deviation.
    num_input_layers: linear layers of the input projection.
    use_weights: False hides the weights (ablation).
    use_biases: False hides the biases (ablation).
    dropout: rate.
    dtype: computation dtype; None follows inputs and parameters.
    linear_as_conv: whether a linear layer's weights are read as 1x1 kernels;
      False gives them a first projection of their own.
    mirror_linear: whether that projection also takes the reverse edges of
      linear layers; the reference's does not.
    num_places: positions of flattened maps that have an embedding, for graphs
      made with flattening='repeat_nodes'; 0 for none.
    activation_vocabulary: names with an activation embedding; the official
      models have the first seven.
    remat: compute the inside of every block again in the backward pass instead
      of keeping it: the same numbers with less memory and more time, see
      docs/performance.md.
  """

  num_inputs: int = 2
  num_hidden_layers: int = 2
  num_output_nodes: int = 1
  position_embedding: bool = True
  activation_embedding: bool = False
  statistics: Any = None
  network: Any = None
  num_probes: int = 0
  probe_source: str = 'uniform'
  probe_inputs: Any = None
  probe_shape: tuple[int, ...] | None = None
  probe_projection: str = 'set'
  fourier_size: int = 128
  fourier_scale: float = 3.0
  num_input_layers: int = 1
  use_weights: bool = True
  use_biases: bool = True
  dropout: float = 0.2
  dtype: Any = None
  linear_as_conv: bool = True
  mirror_linear: bool = False
  num_places: int = 0
  activation_vocabulary: tuple[str, ...] = specs.ACTIVATIONS
  remat: bool = False

  def embed(
    self,
    connectivity: graphs.Connectivity,
    *,
    node_size: int,
    edge_size: int,
  ) -> layers.Embedded:
    """Input stage: `layers.GraphEmbedding` with the model's options.

    Args:
      connectivity: of the batch.
      node_size: width of node embeddings.
      edge_size: width of edge embeddings.

    Returns:
      Nodes, deferred edge groups and what else the input stage makes. Jit: yes.
    """
    positions = (
      (self.num_inputs, self.num_hidden_layers, self.num_output_nodes)
      if self.position_embedding
      else None
    )
    return layers.GraphEmbedding(
      node_size,
      edge_size,
      self.fourier_size,
      self.fourier_scale,
      self.num_input_layers,
      self.use_weights,
      self.use_biases,
      positions,
      self.activation_embedding,
      self.statistics,
      self.num_probes,
      self.network,
      self.dtype,
      self.linear_as_conv,
      self.mirror_linear,
      self.num_places,
      self.activation_vocabulary,
      probe_options={
        'source': self.probe_source,
        'fixed_inputs': self.probe_inputs,
        'input_shape': self.probe_shape,
        'projection': self.probe_projection,
        'num_hidden_layers': self.num_hidden_layers,
      },
      name='embedding',
    )(connectivity)

  def run_block(
    self,
    block: Callable[..., Any],  # (module, *arrays) -> arrays
    *arrays: Any,
  ) -> Any:
    """Runs a part of a backbone, rematerialised if the model says so.

    Args:
      block: gets the model, on which it makes its modules by name, and the
        arrays; what else it needs it may close over.
      *arrays: what the block changes, trees of arrays.

    Returns:
      What the block returns. Jit: yes.
    """
    if self.remat:
      return rematerialise.run_module(block, self, *arrays)
    return block(self, *arrays)


# Of the old running statistics of what is pooled, which moves by a deviation
# in ten steps at the usual rates: 0.9 would be too slow.
_POOLED_MOMENTUM = 0.5


class Predictor(NeuralGraphModel):
  """Options of a model that predicts one vector per network.

  Attributes: those of `NeuralGraphModel` and
    num_outputs: width of the prediction (classes).
    pooling: 'cat', 'mean', 'max', 'cat_mean', for NG-T also 'mean_edge',
      'max_edge' and 'cls_token'.
    pooled_nodes: 'last' (outputs) or 'all', or the depth of one layer.
    pool_padding: for comparisons only: like the official code, where 'all' is
      pooled also pool the padding of a batch of `graphs.stack`, so that a
      prediction depends on the batch.
    pooled_norm: whether what is pooled is normalised over the batch (not in
      the paper). The networks of a data set differ far less from each other
      than the nodes of one do; this shows the readout where they differ, and
      learning took a fourth of the steps on INRs without probes (RESULTS.md).
      It wants microbatches of 16 networks or more. Evaluation uses running
      statistics, which trail behind while what is pooled moves fast: it is the
      more exact the lower the learning rate.
    read_probe_outputs: whether the readout also gets what the networks answer
      to the probe inputs, side by side, as `Probing` does (not in the paper,
      whose readout sees them only through the features of output nodes). Every
      graph must have `num_output_nodes` outputs.
  """

  num_outputs: int = 10
  pooling: str = 'cat'
  pooled_nodes: str | int = 'last'
  pool_padding: bool = False
  pooled_norm: bool = False
  read_probe_outputs: bool = False

  def readout_inputs(
    self,
    pooled: jax.Array,
    activations: jax.Array | None,
    graph: jraph.GraphsTuple,
    connectivity: graphs.Connectivity,
    *,
    train: bool,
  ) -> jax.Array:
    """What the readout gets; called inside the compact method of a model.

    Args:
      pooled: [num_graphs, features].
      activations: [..., num_probes] of every node, None without probes.
      graph: that was read; padding graphs do not count in `pooled_norm`, if
        its globals say so (`batch_norm.MASK`).
      connectivity: of the graph.
      train: whether to use and note the statistics of this batch.

    Returns:
      [num_graphs, features, and num_output_nodes * num_probes more with
      `read_probe_outputs`]. Jit: yes.

    Raises:
      ValueError: `read_probe_outputs` without probes.
    """
    if self.pooled_norm:
      norm = batch_norm.BatchNorm(
        momentum=_POOLED_MOMENTUM, dtype=self.dtype, name='pooled_norm'
      )
      pooled = norm(pooled, batch_norm.mask_of(graph), train=train)
    if not self.read_probe_outputs:
      return pooled
    if activations is None:
      raise ValueError(
        'read_probe_outputs=True needs probes, got num_probes=0; set '
        'num_probes, 64 for example.'
      )
    outputs = connectivity.last_nodes(activations, count=self.num_output_nodes)
    outputs = outputs.reshape(outputs.shape[0], -1)
    return jnp.concatenate([pooled, outputs], axis=-1)
