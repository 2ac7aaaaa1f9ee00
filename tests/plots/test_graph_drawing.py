# SPDX-License-Identifier: Apache-2.0
"""The drawn graph has the edges, nodes and colours of the network."""

import jax
from matplotlib import collections
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import plots
from ng_jax import specs
from ng_jax import testing
from ng_jax.plots import graph_layout
from tests import example_networks


def _draw(spec, **options):
  weights = testing.draw_weights(jax.random.key(0), spec)
  figure = plots.neural_graph(spec, weights, **options)
  return weights, figure


def _lines(figure):
  return [
    marks
    for marks in figure.axes[0].collections
    if isinstance(marks, collections.LineCollection)
  ]


def test_every_weight_is_an_edge_of_its_colour_between_its_neurons():
  network = networks.Mlp((2, 3, 1))
  weights, figure = _draw(network.spec)
  first, _ = _lines(figure)
  kernel = np.asarray(specs.leaf_arrays(weights)[network.spec.leaves[0].path])
  layout = graph_layout.arrange(network.spec, 12)
  sources = layout.places(network.spec.neuron_sets[0].name)
  targets = layout.places(network.spec.neuron_sets[1].name)
  expected = {
    (tuple(sources[i]), tuple(targets[j])): kernel[i, j]
    for i in range(2)
    for j in range(3)
  }
  found = {
    (tuple(path[0]), tuple(path[-1])): value
    for path, value in zip(first.get_segments(), first.get_array(), strict=True)
  }
  assert found.keys() == expected.keys()
  for ends, value in expected.items():
    assert found[ends] == pytest.approx(value)
  low, high = first.get_clim()
  assert low == -high


@pytest.mark.parametrize('name', example_networks.EXAMPLES)
def test_any_spec_can_be_drawn(name):
  spec = example_networks.EXAMPLES[name]().spec
  _, figure = _draw(spec, max_neurons=40, title=name)
  lines = _lines(figure)
  assert len(lines) == len(spec.blocks)
  circles = [c for c in figure.axes[0].collections if c not in lines]
  assert sum(len(c.get_offsets()) for c in circles) == spec.num_nodes
  plots.to_array(figure)  # It can be painted.


def test_a_kernel_has_the_colour_of_its_mean():
  spec = networks.Cnn((1, 2, 3), (3, 1), ('relu', 'relu')).spec
  weights, figure = _draw(spec)
  arrays = specs.leaf_arrays(weights)
  layout = graph_layout.arrange(spec, 12)
  for block, lines in zip(spec.blocks, _lines(figure), strict=True):
    (leaf,) = (x for x in spec.leaves if x.fills == block.name)
    means = np.asarray(arrays[leaf.path]).reshape(-1, *_sizes(spec, block))
    sources, targets = layout.neurons(block)
    expected = means.mean(axis=0)[sources, targets]
    np.testing.assert_allclose(
      np.sort(lines.get_array()), np.sort(expected), rtol=1e-5
    )
  assert 'the colour of their mean' in figure.axes[0].get_xlabel()


def _sizes(spec, block):
  sizes = {s.name: s.size for s in spec.neuron_sets}
  return sizes[block.source], sizes[block.target]


def test_skips_pass_over_the_columns_between():
  spec = example_networks.partial_skip().spec
  _, figure = _draw(spec)
  layout = graph_layout.arrange(spec, 12)
  skip = _lines(figure)[-1]
  assert skip.get_array() is None  # No weight, so no colour of a weight.
  tops = [path[:, 1].max() for path in skip.get_segments()]
  assert len(tops) == 6  # The first six of the 16 channels are shown.
  assert min(tops) > layout.top


def test_what_is_left_out_is_said():
  spec = networks.Mlp((3, 100, 2)).spec
  _, figure = _draw(spec, max_neurons=6)
  panel = figure.axes[0]
  note = '11 of 105 neurons and 30 of 500 edges are shown'
  assert panel.get_xlabel() == note
  assert '⋮' in [text.get_text() for text in panel.texts]


def test_sets_of_a_column_do_not_overlap():
  blocks = (
    specs.Block('one', 'left', 'hidden'),
    specs.Block('two', 'right', 'hidden'),
    specs.Block('three', 'hidden', 'out'),
  )
  spec = specs.NetworkSpec(
    (
      specs.NeuronSet('left', 3, 'input'),
      specs.NeuronSet('right', 20, 'input'),
      specs.NeuronSet('hidden', 4),
      specs.NeuronSet('out', 1, 'output'),
    ),
    blocks,
    tuple(
      specs.Leaf(f'{b.name}/kernel', 'source target', b.name) for b in blocks
    ),
  )
  layout = graph_layout.arrange(spec, 8)
  assert layout.columns == {'left': 0, 'right': 0, 'hidden': 1, 'out': 2}
  assert layout.heights['left'][-1] > layout.heights['right'][0] + 1
  _, figure = _draw(spec)
  bars = [axes.get_title() for axes in figure.axes[1:]]
  assert bars == ['weight']  # The network has no biases.


def test_labels_move_with_the_neurons_that_they_name():
  network = networks.Mlp((2, 3, 1))
  _, figure = _draw(network.spec, labels={'hidden_1': 'abc'})
  places = {
    text.get_text(): text.get_position()[1]
    for text in figure.axes[0].texts
    if text.get_text() in set('abc')
  }
  assert places['a'] > places['b'] > places['c']


def test_layers_have_their_own_scale_on_request():
  network = networks.Mlp((2, 3, 1))
  weights = testing.draw_weights(jax.random.key(0), network.spec)
  path = network.spec.leaves[0].path
  arrays = specs.leaf_arrays(weights)
  small = specs.from_leaf_arrays({**arrays, path: 1e-3 * arrays[path]})
  shades = [
    _lines(plots.neural_graph(network.spec, w, per_layer=True))[0].get_array()
    for w in (weights, small)
  ]
  np.testing.assert_allclose(*shades, rtol=1e-5)


def test_wrong_arguments_are_refused():
  network = networks.Mlp((2, 3, 1))
  many = testing.draw_weights(jax.random.key(0), network.spec, batch_shape=(2,))
  with pytest.raises(ValueError, match='must be of one network'):
    plots.neural_graph(network.spec, many)
  with pytest.raises(ValueError, match="the unknown neuron set 'hiden'"):
    _draw(network.spec, labels={'hiden': 'abc'})
  with pytest.raises(ValueError, match='one text for each of the 3 neurons'):
    _draw(network.spec, labels={'hidden_1': 'ab'})
  with pytest.raises(ValueError, match='max_neurons must be at least 2'):
    _draw(network.spec, max_neurons=1)
