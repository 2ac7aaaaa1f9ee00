# SPDX-License-Identifier: Apache-2.0
"""Tests of hidden permutations, against networks that know nothing of specs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import specs
from ng_jax.specs import symmetry
from tests import example_networks

_draw = jax.jit(specs.draw_permutation, static_argnums=1)


def _draw_many(spec, count):
  draw = jax.vmap(specs.draw_permutation, in_axes=(0, None))
  keys = jax.random.split(jax.random.key(0), count)
  return jax.jit(draw, static_argnums=1)(keys, spec)


def _weights(spec, seed=0, batch_shape=()):
  rng = np.random.default_rng(seed)
  arrays = {}
  for leaf in spec.leaves:
    shape = (*batch_shape, *spec.leaf_shape(leaf))
    arrays[leaf.path] = (
      rng.uniform(0.5, 1.5, shape)
      if leaf.kind == 'buffer'
      else rng.normal(0.0, 0.5, shape)
    )
  return specs.from_leaf_arrays(arrays)


def _largest_change(weights, other):
  changes = jax.tree.map(lambda a, b: np.max(np.abs(a - b)), weights, other)
  return max(jax.tree.leaves(changes))


@pytest.mark.parametrize(
  'network',
  [
    networks.Mlp((2, 5, 7, 3), activation='tanh'),
    networks.Siren((2, 5, 7, 3)),
    networks.Siren((2, 6, 3), variant='nfn'),
  ],
  ids=['mlp', 'dws', 'nfn'],
)
def test_a_drawn_permutation_moves_weights_and_not_the_function(x64, network):
  spec = network.spec
  weights = _weights(spec)
  permutation = _draw(jax.random.key(3), spec)
  permuted = specs.permute(spec, weights, permutation)
  points = np.random.default_rng(1).uniform(-1, 1, (20, 2))
  run = jax.jit(network.apply)
  np.testing.assert_allclose(
    run(permuted, points), run(weights, points), rtol=0, atol=1e-12
  )
  assert _largest_change(weights, permuted) > 0.1
  assert specs.check_weights(spec, permuted) == ()


@pytest.mark.parametrize('name', sorted(example_networks.EXAMPLES))
def test_the_group_of_the_spec_is_the_group_of_the_function(x64, name):
  example = example_networks.EXAMPLES[name]()
  spec = example.spec
  weights = _weights(spec)
  inputs = np.random.default_rng(1).normal(size=(6, *example.input_shape))
  run = jax.jit(example.apply)
  expected = run(weights, inputs)
  for seed in range(3):
    permutation = _draw(jax.random.key(seed), spec)
    permuted = specs.permute(spec, weights, permutation)
    assert _largest_change(weights, permuted) > 0.1
    np.testing.assert_allclose(
      run(permuted, inputs), expected, rtol=0, atol=1e-12
    )
  for what, forbidden in example.forbidden.items():
    sets = {name: np.array(order) for name, order in forbidden.items()}
    broken = run(specs.permute(spec, weights, sets), inputs)
    assert np.max(np.abs(broken - expected)) > 1e-3, what


def test_permute_takes_neuron_p_i_to_i():
  spec = specs.mlp((2, 3, 1))
  weights = {
    'layer_1': {
      'kernel': np.arange(6.0).reshape(2, 3),
      'bias': np.arange(3.0),
    },
    'layer_2': {'kernel': np.arange(3.0)[:, None], 'bias': np.zeros(1)},
  }
  order = np.array([2, 0, 1])
  permuted = specs.permute(spec, weights, {'hidden_1': order})
  np.testing.assert_array_equal(permuted['layer_1']['bias'], [2, 0, 1])
  np.testing.assert_array_equal(
    permuted['layer_1']['kernel'], [[2, 0, 1], [5, 3, 4]]
  )
  np.testing.assert_array_equal(permuted['layer_2']['kernel'][:, 0], [2, 0, 1])


def test_permute_moves_buffers_with_their_set():
  example = example_networks.conv()
  weights = _weights(example.spec)
  order = np.array([3, 1, 0, 2])
  permuted = specs.permute(example.spec, weights, {'b': order})
  mean = weights['norm']['mean']
  np.testing.assert_allclose(permuted['norm']['mean'], mean[order])


def test_permute_acts_on_every_network_of_a_batch():
  example = example_networks.attention()
  spec = example.spec
  batch = _weights(spec, batch_shape=(2, 3))
  permutation = _draw(jax.random.key(0), spec)
  permuted = specs.permute(spec, batch, permutation)
  one = specs.permute(spec, jax.tree.map(lambda x: x[1, 2], batch), permutation)
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a[1, 2], b), permuted, one
  )


def test_permute_refuses_weights_of_another_spec():
  with pytest.raises(ValueError, match='layer_3/kernel is missing'):
    specs.permute(specs.mlp((2, 3, 3, 1)), _weights(specs.mlp((2, 3, 1))), {})


def test_identity_moves_nothing():
  spec = example_networks.group_norm().spec
  weights = _weights(spec)
  same = specs.permute(spec, weights, symmetry.identity(spec))
  assert _largest_change(weights, same) == 0.0


def test_inputs_and_outputs_stay_put():
  spec = specs.mlp((4, 8, 5))
  for seed in range(5):
    permutation = _draw(jax.random.key(seed), spec)
    np.testing.assert_array_equal(permutation['input'], np.arange(4))
    np.testing.assert_array_equal(permutation['output'], np.arange(5))


def _spec_with_skips(skips, hidden=8, groups=1):
  """Input 3 -> hidden -> output 2 with skips between the named sets."""
  return specs.NetworkSpec(
    (
      specs.NeuronSet('input', 3, 'input'),
      specs.NeuronSet('hidden', hidden, num_groups=groups),
      specs.NeuronSet('output', 2, 'output'),
    ),
    (
      specs.Block('one', 'input', 'hidden'),
      specs.Block('two', 'hidden', 'output'),
      *(
        specs.Block(f'{a} to {b}', a, b, kind='diagonal', type='skip')
        for a, b in skips
      ),
    ),
    (
      specs.Leaf('one', 'source target', 'one'),
      specs.Leaf('two', 'source target', 'two'),
    ),
  )


@pytest.mark.parametrize(
  ('skips', 'first_free'),
  [
    ([('input', 'hidden')], 3),
    ([('hidden', 'output')], 2),
    ([('input', 'hidden'), ('hidden', 'output')], 3),
  ],
)
def test_what_is_tied_to_an_input_or_output_stays_put(skips, first_free):
  spec = _spec_with_skips(skips)
  drawn = _draw_many(spec, 20)['hidden']
  expected = np.broadcast_to(np.arange(first_free), (20, first_free))
  np.testing.assert_array_equal(drawn[:, :first_free], expected)
  assert np.any(drawn[:, first_free:] != np.arange(first_free, 8))


def test_cut_groups_do_not_trade_places():
  # The skip cuts the first of two groups of four: 0-2 stay, 3 is alone, the
  # second group moves inside itself.
  spec = _spec_with_skips([('input', 'hidden')], groups=2)
  drawn = _draw_many(spec, 20)['hidden']
  np.testing.assert_array_equal(drawn[0, :4], np.arange(4))
  np.testing.assert_array_equal(
    np.sort(drawn[:, 4:], axis=1), np.broadcast_to(np.arange(4, 8), (20, 4))
  )
  assert len({tuple(row) for row in np.asarray(drawn).tolist()}) > 5


def test_draws_reach_the_whole_group_of_groups():
  # Two groups of two: 2! (2!)^2 = 8 of the 24 permutations.
  spec = _spec_with_skips([], hidden=4, groups=2)
  drawn = _draw_many(spec, 200)['hidden']
  found = {tuple(row) for row in np.asarray(drawn).tolist()}
  assert len(found) == 8
  assert all({a // 2, b // 2} in ({0}, {1}) for a, b, _, _ in found)


def test_groups_inside_groups():
  # Tied sets with groups of four and of two: both partitions are kept.
  spec = specs.NetworkSpec(
    (
      specs.NeuronSet('input', 1, 'input'),
      specs.NeuronSet('coarse', 8, num_groups=2),
      specs.NeuronSet('fine', 8, num_groups=4),
      specs.NeuronSet('output', 1, 'output'),
    ),
    (
      specs.Block('one', 'input', 'coarse'),
      specs.Block('tie', 'coarse', 'fine', kind='diagonal', type='skip'),
      specs.Block('two', 'fine', 'output'),
    ),
    (
      specs.Leaf('one', 'source target', 'one'),
      specs.Leaf('two', 'source target', 'two'),
    ),
  )
  drawn = _draw_many(spec, 50)
  np.testing.assert_array_equal(drawn['coarse'], drawn['fine'])
  for size in (4, 2):
    groups = np.asarray(drawn['fine']).reshape(50, -1, size) // size
    assert np.all(groups == groups[..., :1])
  assert len({tuple(row) for row in np.asarray(drawn['fine']).tolist()}) > 25


def test_skips_of_skips_form_one_orbit():
  example = example_networks.partial_skip()
  found = symmetry.orbits(example.spec)
  moved = {(orbit.members, orbit.start, orbit.stop) for orbit in found}
  assert moved == {
    (('a', 'c'), 0, 16),
    (('b',), 0, 5),
    (('c',), 16, 32),
  }


def test_draws_depend_on_the_key_alone():
  spec = specs.mlp((2, 9, 9, 1))
  a, b = (_draw(jax.random.key(1), spec) for _ in range(2))
  c = _draw(jax.random.key(2), spec)
  jax.tree.map(np.testing.assert_array_equal, a, b)
  assert np.any(a['hidden_1'] != c['hidden_1'])
  assert np.any(a['hidden_1'] != a['hidden_2'])
  assert a['hidden_1'].dtype == jnp.int32


def test_permutations_are_int32_also_with_64_bit_types_on(x64):
  drawn = _draw(jax.random.key(1), specs.mlp((2, 9, 1)))
  assert {p.dtype.name for p in drawn.values()} == {'int32'}
