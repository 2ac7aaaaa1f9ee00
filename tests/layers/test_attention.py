# SPDX-License-Identifier: Apache-2.0
"""Tests of relational attention against a worked example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import layers


def _linear(slot, fan_in, features, *, bias=True):
  """W[o, i] = 0.3 sin(1 + 0.7 s + 1.3 o + 0.5 i), b[o] = 0.1 cos(s + o)."""
  i, o = np.meshgrid(np.arange(fan_in), np.arange(features), indexing='ij')
  layer = {'kernel': 0.3 * np.sin(1 + 0.7 * slot + 1.3 * o + 0.5 * i)}
  if bias:
    layer['bias'] = 0.1 * np.cos(slot + np.arange(features))
  return layer


def _params():
  norms = {
    f'{kind}_norm_{i}': {'scale': np.ones(size), 'bias': np.zeros(size)}
    for kind, size in (('node', 4), ('edge', 3))
    for i in range(2)
  }
  return {
    'attention': {
      'nodes': _linear(0, 4, 12, bias=False)['kernel'],
      'edges': _linear(1, 3, 16, bias=False)['kernel'],
      'out': _linear(2, 4, 4),
    },
    'attention_out': _linear(3, 4, 4),
    'node_mlp_in': _linear(4, 4, 8, bias=False),
    'node_mlp_out': _linear(5, 8, 4),
    'update_edge': _linear(6, 6, 4),
    'update_source': _linear(7, 4, 4),
    'update_target': _linear(8, 4, 4),
    'update_out': _linear(9, 4, 3),
    'edge_mlp_in': _linear(10, 3, 4, bias=False),
    'edge_mlp_out': _linear(11, 4, 3),
    **norms,
  }


def _inputs():
  n, d = np.meshgrid(np.arange(3), np.arange(4), indexing='ij')
  i, j, c = np.meshgrid(np.arange(3), np.arange(3), np.arange(3), indexing='ij')
  nodes = np.sin(0.9 * n + 0.4 * d + 0.2)[None]
  return nodes, np.cos(0.5 * i - 0.8 * j + 0.3 * c)[None]


_BLOCK = layers.RelationalBlock(
  attention_size=4, num_heads=2, node_hidden_size=8, edge_hidden_size=4
)


def test_a_block_by_hand(x64):
  def run(params, nodes, edges):
    attention = layers.RelationalAttention(attention_size=4, num_heads=2)
    attended = attention.apply({'params': params['attention']}, nodes, edges)
    return attended, *_BLOCK.apply({'params': params}, nodes, edges)

  attended, nodes, edges = jax.jit(run)(_params(), *_inputs())
  for found, expected in (
    (attended[0, 0], [0.008267, -0.140067, -0.137217, 0.030993]),
    (attended[0, 2], [0.034791, -0.142105, -0.164831, 0.018257]),
    (nodes[0, 0], [-1.567309, -0.148821, 0.701858, 1.014271]),
    (nodes[0, 1], [-0.452752, 1.179104, 0.671450, -1.397802]),
    (edges[0, 0, 1], [0.652488, 0.760347, -1.412835]),
    (edges[0, 2, 0], [1.277846, -0.114215, -1.163631]),
  ):
    np.testing.assert_allclose(found, expected, rtol=0, atol=6e-7)


def test_nobody_reads_masked_nodes(x64):
  nodes, edges = _inputs()
  mask = np.array([[True, True, False]])
  changed = nodes.copy()
  changed[:, 2] += 5.0
  changed_edges = edges.copy()
  changed_edges[:, :, 2] -= 3.0

  @jax.jit
  def run(nodes, edges, mask):
    return _BLOCK.apply({'params': _params()}, nodes, edges, mask)

  found, found_edges = run(changed, changed_edges, mask)
  expected, expected_edges = run(nodes, edges, mask)
  np.testing.assert_array_equal(found[:, :2], expected[:, :2])
  np.testing.assert_array_equal(
    found_edges[:, :2, :2], expected_edges[:, :2, :2]
  )
  everybody, _ = run(changed, changed_edges, np.ones_like(mask))
  assert np.max(np.abs(everybody[:, :2] - expected[:, :2])) > 1e-3


def test_heads_must_divide_the_width():
  attention = layers.RelationalAttention(attention_size=6, num_heads=4)
  with pytest.raises(
    ValueError,
    match='num_heads must divide attention_size, got num_heads=4 and '
    'attention_size=6; try num_heads=',
  ):
    attention.init(
      jax.random.key(0), jnp.zeros((1, 3, 4)), jnp.zeros((1, 3, 3, 3))
    )
