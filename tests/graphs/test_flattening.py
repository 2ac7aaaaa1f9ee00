# SPDX-License-Identifier: Apache-2.0
"""Three graphs of a dense layer on a flattened map, each proved by function."""

import jax
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import networks
from ng_jax import specs
from tests import example_networks

# A map of 2 x 3 positions, not square, and a residual into the flattened set.
_NETWORK = networks.Cnn(
  channels=(2, 3, 2, 4),
  kernel_sizes=(3, 3, 3),
  num_classes=3,
  residual=(-1, -1, 0),
  reduction='flatten',
  map_size=(2, 3),
)
_METHODS = ('kernel', 'repeat_nodes', 'extra_layer')
_PLACES = 6


def _weights(spec=_NETWORK.spec, batch_shape=(), dtype=np.float32, seed=0):
  rng = np.random.default_rng(seed)
  return specs.from_leaf_arrays(
    {
      leaf.path: rng.normal(size=(*batch_shape, *spec.leaf_shape(leaf))).astype(
        dtype
      )
      for leaf in spec.leaves
    }
  )


def _stacked(topology, weights):
  """One graph on the host, nodes and edges by name."""
  graph = graphs.stack(
    [(topology, weights)],
    max_nodes=topology.num_nodes,
    max_edges=topology.num_edges,
    dtype=np.float64,
  )
  return jax.tree.map(lambda x: x[0], graph)


@pytest.mark.parametrize('method', _METHODS)
def test_decode_undoes_encode_to_the_bit(method):
  topology = graphs.topology(_NETWORK.spec, flattening=method)
  weights = _weights(batch_shape=(2,))
  weights['linear']['kernel'][0, :3] = np.float32([[-0.0, 1e-42, 3.4e38]])

  @jax.jit
  def there_and_back(weights):
    graph = graphs.encode(topology, weights)
    return (
      graphs.decode(topology, graph),
      graphs.decode(topology, graphs.flatten(graph)),
    )

  for found in there_and_back(weights):
    for path, array in specs.leaf_arrays(weights).items():
      same = np.asarray(specs.leaf_arrays(found)[path])
      assert same.tobytes() == array.tobytes(), path


@pytest.mark.parametrize('method', _METHODS)
def test_all_layouts_show_the_same_graph(method):
  topology = graphs.topology(_NETWORK.spec, flattening=method)
  weights = _weights()
  alone = _stacked(topology, weights)
  flat = graphs.flatten(graphs.encode(topology, weights))
  for name, values in flat.nodes.items():
    np.testing.assert_array_equal(values, alone.nodes[name], err_msg=name)
  for name, values in flat.edges.items():
    np.testing.assert_array_equal(values, alone.edges[name], err_msg=name)
  np.testing.assert_array_equal(flat.senders, alone.senders)


def test_sizes_of_the_three_graphs():
  kernel, repeat, extra = (
    graphs.topology(_NETWORK.spec, flattening=method) for method in _METHODS
  )
  first = 2 * 3 + 3 * 2
  assert (kernel.num_nodes, kernel.num_edges) == (
    14, first + 2 * 4 + 4 * 3 + 3,
  )  # fmt: skip
  assert (repeat.num_nodes, repeat.num_edges) == (
    10 + 4 * _PLACES,
    first + (2 * 4 + 4 * 3 + 3) * _PLACES,
  )
  assert (extra.num_nodes, extra.num_edges) == (
    14 + 4 * _PLACES,
    first + 2 * 4 + 3 + (4 + 4 * 3) * _PLACES,
  )
  # Depth counts layers, not positions; weights keep the layer they have.
  assert set(repeat.node_ids['depth']) == set(range(5))
  assert set(extra.node_ids['depth']) == set(range(6))
  assert list(repeat.node_ids['layer'][-4:]) == [2, 3, 3, 3]
  assert list(extra.node_ids['layer'][-4:]) == [-1, 3, 3, 3]
  for topology in (kernel, repeat, extra):
    assert set(topology.edge_layers) == {-1, 0, 1, 2, 3}
    assert topology.shown.edge_layers[-1] == -1
  np.testing.assert_array_equal(
    repeat.node_ids['place'],
    [-1] * 7 + sorted(list(range(_PLACES)) * 4) + [-1] * 3,
  )
  assert set(kernel.node_ids['place']) == set(extra.node_ids['place']) == {-1}


def _maps(weights, images):
  """The last map, and the network's output."""
  return _NETWORK.maps(weights, images)[-1], _NETWORK.apply(weights, images)


@pytest.mark.parametrize('method', ['repeat_nodes', 'extra_layer'])
def test_the_edges_compute_the_network(x64, method):
  # Values of the nodes before the outputs, moved along the graph's own edges,
  # are the network's output: no row of the matrix is in the wrong place.
  topology = graphs.topology(_NETWORK.spec, flattening=method)
  weights = _weights(dtype=np.float64)
  images = np.random.default_rng(1).normal(size=(1, 2, 3, 2))
  last, expected = jax.jit(_maps)(weights, images)
  graph = _stacked(topology, weights)
  depth = topology.node_ids['depth']
  values = np.zeros(topology.num_nodes)
  into = depth[graph.receivers] == depth[-1]
  into &= graph.edges['type'] == specs.BLOCK_TYPES.index('linear')
  if method == 'repeat_nodes':
    values[depth == 3] = np.asarray(last[0]).reshape(-1)
  else:
    # A channel's map meets the kernel of the edge: one of its positions.
    layer = depth[graph.receivers] == 4
    kernels = graph.edges['weight'][layer].reshape(-1, 3, 3)[:, :2]
    channel = graph.senders[layer] - np.argmax(depth == 3)
    maps = np.moveaxis(np.asarray(last[0]), -1, 0)[channel]
    np.add.at(
      values, graph.receivers[layer], np.sum(maps * kernels, axis=(1, 2))
    )
    assert set(graph.edges['weight'][layer].sum(axis=1)) == {1.0}
  linear = graph.edges['weight'][into]
  centre = linear.shape[-1] // 2
  output = np.zeros(topology.num_nodes)
  np.add.at(
    output,
    graph.receivers[into],
    values[graph.senders[into]] * linear[:, centre],
  )
  output = output[-3:] + graph.nodes['bias'][-3:, 0]
  np.testing.assert_allclose(output, expected[0], rtol=1e-10)


@pytest.mark.parametrize('method', _METHODS)
def test_hidden_permutations_permute_the_graph(x64, method):
  spec = _NETWORK.spec
  topology = graphs.topology(spec, flattening=method)
  weights = _weights(dtype=np.float64)
  permutation = jax.device_get(specs.draw_permutation(jax.random.key(2), spec))
  permutation = {'hidden_1': np.array([2, 0, 1]), **permutation}
  assert any(
    np.any(order != np.arange(order.size)) for order in permutation.values()
  )
  # The network's function does not notice,
  apply = jax.jit(
    lambda w: _NETWORK.apply(w, np.ones((1, 2, 3, 2)) * np.arange(2))
  )
  permuted = specs.permute(spec, weights, permutation)
  np.testing.assert_allclose(apply(permuted), apply(weights), rtol=1e-10)
  # and its graph is the same with the nodes in another order.
  original, found = (_stacked(topology, w) for w in (weights, permuted))
  names = [s.name.split('@')[0] for s in topology.shown.spec.neuron_sets]
  order = np.concatenate(
    [
      first + permutation.get(name, np.arange(last - first))
      for name, (first, last) in zip(
        names, topology.node_ranges.values(), strict=True
      )
    ]
  )
  np.testing.assert_array_equal(
    found.nodes['bias'], original.nodes['bias'][order]
  )
  np.testing.assert_array_equal(
    _dense(topology, found), _dense(topology, original)[order][:, order]
  )


def _dense(topology, graph):
  """Edge features as [num_nodes, num_nodes, channels]."""
  size = topology.num_nodes
  dense = np.zeros((size, size, topology.num_edge_channels))
  dense[graph.senders, graph.receivers] = graph.edges['weight']
  return dense


def test_positions_are_not_channels(x64):
  # Q17: taking the rows of the matrix for (position, channel) instead of
  # (channel, position), or the other way round, is another network.
  weights = _weights(dtype=np.float64)
  kernel = weights['linear']['kernel']
  wrong = kernel.reshape(_PLACES, 4, 3).swapaxes(0, 1).reshape(kernel.shape)
  apply = jax.jit(_NETWORK.apply)
  images = np.random.default_rng(1).normal(size=(1, 2, 3, 2))
  changed = {**weights, 'linear': {**weights['linear'], 'kernel': wrong}}
  difference = apply(changed, images) - apply(weights, images)
  assert np.max(np.abs(difference)) > 1e-3


def test_copies_that_differ_are_averaged():
  topology = graphs.topology(_NETWORK.spec, flattening='repeat_nodes')
  graph = graphs.encode(topology, _weights())
  added = np.zeros((topology.num_nodes, 1), np.float32)
  first, last = topology.node_ranges['hidden_3@1']
  added[first:last] = 6.0
  bias = graph.nodes['bias'] + added
  found = graphs.decode(topology, graph._replace(nodes={'bias': bias}))
  np.testing.assert_allclose(
    found['conv_3']['bias'], _weights()['conv_3']['bias'] + 1, rtol=1e-5
  )


def test_networks_without_a_flattened_map_are_shown_as_they_are():
  spec = networks.Cnn((3, 4), (3,)).spec
  for method in _METHODS:
    topology = graphs.topology(spec, flattening=method)
    assert topology.shown.spec == spec
  attention = example_networks.attention().spec
  shown = graphs.topology(attention, flattening='extra_layer').shown
  assert shown.spec == attention


def test_other_families_are_found_by_their_layout():
  example = example_networks.conv()
  topology = graphs.topology(example.spec, flattening='repeat_nodes')
  assert topology.num_nodes == example.spec.num_nodes + 5 * 3
  weights = _weights(example.spec)
  decoded = graphs.decode(topology, graphs.encode(topology, weights))
  np.testing.assert_array_equal(
    decoded['flat']['kernel'], weights['flat']['kernel']
  )
  assert 'mean' not in decoded['norm']


def test_refused():
  with pytest.raises(
    ValueError,
    match=r"unknown flattening 'tile'; expected one of \['extra_layer', "
    r"'kernel', 'repeat_nodes'\]",
  ):
    graphs.topology(_NETWORK.spec, flattening='tile')
  spec = _NETWORK.spec
  skip = specs.Block('jump', 'hidden_3', 'output', 'diagonal', 'skip')
  spec = specs.NetworkSpec(spec.neuron_sets, (*spec.blocks, skip), spec.leaves)
  with pytest.raises(
    ValueError,
    match="the flattened map 'hidden_3' must be read by one dense layer, got "
    r"the blocks \['linear', 'jump'\]",
  ):
    graphs.topology(spec, flattening='extra_layer')
