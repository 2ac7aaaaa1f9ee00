# SPDX-License-Identifier: Apache-2.0
"""Tests of what a network spec accepts, and of how it is kept."""

import dataclasses
import json

import jax
import pytest

from ng_jax import specs
from tests import example_networks

_SETS = (
  specs.NeuronSet('in', 2, 'input'),
  specs.NeuronSet('mid', 4),
  specs.NeuronSet('out', 3, 'output'),
)
_BLOCKS = (
  specs.Block('one', 'in', 'mid'),
  specs.Block('two', 'mid', 'out'),
)
_LEAVES = (
  specs.Leaf('one/kernel', 'source target', 'one'),
  specs.Leaf('two/kernel', 'source target', 'two'),
)


def _spec(sets=_SETS, blocks=_BLOCKS, leaves=_LEAVES):
  return specs.NetworkSpec(tuple(sets), tuple(blocks), tuple(leaves))


@pytest.mark.parametrize('name', sorted(example_networks.EXAMPLES))
def test_json_and_back(name):
  spec = example_networks.EXAMPLES[name]().spec
  text = spec.to_json()
  again = specs.NetworkSpec.from_json(text)
  assert again == spec
  assert hash(again) == hash(spec)
  assert again.to_json() == text


@pytest.mark.parametrize(
  'text',
  [
    'no json',
    '[]',
    '{}',
    '{"neuron_sets": [{"nom": "in"}], "blocks": [], "leaves": []}',
    '{"neuron_sets": [], "blocks": ["one"], "leaves": []}',
    '{"neuron_sets": 3, "blocks": [], "leaves": []}',
  ],
)
def test_json_that_is_no_spec(text):
  with pytest.raises(ValueError, match='must be a network spec written by'):
    specs.NetworkSpec.from_json(text)


def test_json_that_breaks_a_rule():
  content = json.loads(_spec().to_json())
  content['neuron_sets'][1]['role'] = 'middle'
  with pytest.raises(ValueError, match="unknown role 'middle'"):
    specs.NetworkSpec.from_json(json.dumps(content))


def test_equal_specs_are_one_static_argument():
  traced = []

  @jax.jit
  def double(x):
    return 2 * x

  def count(x, spec):
    traced.append(spec)
    return double(x)

  counted = jax.jit(count, static_argnums=1)
  counted(1.0, _spec())
  counted(2.0, _spec())
  assert len(traced) == 1
  assert {_spec(): 1}[_spec()] == 1
  assert _spec() != specs.mlp((2, 4, 3))


def test_a_spec_is_frozen():
  with pytest.raises(dataclasses.FrozenInstanceError):
    _spec().blocks = ()


def test_entries_by_name():
  spec = _spec()
  assert spec.neuron_set('mid').size == 4
  assert spec.block('two').source == 'mid'
  with pytest.raises(KeyError):
    spec.neuron_set('none')


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (
      lambda: specs.NeuronSet('a', 2, 'inner'),
      r"neuron set 'a': unknown role 'inner'; expected one of \['hidden', "
      r"'input', 'output'\]",
    ),
    (
      lambda: specs.NeuronSet('a', 2, activation='swish'),
      "neuron set 'a': unknown activation 'swish'; expected one of",
    ),
    (lambda: specs.NeuronSet('a', 0), 'size must be at least 1, got 0'),
    (
      lambda: specs.NeuronSet('a', 6, num_groups=4),
      'num_groups must divide size, got size=6 and num_groups=4',
    ),
    (
      lambda: specs.NeuronSet('a', 6, num_groups=0),
      'num_groups must divide size, got size=6 and num_groups=0',
    ),
    (
      lambda: specs.Block('b', 'x', 'y', kind='sparse'),
      r"block 'b': unknown kind 'sparse'; expected one of \['dense'",
    ),
    (
      lambda: specs.Block('b', 'x', 'y', type='lstm'),
      "block 'b': unknown type 'lstm'; expected one of",
    ),
    (
      lambda: specs.Block('b', 'x', 'y', num_channels=8, kernel=(3, 3)),
      r'num_channels must be the kernel area, got num_channels=8 and '
      r'kernel=\(3, 3\)',
    ),
    (
      lambda: specs.Block('b', 'x', 'y', type='skip'),
      "a skip must be diagonal with one channel, got kind='dense'",
    ),
    (
      lambda: specs.Leaf('c', 'target', 'x', kind='weight'),
      r"leaf 'c': unknown kind 'weight'; expected one of \['buffer', 'edge'",
    ),
    (
      lambda: _spec(sets=(*_SETS[:2], _SETS[1], _SETS[2])),
      r"each neuron set needs its own name, got \['mid'\] twice",
    ),
    (
      lambda: _spec(blocks=(*_BLOCKS, _BLOCKS[0])),
      r"each block needs its own name, got \['one'\] twice",
    ),
    (
      lambda: _spec(leaves=(*_LEAVES, _LEAVES[1])),
      r"each leaf needs its own name, got \['two/kernel'\] twice",
    ),
    (
      lambda: _spec(sets=(_SETS[1], _SETS[0], _SETS[2])),
      'must list inputs, then hidden sets, then outputs',
    ),
    (
      lambda: _spec(sets=_SETS[:2], blocks=_BLOCKS[:1], leaves=_LEAVES[:1]),
      'at least one input and one output',
    ),
    (
      lambda: _spec(blocks=(*_BLOCKS, specs.Block('b', 'in', 'end'))),
      r"block 'b' names the unknown neuron set 'end'; expected one of \['in'",
    ),
    (
      lambda: _spec(blocks=(*_BLOCKS, specs.Block('b', 'out', 'mid'))),
      "block 'b' must lead to a later neuron set, got 'out' -> 'mid'",
    ),
    (
      lambda: _spec(blocks=(*_BLOCKS, specs.Block('b', 'mid', 'mid'))),
      "block 'b' must lead to a later neuron set, got 'mid' -> 'mid'",
    ),
    (
      lambda: _spec(blocks=_BLOCKS[1:], leaves=_LEAVES[1:]),
      "do not chain: no block leads out of the input neuron set 'in'",
    ),
    (
      lambda: _spec(
        sets=(_SETS[0], _SETS[1], specs.NeuronSet('more', 1), _SETS[2])
      ),
      'no block leads into or out of the hidden neuron set',
    ),
    (
      lambda: _spec(
        sets=(*_SETS, specs.NeuronSet('out_2', 1, 'output')),
      ),
      "no block leads into the output neuron set 'out_2'",
    ),
    (
      lambda: _spec(leaves=(*_LEAVES, specs.Leaf('c', 'target', 'three'))),
      r"leaf 'c' fills the unknown block 'three'; expected one of \['one'",
    ),
    (
      lambda: _spec(
        leaves=(*_LEAVES, specs.Leaf('c', 'target', 'one', kind='node'))
      ),
      r"leaf 'c' fills the unknown neuron set 'one'; expected one of \['in'",
    ),
    (
      lambda: _spec(leaves=_LEAVES[:1]),
      r"block 'two': its leaves must fill channels 0 to 0 once each, got \[\]",
    ),
    (
      lambda: _spec(leaves=(*_LEAVES, specs.Leaf('c', 'source target', 'two'))),
      r"block 'two': its leaves must fill .* got \[0, 0\]",
    ),
    (
      lambda: _spec(
        leaves=(*_LEAVES, specs.Leaf('c', 'source target', 'two', slot=1))
      ),
      r"block 'two': its leaves must fill .* got \[0, 1\]",
    ),
    (
      lambda: _spec(
        leaves=(*_LEAVES, specs.Leaf('c', 'target', 'out', 'node', slot=1))
      ),
      r"neuron set 'out': its leaves must fill channels 0 to 0 .* got \[1\]",
    ),
    (
      lambda: _spec(
        leaves=(
          *_LEAVES,
          specs.Leaf('c', 'target', 'mid', 'node'),
          specs.Leaf('d', 'target', 'mid', 'node'),
        )
      ),
      r"neuron set 'mid': its leaves must fill .* got \[0, 0\]",
    ),
    (
      lambda: _spec(leaves=(_LEAVES[0], specs.Leaf('c', 'target', 'two'))),
      "leaf 'c': the source axes of layout 'target' must multiply to",
    ),
  ],
)
def test_broken_rules(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_buffers_fill_no_channels():
  leaves = (
    *_LEAVES,
    specs.Leaf('mean', 'target', 'mid', 'buffer'),
    specs.Leaf('var', 'target', 'mid', 'buffer'),
  )
  assert _spec(leaves=leaves).leaf_shape(leaves[-1]) == (4,)


def test_a_diagonal_block_runs_over_the_smaller_set():
  block = specs.Block('scale', 'in', 'mid', kind='diagonal', type='norm')
  leaf = specs.Leaf('scale', 'target', 'scale')
  spec = _spec(blocks=(*_BLOCKS, block), leaves=(*_LEAVES, leaf))
  assert spec.leaf_shape(leaf) == (2,)
