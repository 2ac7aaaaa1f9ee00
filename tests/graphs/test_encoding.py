# SPDX-License-Identifier: Apache-2.0
"""Tests of the way from weights to graphs and back: to the bit, everywhere."""

import functools

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import specs
from tests import example_networks


@functools.cache
def _spec(name):
  if name == 'mlp':
    return specs.mlp((2, 5, 7, 3))
  return example_networks.EXAMPLES[name]().spec


_NAMES = ('mlp', *sorted(example_networks.EXAMPLES))


def _weights(spec, dtype=np.float32, batch_shape=(), seed=0):
  rng = np.random.default_rng(seed)
  return specs.from_leaf_arrays(
    {
      leaf.path: rng.normal(size=(*batch_shape, *spec.leaf_shape(leaf))).astype(
        dtype
      )
      for leaf in spec.leaves
    }
  )


def _features(spec, weights):
  """The same without buffers, which are no features."""
  arrays = specs.leaf_arrays(weights)
  return specs.from_leaf_arrays(
    {
      leaf.path: arrays[leaf.path]
      for leaf in spec.leaves
      if leaf.kind != 'buffer'
    }
  )


def _assert_same_bits(found, expected):
  __tracebackhide__ = True
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  for a, b in zip(
    jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
  ):
    assert a.dtype == b.dtype
    assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize('name', _NAMES)
def test_decode_undoes_encode_to_the_bit(x64, name):
  # All dtypes and numbers of batch axes of one spec in one compilation.
  spec = _spec(name)
  topology = graphs.topology(spec)
  weights = {
    f'{np.dtype(dtype).name}, {batch_shape}': _weights(spec, dtype, batch_shape)
    for dtype in (np.float64, np.float32, ml_dtypes.bfloat16)
    for batch_shape in ((), (2,), (2, 3))
  }

  def there_and_back(weights):
    found = {}
    for case, tree in weights.items():
      graph = graphs.encode(topology, tree)
      found[case] = (
        graphs.decode(topology, graph),
        graphs.decode(topology, graphs.flatten(graph)),
      )
    return found

  found = jax.jit(there_and_back)(weights)
  for case, tree in weights.items():
    expected = _features(spec, tree)
    for decoded in found[case]:
      _assert_same_bits(decoded, expected)


def test_what_float_arithmetic_would_lose_survives():
  spec = specs.mlp((1, 3, 1))
  weights = _weights(spec)
  weights['layer_1']['kernel'] = np.float32([[-0.0, 1e-42, 3.4e38]])
  topology = graphs.topology(spec)
  decoded = graphs.decode(topology, graphs.encode(topology, weights))
  _assert_same_bits(decoded, weights)


def test_edges_carry_weights_and_nodes_biases():
  spec = specs.mlp((2, 5, 7, 3))
  topology = graphs.topology(spec)
  weights = _weights(spec)
  graph = graphs.flatten(graphs.encode(topology, weights))
  offsets = np.cumsum([0, 2, 5, 7, 3])
  edges = {
    (int(s), int(r)): float(w[0])
    for s, r, w in zip(
      graph.senders, graph.receivers, graph.edges['weight'], strict=True
    )
  }
  assert len(edges) == 2 * 5 + 5 * 7 + 7 * 3
  for k in (1, 2, 3):
    kernel = weights[f'layer_{k}']['kernel']
    for i, j in np.ndindex(*kernel.shape):
      assert edges[offsets[k - 1] + i, offsets[k] + j] == kernel[i, j]
    np.testing.assert_array_equal(
      graph.nodes['bias'][offsets[k] : offsets[k + 1], 0],
      weights[f'layer_{k}']['bias'],
    )
  np.testing.assert_array_equal(graph.nodes['bias'][:2], 0.0)


def test_the_fields_of_a_graph():
  spec = specs.mlp((2, 5, 3))
  topology = graphs.topology(spec)
  weights = _weights(spec, batch_shape=(4,))
  graph = graphs.encode(topology, weights)
  assert graph.nodes['bias'].shape == (4, 10, 1)
  assert [a.shape for a in graph.edges['weight'].arrays] == [
    (4, 2, 5, 1),
    (4, 5, 3, 1),
  ]
  assert graph.edges['weight'].topology is topology
  assert graph.senders.shape == graph.receivers.shape == (4, 25)
  np.testing.assert_array_equal(graph.n_node, np.full((4, 1), 10))
  np.testing.assert_array_equal(graph.n_edge, np.full((4, 1), 25))
  _assert_same_bits(graph.globals['weights'], weights)
  flat = graphs.flatten(graph)
  assert flat.edges['weight'].shape == (4, 25, 1)
  assert set(flat.nodes) == {'bias', *topology.node_ids}
  assert set(flat.edges) == {'weight', 'layer', 'type', 'channels'}
  for name, ids in topology.node_ids.items():
    np.testing.assert_array_equal(flat.nodes[name], np.tile(ids, (4, 1)))
  np.testing.assert_array_equal(
    flat.edges['layer'], np.tile(topology.edge_layers, (4, 1))
  )


@pytest.mark.parametrize('kernel', [None, (5, 7)])
def test_kernels_are_padded_around_their_centre(kernel):
  spec = _spec('conv')
  topology = graphs.topology(spec, kernel)
  height, width = topology.kernel
  weights = _weights(spec)
  edges = graphs.flatten(graphs.encode(topology, weights)).edges['weight']
  kernels = {
    'one': weights['one']['kernel'],
    'norm': np.zeros((1, 1, 4, 4)),
    'two': weights['two']['kernel'],
    'flat': weights['flat']['kernel'].reshape(2, 3, 3, 5),
    'head': weights['head']['kernel'][None, None],
  }
  for block in topology.blocks:
    rows = edges[block.start : block.start + block.num_edges]
    if block.block.name == 'norm':
      expected = np.zeros((4, height * width))
      expected[:, height * width // 2] = weights['norm']['scale']
    else:
      stored = kernels[block.block.name]
      h, w = stored.shape[:2]
      top, left = (height - h) // 2, (width - w) // 2
      padded = np.pad(
        stored,
        [
          (top, height - h - top),
          (left, width - w - left),
          (0, 0),
          (0, 0),
        ],
      )
      expected = padded.transpose(2, 3, 0, 1).reshape(-1, height * width)
    np.testing.assert_array_equal(rows, expected, err_msg=block.block.name)


def test_skips_are_edges_of_one():
  spec = _spec('partial_skip')
  topology = graphs.topology(spec)
  graph = graphs.encode(topology, _weights(spec, batch_shape=(2,)))
  jump = graph.edges['weight'].arrays[-1]
  assert jump.shape == (2, 16, 1)
  assert jump.dtype == np.float32
  np.testing.assert_array_equal(jump, 1.0)
  flat = graphs.flatten(graph)
  # Channel c of a, nodes 3 to 18, to channel c of c, nodes 24 to 55.
  np.testing.assert_array_equal(flat.senders[0, -16:], np.arange(3, 19))
  np.testing.assert_array_equal(flat.receivers[0, -16:], np.arange(24, 40))


def test_query_key_and_value_share_an_edge():
  spec = _spec('attention')
  weights = _weights(spec)
  graph = graphs.encode(graphs.topology(spec), weights)
  project = graph.edges['weight'].arrays[1]
  heads = graph.nodes['bias'][3 + 5 : 3 + 5 + 6]
  for slot, name in enumerate(('query', 'key', 'value')):
    np.testing.assert_array_equal(
      project[..., slot], weights[name]['kernel'].reshape(5, 6)
    )
    np.testing.assert_array_equal(
      heads[:, slot], weights[name]['bias'].reshape(6)
    )
  fused = _spec('fused_attention')
  weights = _weights(fused)
  graph = graphs.encode(graphs.topology(fused), weights)
  np.testing.assert_array_equal(
    graph.edges['weight'].arrays[0],
    weights['qkv']['kernel'].reshape(3, 6, 4).transpose(2, 1, 0),
  )


@pytest.mark.parametrize('name', ['conv', 'attention', 'partial_skip'])
def test_split_undoes_join(name):
  spec = _spec(name)
  topology = graphs.topology(spec)
  blocks = graphs.encode(topology, _weights(spec, batch_shape=(2,))).edges[
    'weight'
  ]
  joined = graphs.join_edges(blocks)
  assert joined.shape == (2, topology.num_edges, topology.num_edge_channels)
  again = graphs.split_edges(topology, joined)
  assert again.topology is topology
  _assert_same_bits(again.arrays, blocks.arrays)


def test_decode_reads_other_fields():
  spec = specs.mlp((2, 3, 1))
  topology = graphs.topology(spec)
  weights, other = _weights(spec), _weights(spec, seed=1)
  graph, new = (graphs.encode(topology, w) for w in (weights, other))
  graph = graph._replace(
    nodes={**graph.nodes, 'new': new.nodes['bias']},
    edges={**graph.edges, 'new': new.edges['weight']},
  )
  decoded = graphs.decode(topology, graph, node_field='new', edge_field='new')
  _assert_same_bits(decoded, other)


def test_jit_changes_nothing():
  spec = _spec('conv')
  encode = functools.partial(graphs.encode, graphs.topology(spec))
  weights = _weights(spec, batch_shape=(2,))

  def both(weights):
    graph = encode(weights)
    return graph, graphs.flatten(graph)

  jax.tree.map(
    np.testing.assert_array_equal, jax.jit(both)(weights), both(weights)
  )


def test_vmap_is_a_batch_axis():
  spec = _spec('partial_skip')
  encode = functools.partial(graphs.encode, graphs.topology(spec))
  weights = _weights(spec, batch_shape=(3,))
  jax.tree.map(
    np.testing.assert_array_equal, jax.vmap(encode)(weights), encode(weights)
  )


@pytest.mark.parametrize('name', ['mlp', 'conv'])
def test_the_gradient_of_the_way_and_back_is_the_identity(name):
  spec = _spec(name)
  topology = graphs.topology(spec)
  weights, cotangent = _weights(spec), _weights(spec, seed=1)

  def there_and_back(weights):
    graph = graphs.encode(topology, weights)
    return (
      graphs.decode(topology, graph),
      graphs.decode(topology, graphs.flatten(graph)),
    )

  @jax.jit
  def pull_back(weights, cotangent):
    _, pull = jax.vjp(there_and_back, weights)
    zeros = jax.tree.map(jnp.zeros_like, cotangent)
    return pull((cotangent, zeros))[0], pull((zeros, cotangent))[0]

  features = _features(spec, cotangent)
  for found in pull_back(weights, features):
    _assert_same_bits(_features(spec, found), features)


@pytest.mark.parametrize('name', ['mlp', 'conv', 'attention', 'partial_skip'])
def test_nothing_is_gathered_or_scattered(name):
  spec = _spec(name)
  topology = graphs.topology(spec)

  def there_and_back(weights):
    flat = graphs.flatten(graphs.encode(topology, weights))
    return flat, graphs.decode(topology, flat)

  def loss(weights):
    _, decoded = there_and_back(weights)
    return sum(jnp.sum(x**2) for x in jax.tree.leaves(decoded))

  weights = _weights(spec, batch_shape=(2,))
  for fn in (there_and_back, jax.grad(loss)):
    text = jax.jit(fn).lower(weights).as_text()
    assert 'gather' not in text
    assert 'scatter' not in text
  # The words to look for are the words that stand there.
  index = np.array([2, 0])
  text = jax.jit(jax.grad(lambda x: jnp.sum(x[index]))).lower(np.ones(3))
  assert 'scatter' in text.as_text()


def test_weights_of_another_spec():
  topology = graphs.topology(specs.mlp((2, 3, 1)))
  with pytest.raises(ValueError, match='layer_2/kernel must have shape'):
    graphs.encode(topology, _weights(specs.mlp((2, 3, 4))))
