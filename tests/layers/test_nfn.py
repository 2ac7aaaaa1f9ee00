# SPDX-License-Identifier: Apache-2.0
"""NFN layers: values, symmetry, initial parameters, pooling, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import specs
from ng_jax.layers import nfn
from ng_jax.layers import nfn_pool
from ng_jax.layers import weight_space
from tests import chain_networks
from tests import example_networks
from tests import repeats

_LAYERS = {
  'np': nfn.NPLinear(2),
  'hnp': nfn.HNPLinear(2),
  'np_pos': nfn.NPLinear(2, position_embedding=True),
}
_CHAINS = {
  'mlp_2': specs.mlp((3, 5, 2)),
  'mlp_3': specs.mlp((3, 5, 4, 2)),
  'mlp_4': specs.mlp((3, 5, 4, 3, 2)),
  'conv_2': chain_networks.torch_chain([(4, 3, 2, 2), (2, 4)]),
  'conv_3': chain_networks.torch_chain([(4, 3, 2, 3), (3, 4, 2, 2), (2, 3)]),
  'conv_4': chain_networks.torch_chain(
    [(4, 3, 2, 2), (3, 4, 1, 3), (4, 3), (2, 4, 2, 1)]
  ),
}


def _draw(rng, shape):
  return rng.normal(size=shape).astype(np.float64)


def _draw_weights(spec, *, num=2, seed=0):
  rng = np.random.default_rng(seed)
  return specs.from_leaf_arrays(
    {
      leaf.path: _draw(rng, (num, *spec.leaf_shape(leaf)))
      for leaf in spec.leaves
    }
  )


def _shapes(layer, space):
  key = jax.eval_shape(jax.random.key, 0)
  return jax.eval_shape(layer.init, key, space)


def _draw_variables(layer, space, *, seed=1):
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda x: 0.5 * _draw(rng, x.shape), _shapes(layer, space)
  )


def _read(spec, weights):
  return weight_space.read(graphs.encode(graphs.topology(spec), weights))


def _fill(slot, shape):
  """The specification's fill of a map: kernel [in, out] and bias."""
  outputs, inputs = np.arange(shape[1])[:, None], np.arange(shape[0])
  kernel = 0.3 * np.sin(1 + 0.7 * slot + 1.3 * outputs + 0.5 * inputs)
  return {
    'kernel': kernel.T,
    'bias': 0.1 * np.cos(slot + np.arange(shape[1])),
  }


def _sanity_space():
  sizes = (2, 3, 3, 2)
  weights, biases = [], []
  for i in range(1, 4):
    sources, targets = np.arange(sizes[i - 1]), np.arange(sizes[i])
    weights.append(
      np.sin(targets + 2.0 * sources[:, None] + i - 1)[None, :, :, None]
    )
    biases.append(np.cos(targets + i - 1.0)[None, :, None])
  return weight_space.WeightSpace(tuple(weights), tuple(biases), (1, 1, 1))


_MIDDLE = (
  'weight_own',
  'weight_whole',
  'weight_sources',
  'weight_targets',
  'bias_own',
  'bias_whole',
)
_ENDS = {
  'layer_1': ('weight_own', 'weight_whole', 'bias_own', 'bias_whole'),
  'layer_3': ('weight_own', 'weight_whole', 'bias_whole'),
}


@pytest.mark.parametrize(
  ('name', 'first', 'second', 'bias'),
  [
    (
      'np',
      [0.161029, 0.292148],
      [-0.522380, -0.122592, 0.081880],
      [0.012565, 0.105421],
    ),
    (
      'hnp',
      [0.610017, -0.385943],
      [-0.438310, -0.159658, 0.001635],
      [-0.213699, 0.176471],
    ),
  ],
)
def test_values_of_the_reference(x64, name, first, second, bias):
  # Printed by the official layers, for parameters of a formula.
  space = _sanity_space()
  shapes = _shapes(_LAYERS[name], space)['params']
  params = {}
  for i in range(3):
    layer = f'layer_{i + 1}'
    maps = _MIDDLE if name == 'np' else _ENDS.get(layer, _MIDDLE)
    assert set(shapes[layer]) == set(maps)
    params[layer] = {
      key: _fill(10 * i + slot, shapes[layer][key]['kernel'].shape)
      for slot, key in enumerate(maps)
    }
  found = _LAYERS[name].apply({'params': params}, space)
  for values, wanted in (
    (found.weights[0][0, :, 0, 0], first),
    (found.weights[1][0, :, 0, 1], second),
    (found.biases[2][0, :, 0], bias),
  ):
    np.testing.assert_allclose(values, wanted, rtol=0, atol=6e-7)


def _permutations(spec, names):
  rng = np.random.default_rng(3)
  sizes = {s.name: s.size for s in spec.neuron_sets}
  # None of them leaves everything as it is.
  return {
    name: np.roll(rng.permutation(sizes[name]), 1)
    if sizes[name] > 2
    else np.arange(sizes[name])[::-1].copy()
    for name in names
  }


def _permute_space(space, spec, permutation):
  order = [permutation.get(s.name) for s in spec.neuron_sets]

  def take(values, index, axis):
    return values if index is None else jnp.take(values, index, axis=axis)

  return space.replace(
    weights=tuple(
      take(take(w, order[i], 1), order[i + 1], 2)
      for i, w in enumerate(space.weights)
    ),
    biases=tuple(take(b, order[i + 1], 1) for i, b in enumerate(space.biases)),
  )


def _difference(a, b):
  return max(
    float(jnp.max(jnp.abs(x - y)))
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  )


@pytest.mark.parametrize(
  'chain',
  repeats.cases(_CHAINS, quick=('mlp_3', 'conv_4')),
)
@pytest.mark.parametrize('name', sorted(_LAYERS))
def test_permutations_pass_through(x64, name, chain):
  # Twice, so that the second layer sees several channels of every kernel.
  spec, layer = _CHAINS[chain], _LAYERS[name]
  space = _read(spec, _draw_weights(spec))
  variables = _draw_variables(layer, space)
  wide = jax.eval_shape(layer.apply, variables, space)
  more = _draw_variables(layer, wide, seed=2)

  @jax.jit
  def run(space):
    return layer.apply(more, layer.apply(variables, space))

  expected = run(space)
  hidden = [s.name for s in spec.neuron_sets if s.role == 'hidden']
  for names, allowed in (
    (hidden, True),
    ([*hidden, 'input'], name == 'np'),
    ([*hidden, 'output'], name == 'np'),
  ):
    permutation = _permutations(spec, names)
    found = run(_permute_space(space, spec, permutation))
    difference = _difference(found, _permute_space(expected, spec, permutation))
    assert (difference < 1e-10) if allowed else (difference > 1e-3), names


def test_features_depend_on_all_they_should(x64):
  # The whole network reaches every value, in one layer.
  spec = specs.mlp((2, 3, 4, 3, 2))
  space = _read(spec, _draw_weights(spec, num=1))
  for name in ('np', 'hnp'):
    layer = _LAYERS[name]
    variables = _draw_variables(layer, space)

    def value(space, layer=layer, variables=variables):
      return layer.apply(variables, space).weights[3][0, 1, 1, 0]

    far = jax.jit(jax.grad(value))(space)
    assert all(bool(jnp.all(jnp.abs(x) > 1e-6)) for x in jax.tree.leaves(far))


def _fills(values, bound):
  largest = np.max(np.abs(values))
  return 0.8 * bound < largest <= bound


def test_maps_that_are_added_start_alike():
  # U(-1/sqrt(fan_in), 1/sqrt(fan_in)) with the fan-in of all of them together.
  spec = chain_networks.torch_chain([(4, 3, 2, 2), (3, 4), (2, 3)])
  space = jax.tree.map(
    lambda x: x.astype(np.float32), _read(spec, _draw_weights(spec))
  )
  init = jax.jit(nfn.HNPLinear(40).init)
  params = init(jax.random.key(0), space)['params']
  for layer, kind, keys in (
    ('layer_2', 'weight', ('own', 'whole', 'sources', 'targets')),
    ('layer_2', 'bias', ('own', 'whole')),
    ('layer_1', 'bias', ('own', 'whole')),
    ('layer_3', 'weight', ('own', 'whole')),
    # Here each has its own.
    ('layer_1', 'weight', ('own',)),
    ('layer_1', 'weight', ('whole',)),
    ('layer_3', 'bias', ('whole',)),
  ):
    maps = [params[layer][f'{kind}_{key}'] for key in keys]
    bound = sum(m['kernel'].shape[0] for m in maps) ** -0.5
    for found in maps:
      assert _fills(found['kernel'], bound), (layer, kind)
      assert _fills(found['bias'], bound), (layer, kind)


def test_learned_positions_start_normal():
  space = _read(_CHAINS['mlp_2'], _draw_weights(_CHAINS['mlp_2']))
  space = jax.tree.map(lambda x: jnp.repeat(x, 400, axis=-1), space)
  params = jax.jit(_LAYERS['np_pos'].init)(jax.random.key(0), space)
  params = params['params']
  for name, size in (
    ('input_positions', 3),
    ('output_positions', 2),
    ('output_bias_positions', 2),
  ):
    assert params[name].shape == (size, 400)
    assert 0.9 < np.std(params[name]) < 1.1


def test_pooling_keeps_what_the_variant_tells_apart(x64):
  spec = chain_networks.torch_chain([(3, 2, 1, 2), (4, 3, 2, 1), (2, 4)])
  space = _read(spec, _draw_weights(spec))

  # Two channels: the second is the square of the first.
  def widen(x, area):
    return jnp.concatenate([x, x**2], axis=-1)

  wide = space.replace(
    weights=tuple(widen(w, 2) for w in space.weights),
    biases=tuple(widen(b, 1) for b in space.biases),
  )
  pooled = {name: fn(wide) for name, fn in nfn_pool.POOLINGS.items()}
  assert pooled['np'].shape == (2, 2 * (3 + 3 + 2))
  assert pooled['hnp'].shape == (2, 2 * (2 * 2 + 1 + 3 + 2 * 2))
  one = {'np': [], 'hnp': []}
  for i, (w, b) in enumerate(zip(space.weights, space.biases, strict=True)):
    means = [w.mean((1, 2)), b.mean(1)]
    one['np'] += means
    ends = {0: [w.mean(2), b.mean(1)], 2: [w.mean(1), b]}
    one['hnp'] += ends.get(i, means)
  for name, parts in one.items():
    first = np.concatenate([np.reshape(p, (2, -1)) for p in parts], axis=-1)
    np.testing.assert_allclose(
      pooled[name][:, : first.shape[1]], first, rtol=1e-12
    )


def test_one_layer_is_too_few_for_hnp():
  space = _read(specs.mlp((3, 2)), _draw_weights(specs.mlp((3, 2))))
  message = "need a network with a hidden layer, got 1 layer; use variant='np'"
  with pytest.raises(ValueError, match=message):
    _shapes(_LAYERS['hnp'], space)
  with pytest.raises(ValueError, match=message):
    nfn_pool.pool_hnp(space)
  shapes = _shapes(_LAYERS['np_pos'], space)['params']
  assert set(shapes['layer_1']) == set(_MIDDLE)


@pytest.mark.parametrize(
  ('example', 'message'),
  [
    ('partial_skip', "block 'jump' is a diagonal skip"),
    ('residual_norm', "block 'norm_0' is a diagonal norm"),
    ('attention', "block 'project' is a dense attention"),
    ('conv', "block 'norm' is a diagonal norm"),
  ],
)
def test_networks_that_are_no_chains_are_refused(example, message):
  spec = example_networks.EXAMPLES[example]().spec
  with pytest.raises(ValueError, match='reads plain chains of linear') as error:
    weight_space.check_chain(spec)
  assert message in str(error.value)
  assert "read such networks with 'ng_gnn' or 'ng_t'" in str(error.value)


def _two_inputs():
  """Two inputs, of which the second joins late."""
  sets = (
    specs.NeuronSet('a', 2, 'input'),
    specs.NeuronSet('b', 2, 'input'),
    specs.NeuronSet('out', 2, 'output'),
  )
  blocks = (specs.Block('one', 'a', 'out'), specs.Block('two', 'b', 'out'))
  leaves = tuple(
    specs.Leaf(f'{name}/kernel', 'source target', name)
    for name in ('one', 'two')
  )
  return specs.NetworkSpec(sets, blocks, leaves)


def _input_bias():
  spec = specs.mlp((2, 3, 2))
  leaf = specs.Leaf('shift', 'target', 'input', kind='node')
  return specs.NetworkSpec(spec.neuron_sets, spec.blocks, (*spec.leaves, leaf))


def _double_bias():
  spec = specs.mlp((2, 3, 2))
  leaf = specs.Leaf('more', 'target', 'hidden_1', kind='node', slot=1)
  return specs.NetworkSpec(spec.neuron_sets, spec.blocks, (*spec.leaves, leaf))


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (_two_inputs, "block 'one' leads 'a' -> 'out'"),
    (_input_bias, "the input set 'input' has a bias"),
    (_double_bias, "neuron set 'hidden_1' has several biases a neuron"),
  ],
)
def test_chains_with_more_than_layers_are_refused(make, message):
  with pytest.raises(ValueError, match=message):
    weight_space.check_chain(make())


def test_reading_and_writing_are_inverse():
  spec = _CHAINS['conv_4']
  topology = graphs.topology(spec)
  weights = _draw_weights(spec)
  weights = jax.tree.map(lambda x: x.astype(np.float32), weights)
  space = weight_space.read(graphs.encode(topology, weights))
  assert space.areas == (4, 3, 1, 2)
  assert [b.shape[1] for b in space.biases] == [4, 3, 4, 2]
  written = weight_space.write(topology, space)
  jax.tree.map(np.testing.assert_array_equal, written, weights)


def test_layers_without_biases_have_zeros():
  spec = specs.mlp((2, 3, 2))
  leaves = tuple(leaf for leaf in spec.leaves if leaf.path != 'layer_1/bias')
  spec = specs.NetworkSpec(spec.neuron_sets, spec.blocks, leaves)
  weights = _draw_weights(spec)
  space = _read(spec, weights)
  np.testing.assert_array_equal(space.biases[0], np.zeros((2, 3, 1)))
  written = weight_space.write(graphs.topology(spec), space)
  assert jax.tree.structure(written) == jax.tree.structure(weights)


def test_graphs_of_mixed_specs_are_refused():
  spec = specs.mlp((2, 3, 2))
  graph = graphs.encode(graphs.topology(spec), _draw_weights(spec))
  with pytest.raises(ValueError, match='got one whose edges are joined'):
    weight_space.read(graphs.flatten(graph))
  single = graphs.encode(
    graphs.topology(spec), jax.tree.map(lambda x: x[0], _draw_weights(spec))
  )
  with pytest.raises(ValueError, match='exactly one leading batch axis'):
    weight_space.read(single)
