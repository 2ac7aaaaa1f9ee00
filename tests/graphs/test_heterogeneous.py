# SPDX-License-Identifier: Apache-2.0
"""Graphs of CNNs, equal to the reference's, and mixed batches of anything."""

import json
import pathlib

import jax
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import networks
from ng_jax import specs
from tests import example_networks

_GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden'
_LINEAR = specs.BLOCK_TYPES.index('linear')


def _load(name):
  with np.load(_GOLDEN / f'{name}.npz') as file:
    arrays = {key: file[key] for key in file.files if key != 'config'}
    return arrays, json.loads(str(file['config']))


def _check_graph(topology, weights, recorded, fields):
  """Bit for bit the recorded graph, in both of the reference's forms."""
  __tracebackhide__ = True
  graph = graphs.flatten(graphs.encode(topology, weights))
  edges = np.asarray(graph.edges['weight'])
  for form in ('graph_linear_as_conv', 'graph_linear_separate'):
    expected = {name: recorded[f'{form}/{name}'] for name in fields}
    np.testing.assert_array_equal(graph.nodes['bias'], expected['x'])
    ends = np.stack([graph.senders, graph.receivers])
    np.testing.assert_array_equal(ends, expected['edge_index'])
    is_linear = np.asarray(graph.edges['type']) == _LINEAR
    if form == 'graph_linear_separate':
      np.testing.assert_array_equal(is_linear, expected['mlp_edge_masks'])
      # There, the weight of a linear layer is in the first channel.
      moved = np.zeros_like(edges[is_linear])
      moved[:, 0] = edges[is_linear].sum(axis=1)
      edges = edges.copy()
      edges[is_linear] = moved
    np.testing.assert_array_equal(edges, expected['edge_attr'])
  outputs = graph.nodes['role'] == 2
  np.testing.assert_array_equal(outputs, recorded['types'] == 1)


_FIELDS = ('x', 'edge_index', 'edge_attr', 'mlp_edge_masks')


@pytest.mark.parametrize('number', [0, 1, 2])
def test_graphs_of_the_wild_park(number):
  arrays, config = _load('cnn_graphs')
  settings = config['cnns'][number]
  network = networks.Cnn(
    channels=tuple(settings['channels']),
    kernel_sizes=tuple(settings['kernel_size']),
    layer_activations=tuple(settings['activation']),
    num_classes=settings['n_classes'],
    residual=tuple(settings['residual']),
  )
  own = {
    name.removeprefix(f'cnn{number}/'): array
    for name, array in arrays.items()
    if name.startswith(f'cnn{number}/')
  }
  names = [f'layers.{i}' for i in range(settings['n_layers'])] + ['fc']
  weights = network.read_torch(
    [own[f'param/{name}.weight'] for name in names],
    [own[f'param/{name}.bias'] for name in names],
  )
  topology = graphs.topology(network.spec, tuple(config['max_kernel_size']))
  own['types'] = own['graph/node_types']
  _check_graph(topology, weights, own, _FIELDS)
  assert own['graph/activations'].tolist() == settings['activation']
  last = topology.node_ranges[f'hidden_{settings["n_layers"]}']
  mask = np.zeros(topology.num_nodes, bool)
  mask[slice(*last)] = True
  np.testing.assert_array_equal(own['graph/spatial_embed_mask'], mask)


@pytest.mark.parametrize('number', [0, 1])
def test_graphs_of_the_zoo(number):
  arrays, config = _load('cnn_zoo_graphs')
  own = {
    name.removeprefix(f'cnn{number}/'): array
    for name, array in arrays.items()
    if name.startswith(f'cnn{number}/')
  }
  sizes = own['graph_linear_as_conv/layer_layout'].tolist()
  network = networks.Cnn(tuple(sizes[:-1]), (3, 3, 3), num_classes=sizes[-1])
  weights = network.read_torch(
    [arrays[f'in/weights_{i}'][number] for i in range(4)],
    [arrays[f'in/biases_{i}'][number] for i in range(4)],
  )
  topology = graphs.topology(network.spec, tuple(config['max_kernel_size']))
  own['types'] = own['graph_linear_as_conv/node_types']
  _check_graph(topology, weights, own, _FIELDS)


def test_degrees_of_both_sets():
  arrays, config = _load('cnn_graphs')
  counts = np.zeros(7, int)
  for number in range(3):
    ends = arrays[f'cnn{number}/graph_linear_as_conv/edge_index']
    num_nodes = len(arrays[f'cnn{number}/graph_linear_as_conv/x'])
    settings = config['cnns'][number]
    network = networks.Cnn(
      tuple(settings['channels']),
      tuple(settings['kernel_size']),
      num_classes=settings['n_classes'],
      residual=tuple(settings['residual']),
    )
    topology = graphs.topology(network.spec, (7, 7))
    degrees = np.bincount(topology.receivers, minlength=num_nodes)
    np.testing.assert_array_equal(
      degrees, np.bincount(ends[1], minlength=num_nodes)
    )
    counts += np.bincount(degrees, minlength=7)
  assert counts.tolist() == config['degree_histogram']


def test_residual_edges_are_identity_kernels():
  network = networks.Cnn(
    (3, 5, 4, 3), (3, 1, (5, 3)), num_classes=2, residual=(-1, -1, 0)
  )
  topology = graphs.topology(network.spec, (7, 5))
  weights = network.init(jax.random.key(0))
  graph = graphs.flatten(graphs.encode(topology, weights))
  skips = graph.edges['type'] == specs.BLOCK_TYPES.index('skip')
  np.testing.assert_array_equal(
    np.nonzero(skips)[0], topology.num_edges - np.array([3, 2, 1])
  )
  expected = np.zeros((3, 35))
  expected[:, 17] = 1
  np.testing.assert_array_equal(graph.edges['weight'][skips], expected)
  np.testing.assert_array_equal(graph.senders[skips], [3, 4, 5])
  np.testing.assert_array_equal(graph.receivers[skips], [12, 13, 14])
  np.testing.assert_array_equal(graph.edges['layer'][skips], -1)
  plain = networks.Cnn((3, 5, 4, 3), (3, 1, (5, 3)), num_classes=2)
  without = graphs.topology(plain.spec, (7, 5))
  added = np.bincount(topology.receivers) - np.bincount(without.receivers)
  np.testing.assert_array_equal(
    added, np.arange(17) // 12 * (np.arange(17) < 15)
  )


def test_channels_say_what_an_edge_has():
  network = networks.Cnn((1, 2, 2), (3, (1, 5)), num_classes=2)
  topology = graphs.topology(network.spec, (3, 5))
  has = topology.edge_channels.reshape(-1, 3, 5)
  first, second, linear = has[0], has[2], has[6]
  assert first.astype(int).tolist() == [[0, 1, 1, 1, 0]] * 3
  assert second.astype(int).tolist() == [[0] * 5, [1] * 5, [0] * 5]
  assert np.argwhere(linear).tolist() == [[1, 2]]


def _mixed():
  """Attention, a CNN, norms and a plain chain, all in one batch."""
  made = [
    example_networks.attention().spec,
    networks.Cnn((3, 4, 2), (3, 1), num_classes=2).spec,
    example_networks.residual_norm().spec,
    specs.mlp((3, 4, 2)),
  ]
  rng = np.random.default_rng(0)
  pairs = []
  for spec in made:
    topology = graphs.topology(spec, (3, 3), min_node_channels=3)
    weights = specs.from_leaf_arrays(
      {
        leaf.path: rng.normal(size=spec.leaf_shape(leaf)).astype(np.float32)
        for leaf in spec.leaves
      }
    )
    pairs.append((topology, weights))
  return pairs


def test_networks_with_and_without_attention_share_a_batch():
  pairs = _mixed()
  batch = graphs.concatenate(pairs, graphs.Budget(5, 80, 250))
  assert batch.nodes['bias'].shape == (80, 3)
  assert batch.edges['weight'].shape == (250, 9)
  assert batch.globals is None
  node, edge = 0, 0
  for topology, weights in pairs:
    alone = graphs.flatten(graphs.encode(topology, weights))
    last_node, last_edge = node + topology.num_nodes, edge + topology.num_edges
    for name, values in alone.nodes.items():
      np.testing.assert_array_equal(batch.nodes[name][node:last_node], values)
    for name, values in alone.edges.items():
      np.testing.assert_array_equal(batch.edges[name][edge:last_edge], values)
    node, edge = last_node, last_edge


def test_mixed_batches_that_do_not_fit():
  pairs = _mixed()
  with pytest.raises(
    ValueError,
    match=r'over budget: num_nodes 76 > 30 .*; raise the budget, or split',
  ):
    graphs.concatenate(pairs, graphs.Budget(5, 30, 250))
  narrow = [
    (graphs.topology(topology.spec, (3, 3)), weights)
    for topology, weights in pairs
  ]
  with pytest.raises(
    ValueError,
    match=r'channels, got \[\(9, 1\), \(9, 3\)\]; make their topologies with '
    'one common kernel, min_edge_channels and min_node_channels',
  ):
    graphs.concatenate(narrow, graphs.Budget(5, 80, 250))
  spec = networks.Cnn((1, 2), (1,), num_classes=2).spec
  weights = networks.Cnn((1, 2), (1,), num_classes=2).init(jax.random.key(0))
  tall, wide = (
    (graphs.topology(spec, kernel), weights) for kernel in ((3, 5), (5, 3))
  )
  with pytest.raises(
    ValueError, match=r'one common kernel, got \[\(3, 5\), \(5, 3\)\]'
  ):
    graphs.stack([tall, wide], max_nodes=9, max_edges=9)
  with pytest.raises(
    ValueError, match=r"'conv_1': its kernel must fit into the common kernel"
  ):
    graphs.topology(networks.Cnn((1, 2), (5,)).spec, (3, 3))


def test_least_widths():
  spec = specs.mlp((2, 3, 1))
  topology = graphs.topology(spec, min_edge_channels=3, min_node_channels=2)
  assert (topology.num_edge_channels, topology.num_node_channels) == (3, 2)
  assert graphs.topology(spec).num_edge_channels == 1
