# SPDX-License-Identifier: Apache-2.0
"""Tests of activations as a node field: made, checked, batched."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import networks
from tests import probed_networks

_NUM = 3


def _weights(network, num=2):
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: rng.uniform(0.2, 0.9, (num, *x.shape)),
    _one(network),
  )


def _one(network):
  rng = np.random.default_rng(0)
  tree: dict[str, Any] = {}
  for leaf in network.spec.leaves:
    layer, name = leaf.path.split('/')
    values = rng.uniform(0.2, 0.9, network.spec.leaf_shape(leaf))
    tree.setdefault(layer, {})[name] = values
  return tree


def _inputs(network, num=_NUM):
  shape = getattr(network, 'input_shape', (network.spec.num_inputs,))
  values = np.random.default_rng(1).normal(size=(num, *shape))
  return values


@pytest.mark.parametrize('name', sorted(probed_networks.NETWORKS))
def test_activations_are_those_of_each_network_alone(x64, name):
  network = probed_networks.NETWORKS[name]
  weights, inputs = _weights(network), _inputs(network)
  found = graphs.compute_activations(network, weights, inputs)
  assert found.shape == (2, network.spec.num_nodes, _NUM)
  assert isinstance(found, np.ndarray)
  for i in range(2):
    own = jax.tree.map(lambda x, i=i: x[i], weights)
    alone = graphs.compute_activations(network, own, inputs)
    np.testing.assert_allclose(found[i], alone, rtol=1e-9)
    direct = network.activations(own, inputs)
    rows = np.concatenate([np.swapaxes(x, -1, -2) for x in direct])
    np.testing.assert_allclose(found[i], rows, rtol=1e-9)
  # Inputs of each network's own.
  each = np.stack([inputs, inputs[::-1]])
  own_inputs = graphs.compute_activations(network, weights, each)
  np.testing.assert_allclose(own_inputs[1], found[1, :, ::-1], rtol=1e-9)


@dataclasses.dataclass(frozen=True)
class _Sorted:
  """Gives the activations of a hidden set in order of size: not its own."""

  network: Any

  @property
  def spec(self):
    return self.network.spec

  def activations(self, weights, x):
    values = list(self.network.activations(weights, x))
    values[1] = jax.numpy.sort(values[1], axis=-1)
    return tuple(values)


def test_activations_that_do_not_move_with_their_neurons_are_refused():
  network = networks.Mlp((2, 6, 3))
  weights, inputs = _weights(network), _inputs(network)
  graphs.check_activations(network, weights, inputs)
  with pytest.raises(
    ValueError, match="must be permuted .* those of 'hidden_1' differ by"
  ):
    graphs.compute_activations(_Sorted(network), weights, inputs)


@dataclasses.dataclass(frozen=True)
class _Other:
  """A network whose activations are what it is told."""

  values: tuple[Any, ...]

  @property
  def spec(self):
    return networks.Mlp((2, 4, 3)).spec

  def activations(self, weights, x):
    return tuple(None if s is None else np.zeros(s) for s in self.values)


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    (((5, 2), (5, 4)), r"one array per neuron set, got 2 for the sets \['inp"),
    (((5, 2), None, (5, 3)), "neuron set 'hidden_1' cannot be probed"),
    (
      ((5, 2), (5, 6, 4, 4), (5, 3)),
      r"of neuron set 'hidden_1' must have shape .* 4\] with batch \(2,\), "
      r'got \(5, 6, 4, 4\); average over all axes',
    ),
    (((5, 2), (5, 3), (5, 3)), r"set 'hidden_1' must .* got \(5, 3\)"),
    (((5, 2), (3, 5, 4), (5, 3)), r"set 'hidden_1' must .* got \(3, 5, 4\)"),
    (((5, 2), (6, 4), (5, 3)), r"set 'hidden_1' must .* got \(6, 4\)"),
  ],
)
def test_activations_of_a_wrong_shape_are_refused(values, message):
  weights = _weights(networks.Mlp((2, 4, 3)))
  with pytest.raises(ValueError, match=message):
    graphs.node_activations(_Other(values), weights, np.zeros((5, 2)))


def test_what_is_no_network_is_refused():
  with pytest.raises(ValueError, match='must have `spec` and `activations'):
    graphs.run_probes(object(), {}, np.zeros((5, 2)))


def test_activations_must_fit_the_graphs():
  network = networks.Mlp((2, 4, 3))
  weights = _weights(network)
  graph = graphs.encode(graphs.topology(network.spec), weights)
  values = graphs.compute_activations(network, weights, _inputs(network))
  graph = graphs.add_activations(graph, values)
  np.testing.assert_array_equal(graph.nodes['activations'], values)
  flat = graphs.flatten(graph)
  np.testing.assert_array_equal(flat.nodes['activations'], values)
  with pytest.raises(
    ValueError, match=r"shape \(2, 9, 'num_probes'\), got \(2, 8, 3\)"
  ):
    graphs.add_activations(graph, values[:, 1:])


def _mixed():
  """Topologies, weights and activations of two architectures."""
  found = []
  for sizes in ((2, 4, 3), (2, 3, 5, 3)):
    network = networks.Mlp(sizes)
    weights = _one(network)
    values = graphs.compute_activations(network, weights, _inputs(network))
    found.append((graphs.topology(network.spec), weights, values))
  return found


def test_both_layouts_take_activations():
  mixed = _mixed()
  pairs = [(topology, weights) for topology, weights, _ in mixed]
  first, second = (values for _, _, values in mixed)
  budget = graphs.Budget(num_graphs=4, num_nodes=30, num_edges=80)
  joined = graphs.concatenate(pairs, budget, node_activations=[first, second])
  found = joined.nodes['activations']
  assert found.shape == (30, _NUM)
  np.testing.assert_array_equal(found[:9], first)
  np.testing.assert_array_equal(found[9:22], second)
  np.testing.assert_array_equal(found[22:], 0)
  stacked = graphs.stack(
    pairs,
    max_nodes=14,
    max_edges=50,
    num_graphs=3,
    node_activations=[first, second],
  )
  found = stacked.nodes['activations']
  assert found.shape == (3, 14, _NUM)
  np.testing.assert_array_equal(found[0, :9], first)
  np.testing.assert_array_equal(found[1, :13], second)
  assert not found[0, 9:].any() and not found[1, 13:].any()
  assert not found[2].any()
  assert 'activations' not in graphs.concatenate(pairs, budget).nodes


@pytest.mark.parametrize('layout', ['concatenate', 'stack'])
def test_activations_of_other_networks_are_refused(layout):
  mixed = _mixed()
  pairs = [(topology, weights) for topology, weights, _ in mixed]
  first, second = (values for _, _, values in mixed)

  def make(rows):
    if layout == 'stack':
      return graphs.stack(
        pairs, max_nodes=14, max_edges=50, node_activations=rows
      )
    budget = graphs.Budget(num_graphs=4, num_nodes=30, num_edges=80)
    return graphs.concatenate(pairs, budget, node_activations=rows)

  for rows in ([second, first], [first], [first, second[:, :2]]):
    with pytest.raises(ValueError, match=r'for networks of \[9, 13\] nodes'):
      make(rows)
