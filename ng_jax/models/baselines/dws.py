# SPDX-License-Identifier: Apache-2.0
"""DWSNets: equivariant layers between weight spaces (Navon et al., 2023).

For chains of at least three linear layers, all networks of one spec. Differs
from the reference: dropout is off in evaluation.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import jraph

from ng_jax.layers import batch_norm
from ng_jax.layers import linear
from ng_jax.layers import set_layers
from ng_jax.layers import weight_space_layer
from ng_jax.models.baselines import chains

_MIN_LAYERS = 3


class WeightSpaceBackbone(nn.Module):
  """Layers with batch norm, ReLU and dropout between them.

  Attributes: those of `WeightSpaceNetwork`, and
    out_features: features of the last layer.
  """

  out_features: int
  hidden_size: int
  num_layers: int
  num_heads: int
  set_layer: str
  pooling: str
  diagonal: bool
  batch_norm: bool
  dropout: float
  init_scale: float
  dtype: Any

  @nn.compact
  def __call__(
    self, chain: chains.Chain, mask: jax.Array | None, *, train: bool
  ) -> chains.Chain:
    """Maps a chain to a chain with `out_features`.

    Args:
      chain: of `chains.ChainReader`.
      mask: [num_graphs] bool or None, which graphs are real.
      train: whether dropout is on and batch statistics are used.

    Returns:
      The chain. Jit: yes.
    """
    for i in range(self.num_layers):
      last = i == self.num_layers - 1
      if i:
        chain = self._between(i, chain, mask, train=train)
      layer = weight_space_layer.WeightSpaceLayer(
        self.out_features if last else self.hidden_size,
        1 if last else self.num_heads,
        self.set_layer,
        self.pooling,
        self.diagonal,
        self.init_scale,
        self.dtype,
        name=f'layer_{i}',
      )
      chain = chains.Chain(*layer(*chain))
    return chain

  def _between(
    self,
    i: int,
    chain: chains.Chain,
    mask: jax.Array | None,
    *,
    train: bool,
  ) -> chains.Chain:
    def change(kind: str, layer: int, x: jax.Array) -> jax.Array:
      if self.batch_norm:
        norm = batch_norm.BatchNorm(
          dtype=self.dtype, name=f'norm_{i}_{kind}_{layer}'
        )
        x = norm(x, mask, train=train)
      return nn.Dropout(self.dropout)(nn.relu(x), deterministic=not train)

    return chains.Chain(
      tuple(change('weight', j, x) for j, x in enumerate(chain.weights)),
      tuple(change('bias', j, x) for j, x in enumerate(chain.biases)),
    )


class WeightSpaceNetwork(nn.Module):
  """Common options of the two models.

  Attributes:
    hidden_size: features between the layers.
    num_layers: equivariant layers.
    num_heads: of set attention; the last layer has one.
    set_layer: 'attention' or 'deep_sets'.
    pooling: 'max', 'mean' or 'sum'.
    diagonal: keep maps between neighbouring tensors only.
    batch_norm: whether each tensor is normalised between layers.
    dropout: rate.
    init_scale: factor of the initial kernels.
    statistics: `weights.Statistics` that normalise the raw values, or None.
    dtype: computation dtype; None follows inputs and parameters.
  """

  hidden_size: int = 32
  num_layers: int = 5
  num_heads: int = 8
  set_layer: str = 'attention'
  pooling: str = 'max'
  diagonal: bool = False
  batch_norm: bool = True
  dropout: float = 0.0
  init_scale: float = 1.0
  statistics: Any = None
  dtype: Any = None

  def _read(self, graph: jraph.GraphsTuple) -> chains.Chain:
    """The chains of a batch, normalised. Jit: yes."""
    return chains.ChainReader(
      'DWSNets', self.statistics, _MIN_LAYERS, self.dtype, name='reader'
    )(graph)

  def _make_backbone(self, features: int) -> WeightSpaceBackbone:
    """The equivariant layers, the last with so many features."""
    return WeightSpaceBackbone(
      features,
      self.hidden_size,
      self.num_layers,
      self.num_heads,
      self.set_layer,
      self.pooling,
      self.diagonal,
      self.batch_norm,
      self.dropout,
      self.init_scale,
      self.dtype,
      name='backbone',
    )


class WeightSpaceClassifier(WeightSpaceNetwork):
  """Predicts from networks.

  Attributes: those of `WeightSpaceNetwork` and
    num_outputs: width of the prediction.
    num_classifier_layers: linear layers of the head, each of num_outputs.
  """

  num_outputs: int = 10
  num_classifier_layers: int = 1

  @nn.compact
  def __call__(
    self, graph: jraph.GraphsTuple, *, train: bool = False
  ) -> jax.Array:
    """Predicts from networks.

    Args:
      graph: of `graphs.encode` with one batch axis.
      train: whether dropout is on (rng 'dropout') and batch statistics are
        used (collection 'batch_stats' mutable).

    Returns:
      [num_graphs, num_outputs]. Jit: yes.

    Raises:
      ValueError: another layout, no chain, fewer than three layers, bad
        options.
    """
    chain = self._make_backbone(self.hidden_size)(
      self._read(graph), batch_norm.mask_of(graph), train=train
    )
    dropout = nn.Dropout(self.dropout, deterministic=not train)
    chain = jax.tree.map(lambda x: dropout(nn.relu(x)), chain)
    x = pool_chain(chain, pooling=self.pooling)
    for i in range(self.num_classifier_layers):
      x = nn.relu(x) if i else x
      x = linear.Linear(
        self.num_outputs, dtype=self.dtype, name=f'classifier_{i}'
      )(x)
    return x


class WeightSpaceEditor(WeightSpaceNetwork):
  """Updates of the networks that are read.

  The update of a tensor is s (y + skip(x)), y being the result of the layers
  and x the tensor as read.

  Attributes: those of `WeightSpaceNetwork` and
    add_skip: whether there is a skip, one linear map for all tensors.
    out_scale: initial value of the learned factors s, one per tensor; 0 for no
      factors. The reference's configuration of this task has none; all editing
      baselines get them here.
  """

  init_scale: float = 1e-4
  add_skip: bool = False
  out_scale: float = 0.01

  @nn.compact
  def __call__(
    self, graph: jraph.GraphsTuple, *, train: bool = False
  ) -> dict[str, Any]:
    """Computes updates; the caller adds them to the weights.

    Args:
      graph: of `graphs.encode` with one batch axis.
      train: whether dropout is on (rng 'dropout') and batch statistics are
        used (collection 'batch_stats' mutable).

    Returns:
      A tree of the networks' spec, leaves [num_graphs, *leaf_shape]. Jit: yes.

    Raises:
      ValueError: another layout, no chain, fewer than three layers, bad
        options.
    """
    chain = self._read(graph)
    features = chain.weights[0].shape[-1]
    mask = batch_norm.mask_of(graph)
    result = self._make_backbone(features)(chain, mask, train=train)
    if self.add_skip:
      skip = linear.Linear(features, dtype=self.dtype, name='skip')
      result = jax.tree.map(lambda y, x: y + skip(x), result, chain)
    if self.out_scale:
      result = chains.OutputScales(self.out_scale, name='scales')(result)
    return chains.to_weights(graph, result)


def pool_chain(chain: chains.Chain, *, pooling: str) -> jax.Array:
  """Pools all hidden neurons; inputs and outputs stay apart.

  Args:
    chain: of num_layers layers.
    pooling: 'max', 'mean' or 'sum'.

  Returns:
    [num_graphs, features (num_layers - 2 + inputs + outputs) + features
    (num_layers - 1 + outputs)]: weights between hidden layers, the first and
    the last weights, hidden biases, the last bias. Jit: yes.
  """

  def pool(x: jax.Array, axis: int) -> jax.Array:
    return set_layers.pool(x, axis=axis, method=pooling)

  first, *middle, last = chain.weights
  *hidden, outputs = chain.biases
  return jnp.concatenate(
    [
      *(pool(pool(x, 1), 1) for x in middle),
      *(x.reshape(len(x), -1) for x in (pool(first, 2), pool(last, 1))),
      *(pool(x, 1) for x in hidden),
      outputs.reshape(len(outputs), -1),
    ],
    axis=-1,
  )
