# SPDX-License-Identifier: Apache-2.0
"""Relational attention and the block of NG-T (paper, sec. 3).

A relational transformer (Diao and Loynd, 2023) whose values are also modulated
by the edges. It works on dense graphs: nodes [B, N, node_size], edges
[B, N, N, edge_size], row i source and column j target. As in the reference,
node i reads node j through the edge i -> j.
"""

from typing import Any

from flax import linen as nn
import jax

from ng_jax import numerics
from ng_jax.layers import linear
from ng_jax.layers import relational


class RelationalAttention(nn.Module):
  """Attention over all pairs, with queries, keys and values from both ends.

  q_ij = q_i + q(e_ij), k_ij = k_j + k(e_ij), v_ij = v_j * g(e_ij) + v(e_ij).

  Attributes:
    attention_size: total width of all heads.
    num_heads: number of heads.
    modulate_values: whether edges also scale the values (g above).
    head_scale: scale logits by the head's width instead of the total width.
    dtype: computation dtype.
  """

  attention_size: int
  num_heads: int
  modulate_values: bool = True
  head_scale: bool = False
  dtype: Any = None

  @nn.compact
  def __call__(
    self, nodes: jax.Array, edges: jax.Array, key_mask: Any = None
  ) -> jax.Array:
    """Attends.

    Args:
      nodes: [B, N, node_size].
      edges: [B, N, N, edge_size].
      key_mask: [B or 1, N] bool, False for nodes that nobody reads; None for
        all.

    Returns:
      [B, N, node_size]. Jit: yes.

    Raises:
      ValueError: the heads do not divide the width.
    """
    if self.attention_size % self.num_heads:
      raise ValueError(
        'num_heads must divide attention_size, got '
        f'num_heads={self.num_heads} and '
        f'attention_size={self.attention_size}; try num_heads=4.'
      )
    head_size = self.attention_size // self.num_heads
    width = head_size if self.head_scale else self.attention_size
    nodes_in, node_kernels = self._kernels(nodes, 3, 'nodes')
    edges_in, edge_kernels = self._kernels(
      edges, 3 + self.modulate_values, 'edges'
    )
    heads = (*nodes.shape[:2], self.num_heads, head_size)
    query, key, value = (
      numerics.linear(nodes_in, kernel).reshape(heads)
      for kernel in node_kernels
    )
    maps = relational.EdgeMaps(*edge_kernels, *[None] * (4 - len(edge_kernels)))
    mixed = relational.attend(
      query, key, value, edges_in, maps, key_mask, width**-0.5
    )
    mixed = mixed.reshape(*mixed.shape[:2], self.attention_size)
    return linear.Linear(
      nodes.shape[-1], init_scheme='xavier', dtype=self.dtype, name='out'
    )(mixed)

  def _kernels(
    self, x: jax.Array, num_parts: int, name: str
  ) -> tuple[jax.Array, list[jax.Array]]:
    """The input and the kernels [in, heads * head size] of query, key, value.

    The fused matrix is initialised as one; its columns run over heads, then
    parts, then the head's width, as in the reference.
    """
    kernel = self.param(
      name,
      nn.initializers.xavier_uniform(),
      (x.shape[-1], num_parts * self.attention_size),
    )
    x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
    split = kernel.reshape(x.shape[-1], self.num_heads, num_parts, -1)
    return x, [
      split[:, :, i].reshape(x.shape[-1], -1) for i in range(num_parts)
    ]


class RelationalBlock(nn.Module):
  """Attention, node MLP, edge update, edge MLP; norms after each residual.

  Attributes:
    attention_size: total width of all heads.
    num_heads: number of heads.
    node_hidden_size: width of the node MLP.
    edge_hidden_size: width of the edge update and edge MLP.
    dropout: rate.
    update_edges: whether the block changes the edges.
    use_norm: False leaves out all layer norms.
    modulate_values: see `RelationalAttention`.
    head_scale: see `RelationalAttention`.
    dtype: computation dtype.
  """

  attention_size: int
  num_heads: int
  node_hidden_size: int
  edge_hidden_size: int
  dropout: float = 0.0
  update_edges: bool = True
  use_norm: bool = True
  modulate_values: bool = True
  head_scale: bool = False
  dtype: Any = None

  @nn.compact
  def __call__(
    self,
    nodes: jax.Array,
    edges: jax.Array,
    key_mask: Any = None,
    *,
    train: bool = False,
  ) -> tuple[jax.Array, jax.Array]:
    """Applies the block.

    Args:
      nodes: [B, N, node_size].
      edges: [B, N, N, edge_size].
      key_mask: [B or 1, N] bool or None.
      train: whether dropout is on; needs the rng 'dropout'.

    Returns:
      Nodes and edges of the same shapes. Jit: yes.
    """
    attended = RelationalAttention(
      self.attention_size,
      self.num_heads,
      self.modulate_values,
      self.head_scale,
      self.dtype,
      name='attention',
    )(nodes, edges, key_mask)
    attended = self._linear(nodes.shape[-1], 'attention_out')(attended)
    nodes = self._norm('node_norm_0', nodes + self._drop(attended, train=train))
    hidden = self._mlp(nodes, self.node_hidden_size, 'node_mlp')
    nodes = self._norm('node_norm_1', nodes + self._drop(hidden, train=train))
    if not self.update_edges:
      return nodes, edges
    update = self._drop(self._edge_update(nodes, edges), train=train)
    edges = self._norm('edge_norm_0', edges + update)
    hidden = self._mlp(edges, self.edge_hidden_size, 'edge_mlp')
    return nodes, self._norm(
      'edge_norm_1', edges + self._drop(hidden, train=train)
    )

  def _drop(self, x: jax.Array, *, train: bool) -> jax.Array:
    return nn.Dropout(self.dropout)(x, deterministic=not train)

  def _norm(self, name: str, x: jax.Array) -> jax.Array:
    return linear.layer_norm(name, self.dtype)(x) if self.use_norm else x

  def _linear(self, features: int, name: str, *, bias: bool = True) -> Any:
    return linear.Linear(
      features, use_bias=bias, init_scheme='xavier', dtype=self.dtype, name=name
    )

  def _mlp(self, x: jax.Array, hidden_size: int, name: str) -> jax.Array:
    hidden = self._linear(hidden_size, f'{name}_in', bias=False)(x)
    hidden = nn.gelu(hidden, approximate=False)
    return self._linear(x.shape[-1], f'{name}_out')(hidden)

  def _edge_update(self, nodes: jax.Array, edges: jax.Array) -> jax.Array:
    """Linear(GELU(Linear([e_ij, e_ji]) + Linear(x_i) + Linear(x_j)))."""
    size = self.edge_hidden_size
    pair = linear.SplitLinear(
      size, init_scheme='xavier', dtype=self.dtype, name='update_edge'
    )
    along, against = pair(edges, edges)
    hidden = along + against.swapaxes(1, 2)
    hidden = hidden + self._linear(size, 'update_source')(nodes)[:, :, None]
    hidden = hidden + self._linear(size, 'update_target')(nodes)[:, None]
    hidden = nn.gelu(hidden, approximate=False)
    return self._linear(edges.shape[-1], 'update_out')(hidden)
