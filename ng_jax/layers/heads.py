# SPDX-License-Identifier: Apache-2.0
"""Pooling and the readout that turns a graph into a prediction."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import graphs
from ng_jax import numerics
from ng_jax.layers import linear

NODE_POOLINGS = ('cat', 'mean', 'max', 'cat_mean')


def pool_nodes(
  nodes: jax.Array,
  connectivity: graphs.Connectivity,
  *,
  method: str,
  which: str | int,
  num_outputs: int,
  num_hidden_layers: int,
  keep_padding: bool = False,
) -> jax.Array:
  """Reduces the nodes of each graph to one vector.

  Args:
    nodes: [..., F].
    connectivity: of the batch.
    method: 'cat' (output nodes side by side), 'mean', 'max', or 'cat_mean' (the
      means of all layers side by side).
    which: 'last' (output nodes), 'all', or the depth of one layer.
    num_outputs: output nodes of every graph ('cat').
    num_hidden_layers: hidden layers of every graph ('cat_mean').
    keep_padding: for 'mean' and 'max' of 'all', count padding nodes as zeros;
      else padding is never counted.

  Returns:
    [num_graphs, F], times num_outputs for 'cat', times layers for 'cat_mean'.
    Jit: yes.

  Raises:
    ValueError: unknown method, `keep_padding` in a concatenated batch.
  """
  if method == 'cat':
    values = connectivity.last_nodes(nodes, count=num_outputs)
    return values.reshape(values.shape[0], -1)
  if method == 'cat_mean':
    means = [
      connectivity.pool(nodes, method='mean', which=depth)
      for depth in range(num_hidden_layers + 2)
    ]
    return jnp.concatenate(means, axis=-1)
  if method not in NODE_POOLINGS:
    raise ValueError(
      f'unknown pooling {method!r}; expected one of {sorted(NODE_POOLINGS)}.'
    )
  if keep_padding and which == 'all':
    dense = connectivity.to_dense_nodes(nodes, keep_padding=True)
    keep = jnp.asarray(connectivity.dense_mask())[..., None]
    return pool_dense(jnp.where(keep, dense, 0), method=method)
  return connectivity.pool(nodes, method=method, which=which)


def pool_dense(nodes: jax.Array, *, method: str) -> jax.Array:
  """Reduces all rows, padding included, as the official code does.

  Args:
    nodes: [num_graphs, max_nodes, F].
    method: 'mean' or 'max'.

  Returns:
    [num_graphs, F]. Jit: yes.
  """
  if method == 'max':
    return numerics.max_along(nodes, axis=1)
  return jnp.mean(nodes, axis=1)


def pool_edges(
  edges: jax.Array, mask: Any, columns: Any, *, method: str
) -> jax.Array:
  """Reduces a dense edge tensor, non-edges included, padding excluded.

  Args:
    edges: [B, N, N, F].
    mask: [B or 1, N] bool, valid nodes.
    columns: [B or 1, N] bool, target nodes to keep.
    method: 'mean_edge' or 'max_edge'.

  Returns:
    [B, F]. Jit: yes.
  """
  keep = mask[:, :, None] & columns[:, None, :]
  keep = jnp.broadcast_to(keep, edges.shape[:3])[..., None]
  if method == 'max_edge':
    kept = jnp.where(keep, edges, -jnp.inf)
    pairs = kept.reshape(kept.shape[0], -1, kept.shape[-1])
    high = numerics.max_along(pairs, axis=1)
    # A padding graph has no pair; infinity would spoil everyone's gradient.
    return jnp.where(jnp.any(keep, axis=(1, 2)), high, 0)
  total = jnp.sum(jnp.where(keep, edges, 0), axis=(1, 2))
  return total / jnp.maximum(jnp.sum(keep, axis=(1, 2)), 1)


class Readout(nn.Module):
  """Linear layers with ReLU in between.

  Attributes:
    hidden_size: width of all layers but the last.
    num_outputs: width of the last.
    num_layers: linear layers.
    dtype: computation dtype.
  """

  hidden_size: int
  num_outputs: int
  num_layers: int
  dtype: Any = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Applies the layers.

    Args:
      x: [num_graphs, features].

    Returns:
      [num_graphs, num_outputs]. Jit: yes.
    """
    for i in range(self.num_layers - 1):
      layer = linear.Linear(
        self.hidden_size, dtype=self.dtype, name=f'layer_{i}'
      )
      x = nn.relu(layer(x))
    last = f'layer_{self.num_layers - 1}'
    return linear.Linear(self.num_outputs, dtype=self.dtype, name=last)(x)
