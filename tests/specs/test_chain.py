# SPDX-License-Identifier: Apache-2.0
"""Tests of the spec of a chain of linear layers."""

import pytest

from ng_jax import specs


def test_sets_blocks_and_leaves_follow_the_sizes():
  spec = specs.mlp((2, 5, 7, 3), 'sine')
  assert [(s.name, s.size, s.role, s.activation) for s in spec.neuron_sets] == [
    ('input', 2, 'input', 'none'),
    ('hidden_1', 5, 'hidden', 'sine'),
    ('hidden_2', 7, 'hidden', 'sine'),
    ('output', 3, 'output', 'none'),
  ]
  assert [(b.name, b.source, b.target) for b in spec.blocks] == [
    ('layer_1', 'input', 'hidden_1'),
    ('layer_2', 'hidden_1', 'hidden_2'),
    ('layer_3', 'hidden_2', 'output'),
  ]
  assert {leaf.path: spec.leaf_shape(leaf) for leaf in spec.leaves} == {
    'layer_1/kernel': (2, 5),
    'layer_1/bias': (5,),
    'layer_2/kernel': (5, 7),
    'layer_2/bias': (7,),
    'layer_3/kernel': (7, 3),
    'layer_3/bias': (3,),
  }
  assert spec.num_nodes == 17
  assert spec.num_inputs == 2
  assert spec.num_outputs == 3
  assert spec.num_hidden_sets == 2


def test_a_linear_map_is_a_chain_without_hidden_layers():
  spec = specs.mlp((4, 2))
  assert [s.role for s in spec.neuron_sets] == ['input', 'output']
  assert spec.num_hidden_sets == 0


@pytest.mark.parametrize('sizes', [(), (3,)])
def test_too_few_sizes(sizes):
  with pytest.raises(ValueError, match='must have an input and an output size'):
    specs.mlp(sizes)


def test_an_empty_layer():
  with pytest.raises(ValueError, match="'hidden_1': size must be at least 1"):
    specs.mlp((2, 0, 1))


def test_an_unknown_activation_lists_the_known_ones():
  with pytest.raises(
    ValueError, match=r"unknown activation 'swish'; expected one of \['elu'"
  ):
    specs.mlp((2, 3, 1), 'swish')
