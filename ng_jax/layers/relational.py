# SPDX-License-Identifier: Apache-2.0
"""Relational attention as one function with a hand-written gradient.

With q_ij = q_i + Q e_ij, k_ij = k_j + K e_ij and v_ij = v_j * G e_ij + V e_ij,
head by head (paper, section 3):

    a_ij = softmax_j(scale <q_ij, k_ij>),   out_i = sum_j a_ij v_ij.

The edges are what costs. V is applied after the sum, to sum_j a_ij e_ij, so
that three products over all pairs are left of four. The gradients of q and k
follow in the same way from sums of edges. Inside, the heads are the last axis,
because sums over the width of a head are then sums over a slower axis, which a
CPU does in vectors.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ng_jax import numerics


class EdgeMaps(NamedTuple):
  """What edges add to the attention, one matrix each.

  Attributes:
    query: [edge_size, num_heads * head_size].
    key: [edge_size, num_heads * head_size].
    value: [edge_size, num_heads * head_size].
    gate: [edge_size, num_heads * head_size] or None: edges scale no values.
  """

  query: jax.Array
  key: jax.Array
  value: jax.Array
  gate: jax.Array | None


class _Saved(NamedTuple):
  """What the gradient needs; heads last, see the module's docstring."""

  query: jax.Array  # [B, N, head_size, num_heads], and so the next two.
  key: jax.Array
  value: jax.Array
  edges: jax.Array
  maps: EdgeMaps
  queries: jax.Array  # q_ij, [B, N, N, head_size, num_heads].
  keys: jax.Array
  gates: jax.Array | None
  attention: jax.Array  # a_ij, [B, N, N, num_heads].
  mixed: jax.Array  # sum_j a_ij e_ij, [B, N, num_heads, edge_size].


@functools.partial(jax.custom_vjp, nondiff_argnums=(6,))
def attend(
  query: jax.Array,
  key: jax.Array,
  value: jax.Array,
  edges: jax.Array,
  maps: EdgeMaps,
  mask: jax.Array | None,
  scale: float,
) -> jax.Array:
  """Attends over all pairs of nodes, see the module's docstring.

  Args:
    query: [B, N, num_heads, head_size] float, of the nodes that read.
    key: [B, N, num_heads, head_size], of the nodes that are read.
    value: [B, N, num_heads, head_size].
    edges: [B, N, N, edge_size], rows read columns.
    maps: of the edges.
    mask: [B or 1, N] bool, False for nodes that nobody reads; None for all.
    scale: of the logits.

  Returns:
    [B, N, num_heads, head_size]. Jit: yes. Reverse mode only, to any order.
  """
  return _forward(query, key, value, edges, maps, mask, scale)[0]


def _swap(x: jax.Array) -> jax.Array:
  """Puts the heads last, or back."""
  return x.swapaxes(-1, -2)


def _columns(matrix: jax.Array, num_heads: int) -> jax.Array:
  """[edge_size, heads * width] -> [edge_size, width * heads]."""
  return _swap(matrix.reshape(len(matrix), num_heads, -1)).reshape(matrix.shape)


def _apply(edges: jax.Array, matrix: jax.Array, like: jax.Array) -> jax.Array:
  """[B, N, N, edge_size] -> [B, N, N, head_size, num_heads]."""
  product = edges @ _columns(matrix, like.shape[-1])
  return product.reshape(*edges.shape[:3], *like.shape[-2:])


def _softmax(logits: jax.Array) -> jax.Array:
  wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  return jax.nn.softmax(wide, axis=2).astype(logits.dtype)


def _forward(
  query: jax.Array,
  key: jax.Array,
  value: jax.Array,
  edges: jax.Array,
  maps: EdgeMaps,
  mask: jax.Array | None,
  scale: float,
) -> tuple[jax.Array, _Saved]:
  query, key, value = _swap(query), _swap(key), _swap(value)
  queries = query[:, :, None] + _apply(edges, maps.query, query)
  keys = key[:, None] + _apply(edges, maps.key, key)
  logits = jnp.sum(queries * keys, axis=3) * scale
  if mask is not None:
    # Finite, because a padding graph has no key at all.
    lowest = jnp.finfo(logits.dtype).min
    logits = jnp.where(mask[:, None, :, None], logits, lowest)
  attention = _softmax(numerics.computed_once(logits))
  attention = numerics.computed_once(attention)
  mixed = jnp.einsum('bijh,bije->bihe', attention, edges)
  of_edges = _per_head(mixed, maps.value)
  if maps.gate is None:
    gates = None
    gated = jnp.einsum('bijh,bjdh->bidh', attention, value)
  else:
    gates = _apply(edges, maps.gate, value)
    gated = jnp.sum(attention[:, :, :, None] * (value[:, None] * gates), axis=2)
  saved = _Saved(
    query, key, value, edges, maps, queries, keys, gates, attention, mixed
  )
  return _swap(gated) + of_edges, saved


def _per_head(x: jax.Array, matrix: jax.Array) -> jax.Array:
  """[B, N, num_heads, edge_size] -> [B, N, num_heads, head_size]."""
  matrix = matrix.reshape(len(matrix), x.shape[2], -1)
  return jnp.einsum('bihe,ehd->bihd', x, matrix)


def _backward(scale: float, s: _Saved, out_bar: jax.Array) -> Any:
  """Gradients in the order of the arguments of `attend`; `_bar` marks them."""
  num_heads = s.attention.shape[-1]
  by_head = s.maps.value.reshape(len(s.maps.value), num_heads, -1)
  # V: out = V mixed.
  mixed_bar = jnp.einsum('bihd,ehd->bihe', out_bar, by_head)
  value_map_bar = jnp.einsum('bihe,bihd->ehd', s.mixed, out_bar)
  attention_bar = jnp.einsum('bihe,bije->bijh', mixed_bar, s.edges)
  edges_bar = jnp.einsum('bijh,bihe->bije', s.attention, mixed_bar)
  # The gate, or the value alone.
  out_bar = _swap(out_bar)
  if s.gates is None:
    gate_bar = None
    attention_bar += jnp.einsum('bidh,bjdh->bijh', out_bar, s.value)
    value_bar = jnp.einsum('bijh,bidh->bjdh', s.attention, out_bar)
  else:
    attention_bar += jnp.sum(
      (out_bar[:, :, None] * s.value[:, None]) * s.gates, axis=3
    )
    weighted = s.attention[:, :, :, None] * out_bar[:, :, None]
    value_bar = jnp.sum(weighted * s.gates, axis=1)
    gate_bar, part = _map_bar(s.edges, s.maps.gate, weighted * s.value[:, None])
    edges_bar += part
  # Softmax.
  attention_bar = numerics.computed_once(attention_bar)
  inner = jnp.sum(s.attention * attention_bar, axis=2, keepdims=True)
  logits_bar = s.attention * (attention_bar - inner) * scale
  logits_bar = numerics.computed_once(logits_bar.astype(s.edges.dtype))
  # Queries and keys.
  spread = logits_bar[:, :, :, None]
  query_map_bar, of_queries = _map_bar(s.edges, s.maps.query, spread * s.keys)
  key_map_bar, of_keys = _map_bar(s.edges, s.maps.key, spread * s.queries)
  read = jnp.einsum('bijh,bije->bihe', logits_bar, s.edges)
  was_read = jnp.einsum('bijh,bije->bjhe', logits_bar, s.edges)
  query_bar = _swap(_per_head(read, s.maps.key)) + jnp.einsum(
    'bijh,bjdh->bidh', logits_bar, s.key
  )
  key_bar = _swap(_per_head(was_read, s.maps.query)) + jnp.einsum(
    'bijh,bidh->bjdh', logits_bar, s.query
  )
  maps_bar = EdgeMaps(
    query_map_bar,
    key_map_bar,
    value_map_bar.reshape(s.maps.value.shape),
    gate_bar,
  )
  edges_bar = edges_bar + of_queries + of_keys
  return (
    *(_swap(bar) for bar in (query_bar, key_bar, value_bar)),
    edges_bar,
    maps_bar,
    None,
  )


def _map_bar(
  edges: jax.Array, matrix: Any, product_bar: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Gradients of a map's matrix and of the edges from that of its product."""
  head_size, num_heads = product_bar.shape[-2:]
  rows = product_bar.reshape(-1, matrix.shape[1])
  edge_rows = edges.reshape(-1, edges.shape[-1])
  matrix_bar = _columns(numerics.sum_outer(edge_rows, rows), head_size)
  edges_bar = rows @ _columns(matrix, num_heads).T
  return matrix_bar, edges_bar.reshape(edges.shape)


attend.defvjp(_forward, _backward)
