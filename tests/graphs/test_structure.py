# SPDX-License-Identifier: Apache-2.0
"""Tests of topologies against a loop over the spec's neurons."""

import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import specs
from ng_jax.graphs import structure
from tests import example_networks


def _example_specs():
  made = {name: make().spec for name, make in example_networks.EXAMPLES.items()}
  return {**made, 'mlp': specs.mlp((2, 5, 7, 3), 'sine')}


def _loop(spec):
  """Senders, receivers and edge layers, one edge after another."""
  first, count = {}, 0
  for s in spec.neuron_sets:
    first[s.name] = count
    count += s.size
  edges, layer = [], 0
  for block in spec.blocks:
    sizes = [spec.neuron_set(n).size for n in (block.source, block.target)]
    for i in range(sizes[0]):
      for j in range(sizes[1]):
        if block.kind == 'dense' or i == j:
          number = -1 if block.type == 'skip' else layer
          edges.append(
            (first[block.source] + i, first[block.target] + j, number)
          )
    layer += block.type != 'skip'
  return np.array(edges).T, count


@pytest.mark.parametrize('name', sorted(_example_specs()))
def test_edges_follow_the_spec(name):
  spec = _example_specs()[name]
  topology = graphs.topology(spec)
  (senders, receivers, edge_layers), num_nodes = _loop(spec)
  assert topology.num_nodes == num_nodes
  assert topology.num_edges == len(senders)
  np.testing.assert_array_equal(topology.senders, senders)
  np.testing.assert_array_equal(topology.receivers, receivers)
  np.testing.assert_array_equal(topology.edge_layers, edge_layers)
  for array in (topology.senders, topology.receivers, topology.edge_layers):
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.int32
  for block in topology.blocks:
    rows = slice(block.start, block.start + block.num_edges)
    sources, targets = block.endpoints()
    np.testing.assert_array_equal(sources, senders[rows])
    np.testing.assert_array_equal(targets, receivers[rows])


@pytest.mark.parametrize('name', sorted(_example_specs()))
def test_nodes_follow_the_spec(name):
  spec = _example_specs()[name]
  ids = graphs.topology(spec).node_ids
  found = list(
    zip(
      *(ids[n].tolist() for n in ('role', 'index', 'depth', 'activation')),
      strict=True,
    )
  )
  expected, depth, counts = [], 0, {'input': 0, 'output': 0}
  hidden = sum(s.role == 'hidden' for s in spec.neuron_sets)
  for s in spec.neuron_sets:
    depth += s.role == 'hidden'
    for i in range(s.size):
      number = i
      if s.role in counts:
        number, counts[s.role] = counts[s.role], counts[s.role] + 1
      place = {'input': 0, 'hidden': depth, 'output': hidden + 1}[s.role]
      expected.append(
        (
          structure.ROLES[s.role],
          number,
          place,
          specs.ACTIVATIONS.index(s.activation),
        )
      )
  assert found == expected


def test_numbers_of_a_siren():
  topology = graphs.topology(specs.mlp((2, 32, 32, 1), 'sine'))
  assert (topology.num_nodes, topology.num_edges) == (67, 1120)
  assert topology.num_edge_channels == topology.num_node_channels == 1
  assert topology.kernel == (1, 1)
  np.testing.assert_array_equal(topology.senders[:34], [0] * 32 + [1] * 2)
  assert topology.node_ranges['hidden_2'] == (34, 66)


def test_two_input_sets_count_on():
  spec = specs.NetworkSpec(
    (
      specs.NeuronSet('a', 2, 'input'),
      specs.NeuronSet('b', 3, 'input'),
      specs.NeuronSet('out', 1, 'output'),
    ),
    (specs.Block('one', 'a', 'out'), specs.Block('two', 'b', 'out')),
    (
      specs.Leaf('one', 'source target', 'one'),
      specs.Leaf('two', 'source target', 'two'),
    ),
  )
  ids = graphs.topology(spec).node_ids
  np.testing.assert_array_equal(ids['index'], [0, 1, 2, 3, 4, 0])
  np.testing.assert_array_equal(ids['depth'], [0, 0, 0, 0, 0, 1])


def test_kernels_are_centred_in_the_common_kernel():
  topology = graphs.topology(example_networks.conv().spec)
  channels = {b.block.name: b.channels for b in topology.blocks}
  assert topology.kernel == (3, 3)
  assert topology.num_edge_channels == 9
  assert channels == {
    'one': tuple(range(9)),
    'norm': (4,),
    'two': (1, 4),
    'flat': (0, 1, 2, 3, 4, 5),
    'head': (4,),
  }
  larger = graphs.topology(example_networks.conv().spec, kernel=(5, 7))
  assert larger.num_edge_channels == 35
  assert {b.block.name: b.channels[0] for b in larger.blocks} == {
    'one': 1 * 7 + 2,
    'norm': 17,
    'two': 1 * 7 + 3,
    'flat': 1 * 7 + 2,
    'head': 17,
  }


def test_channels_of_attention():
  topology = graphs.topology(example_networks.attention().spec)
  assert topology.num_edge_channels == 3
  assert topology.num_node_channels == 3
  channels = {b.block.name: b.channels for b in topology.blocks}
  assert channels['project'] == (0, 1, 2)
  assert channels['merge'] == channels['residual'] == (0,)


def test_a_topology_is_made_once_per_spec():
  first = graphs.topology(specs.mlp((2, 5, 1)))
  assert graphs.topology(specs.mlp((2, 5, 1))) is first
  assert graphs.topology(specs.mlp((2, 5, 1), 'sine')) is not first
  assert hash(first) == hash(structure.Topology(specs.mlp((2, 5, 1))))


def test_a_common_kernel_that_is_too_small():
  with pytest.raises(
    ValueError,
    match=r"block 'one': its kernel must fit into the common kernel, got "
    r'\(3, 3\) and kernel=\(3, 1\); raise kernel',
  ):
    graphs.topology(example_networks.conv().spec, kernel=(3, 1))
