# SPDX-License-Identifier: Apache-2.0
"""NFN baselines: sizes, symmetry, encodings, statistics, options, errors."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import specs
from ng_jax import testing
from ng_jax.layers import nfn_embed
from ng_jax.weights import statistics
from tests import chain_networks
from tests import example_networks
from tests import repeats
from tests.models import readers

_MLP = specs.mlp((2, 4, 5, 3, 2), 'sine')
_CNN = chain_networks.torch_chain([(3, 2, 2, 3), (4, 3, 1, 2), (2, 4)])
_ZOO = chain_networks.torch_chain(
  [(16, 1, 3, 3), (16, 16, 3, 3), (16, 16, 3, 3), (10, 16)]
)
# As published for the zoo.
_ZOO_OPTIONS = {
  'channels': (16, 16, 5),
  'num_outputs': 1,
  'fourier_size': 0,
  'io_bands': 0,
  'dropout': 0.0,
}


def _shapes(model, spec):
  weights = readers.draw_weights(spec, num=1)
  graph = graphs.encode(graphs.topology(spec), weights)
  key = jax.eval_shape(jax.random.key, 0)
  return jax.eval_shape(model.init, {'params': key}, graph)


@pytest.mark.parametrize(
  ('name', 'spec', 'options', 'count'),
  [
    ('nfn', specs.mlp((2, 32, 32, 1)), {}, 53283114),
    ('nfn_edit', specs.mlp((2, 32, 32, 1)), {}, 4133656),
    ('nfn', _ZOO, {**_ZOO_OPTIONS, 'variant': 'hnp'}, 2811743),
    ('nfn', _ZOO, {**_ZOO_OPTIONS, 'variant': 'np_pos'}, 2031390),
  ],
  ids=['classifier', 'editor', 'zoo-hnp', 'zoo-np_pos'],
)
def test_sizes_of_the_paper(name, spec, options, count):
  shapes = _shapes(models.create(name, spec=spec, **options), spec)
  assert count == sum(
    math.prod(p.shape) for p in jax.tree.leaves(shapes['params'])
  )
  constants = specs.leaf_arrays(shapes.get('constants', {}))
  fourier = options.get('fourier_size', models.create(name).fourier_size)
  assert {path: x.shape for path, x in constants.items()} == (
    {'embedding/frequencies': (fourier,)} if fourier else {}
  )


def _runner(name, spec, **options):
  """Compiles weights [B, ...] -> result once, in float64."""
  model = readers.create(name, spec, **options)
  variables = readers.draw_variables(model, spec, dtype=np.float64)
  topology = graphs.topology(spec)

  @jax.jit
  def run(weights):
    return model.apply(variables, graphs.encode(topology, weights))

  return run


def _largest_difference(a, b):
  differences = jax.tree.map(lambda x, y: np.max(np.abs(x - y)), a, b)
  return max(jax.tree.leaves(differences))


_SPECS = {'mlp': _MLP, 'cnn': _CNN}
# Whether the model tells inputs and outputs apart.
_TOLD_APART = [
  ('np', {}, True),
  ('np', {'io_bands': 0}, False),
  ('hnp', {'io_bands': 0}, True),
  ('np_pos', {'io_bands': 0, 'fourier_size': 0}, True),
]


@pytest.mark.parametrize('network', repeats.cases(_SPECS, repeats=('mlp',)))
@pytest.mark.parametrize(('variant', 'options', 'apart'), _TOLD_APART)
def test_predictions_are_invariant(x64, variant, options, apart, network):
  spec = _SPECS[network]
  run = _runner('nfn', spec, variant=variant, **options)
  weights = readers.draw_weights(spec, num=3, dtype=np.float64)
  logits = run(weights)
  assert np.min(np.std(logits, axis=0)) > 1e-4
  testing.assert_invariant(
    run, spec, weights=weights, key=jax.random.key(1), atol=1e-10, rtol=0
  )
  for end in ('input', 'output'):
    swapped = run(specs.permute(spec, weights, {end: np.array([1, 0])}))
    difference = np.max(np.abs(swapped - logits))
    assert (difference > 1e-6) if apart else (difference < 1e-10), end


@pytest.mark.parametrize('network', repeats.cases(_SPECS, repeats=('cnn',)))
@pytest.mark.parametrize(
  ('variant', 'options', 'apart'),
  repeats.cases(_TOLD_APART, repeats=_TOLD_APART[:1]),
)
def test_edits_are_equivariant(x64, variant, options, apart, network):
  spec = _SPECS[network]
  run = _runner('nfn_edit', spec, variant=variant, **options)
  weights = readers.draw_weights(spec, num=2, dtype=np.float64)
  updates = run(weights)
  # The tree of the weights, to which the caller adds it.
  assert jax.tree.map(np.shape, updates) == jax.tree.map(np.shape, weights)
  assert min(np.std(x) for x in jax.tree.leaves(updates)) > 1e-4
  testing.assert_equivariant(
    run, spec, weights=weights, key=jax.random.key(1), atol=1e-10, rtol=0
  )
  for end in ('input', 'output'):
    swap = {end: np.array([1, 0])}
    swapped = run(specs.permute(spec, weights, swap))
    wanted = specs.permute(spec, updates, swap)
    difference = _largest_difference(swapped, wanted)
    assert (difference > 1e-6) if apart else (difference < 1e-10), end


@pytest.mark.slow
def test_updates_start_small_and_are_scaled_per_layer():
  model = readers.create('nfn_edit', _MLP, out_scale=0.25)
  weights = readers.draw_weights(_MLP, num=2)
  graph = graphs.encode(graphs.topology(_MLP), weights)
  variables = readers.draw_variables(model, _MLP)
  scales = variables['params']['scales']
  kinds = ('weight', 'bias')
  assert set(scales) == {f'{kind}_{i}' for kind in kinds for i in range(1, 5)}
  ones = {name: np.ones_like(value) for name, value in scales.items()}
  ones['weight_2'], ones['bias_3'] = np.float32(0.0), np.float32(-2.0)

  @jax.jit
  def run(scales):
    params = {**variables['params'], 'scales': scales}
    return model.apply({**variables, 'params': params}, graph)

  plain = run({name: np.ones_like(value) for name, value in scales.items()})
  found = run(ones)
  np.testing.assert_array_equal(found['layer_2']['kernel'], 0.0)
  np.testing.assert_allclose(
    found['layer_3']['bias'], -2 * plain['layer_3']['bias'], rtol=1e-6
  )
  np.testing.assert_array_equal(
    found['layer_1']['kernel'], plain['layer_1']['kernel']
  )
  small = models.create('nfn_edit', channels=(2,), fourier_size=2)
  params = jax.jit(small.init)({'params': jax.random.key(0)}, graph)
  assert {float(x) for x in params['params']['scales'].values()} == {
    np.float32(0.01)
  }


def test_dropout_of_the_editor():
  model = readers.create('nfn_edit', _MLP, dropout=0.5)
  variables = readers.draw_variables(model, _MLP)
  weights = readers.draw_weights(_MLP, num=1)
  graph = graphs.encode(graphs.topology(_MLP), weights)

  @jax.jit
  def run(key):
    rngs = {'dropout': key}
    return model.apply(variables, graph, train=True, rngs=rngs)

  first, again, other = (run(jax.random.key(seed)) for seed in (0, 0, 1))
  assert _largest_difference(first, again) == 0
  assert _largest_difference(first, other) > 1e-3


def _embed(spec, weights, **options):
  defaults = {
    'fourier_size': 0,
    'fourier_scale': 1.0,
    'io_bands': 0,
    'io_max_frequency': 10.0,
    'layer_codes': True,
  }
  module = nfn_embed.WeightSpaceEmbedding(**{**defaults, **options})
  graph = graphs.encode(graphs.topology(spec), weights)
  variables = module.init({'params': jax.random.key(0)}, graph)
  return module.apply(variables, graph), variables


def test_codes_are_sines_cosines_and_the_position():
  codes = nfn_embed.sinusoidal_codes(3, num_bands=2, max_frequency=3.0)
  half = np.pi * np.array([1.0, 1.5])
  wanted = [
    [*np.sin(-half), *np.cos(-half), -1.0],
    [0.0, 0.0, 1.0, 1.0, 0.0],
    [*np.sin(half), *np.cos(half), 1.0],
  ]
  np.testing.assert_allclose(codes, wanted, atol=1e-12)
  one = nfn_embed.sinusoidal_codes(1, num_bands=2, max_frequency=3.0)
  np.testing.assert_allclose(one, wanted[:1])


@pytest.mark.parametrize('layer_codes', [True, False])
def test_codes_of_layers_inputs_and_outputs(x64, layer_codes):
  # The last layer is a convolution: its outputs have their own code.
  spec = chain_networks.torch_chain([(3, 2), (4, 3), (5, 4, 2, 1)])
  weights = readers.draw_weights(spec, num=1, dtype=np.float64)
  space, _ = _embed(spec, weights, io_bands=2, layer_codes=layer_codes)

  def code(num):
    return nfn_embed.sinusoidal_codes(num, num_bands=2, max_frequency=10.0)

  layers = code(3) if layer_codes else np.zeros((3, 5))
  for source, target in ((0, 2), (1, 0)):
    np.testing.assert_allclose(
      space.weights[0][0, source, target, 1:], layers[0] + code(2)[source]
    )
    np.testing.assert_allclose(
      space.weights[1][0, source, target, 1:], layers[1]
    )
    of_last = space.weights[2][0, source, target].reshape(-1, 2)
    wanted = np.tile((layers[2] + code(5)[target])[:, None], (1, 2))
    np.testing.assert_allclose(of_last[1:], wanted)
    np.testing.assert_allclose(space.biases[0][0, target, 1:], layers[0])
    np.testing.assert_allclose(
      space.biases[2][0, target, 1:], layers[2] + code(5)[target]
    )
  np.testing.assert_array_equal(
    space.weights[0][0, ..., 0], weights['layers_0']['weight'][0].T
  )


def test_fourier_features_are_sines_then_cosines(x64):
  weights = readers.draw_weights(_CNN, num=1, dtype=np.float64)
  space, variables = _embed(_CNN, weights, fourier_size=3)
  frequencies = np.asarray(variables['constants']['frequencies'])
  kernel = weights['layers_0']['weight'][0].reshape(3, 2, 6)
  angles = 2 * np.pi * frequencies[:, None] * kernel[2, 1]
  found = space.weights[0][0, 1, 2].reshape(6, 6)
  np.testing.assert_allclose(found[:3], np.sin(angles), atol=1e-12)
  np.testing.assert_allclose(found[3:], np.cos(angles), atol=1e-12)


def test_statistics_normalise_each_layer(x64):
  stats = statistics.Statistics(
    (0.1, -0.2, 0.3), (0.5, 1.5, 2.5), (-0.1, 0.2, -0.3), (1.1, 0.9, 0.8)
  )
  weights = readers.draw_weights(_CNN, num=2, dtype=np.float64)
  normalised = {
    f'layers_{i}': {
      'weight': (weights[f'layers_{i}']['weight'] - stats.weight_mean[i])
      / stats.weight_std[i],
      'bias': (weights[f'layers_{i}']['bias'] - stats.bias_mean[i])
      / stats.bias_std[i],
    }
    for i in range(3)
  }
  expected, _ = _embed(_CNN, normalised, io_bands=1)
  found, variables = _embed(_CNN, weights, io_bands=1, statistics=stats)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), found, expected
  )
  constants = variables['constants']
  assert set(constants) == {field.name for field in dataclasses.fields(stats)}
  np.testing.assert_array_equal(constants['bias_std'], stats.bias_std)


def test_statistics_of_another_depth():
  stats = statistics.published()['mnist']
  with pytest.raises(
    ValueError,
    match='one entry per layer of the network, 4, got 3 for the weights and 3',
  ):
    model = readers.create('nfn', _MLP, normalize=True, statistics=stats)
    _shapes(model, _MLP)
  with pytest.raises(
    ValueError, match='normalize=True needs statistics, got N'
  ):
    _shapes(readers.create('nfn', _MLP, normalize=True), _MLP)
  # Not used unless asked for: the published models read raw values.
  shapes = _shapes(readers.create('nfn', _MLP, statistics=stats), _MLP)
  assert set(shapes['constants']['embedding']) == {'frequencies'}


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', repeats.cases(['nfn', 'nfn_edit'], quick=('nfn',))
)
def test_gradients_reach_every_parameter(name):
  for variant in ('np', 'hnp', 'np_pos'):
    model = readers.create(name, _CNN, variant=variant)
    variables = readers.draw_variables(model, _CNN)
    weights = readers.draw_weights(_CNN, num=3)
    graph = graphs.encode(graphs.topology(_CNN), weights)

    def loss(params, model=model, variables=variables, graph=graph):
      found = model.apply({**variables, 'params': params}, graph)
      return sum(jnp.sum(x**2) for x in jax.tree.leaves(found))

    grads = jax.jit(jax.grad(loss))(variables['params'])
    for path, grad in specs.leaf_arrays(grads).items():
      assert np.all(np.isfinite(grad)), path
      assert np.max(np.abs(grad)) > 0, path


def test_probabilities_instead_of_logits():
  model = readers.create('nfn', _MLP)
  variables = readers.draw_variables(model, _MLP)
  weights = readers.draw_weights(_MLP, num=2)
  graph = graphs.encode(graphs.topology(_MLP), weights)

  @jax.jit
  def run(variables):
    return [
      m.apply(variables, graph) for m in (model, model.copy(sigmoid=True))
    ]

  logits, probabilities = run(variables)
  np.testing.assert_allclose(
    probabilities, 1 / (1 + np.exp(-logits)), rtol=1e-5
  )


def test_pooling_may_differ_from_the_variant():
  for options, width in (
    ({}, 3 * 8),
    ({'variant': 'hnp'}, 3 * (2 + 1 + 2 + 2 + 2 + 2)),
    ({'variant': 'np_pos'}, 3 * (2 + 1 + 2 + 2 + 2 + 2)),
    ({'variant': 'np_pos', 'pooling': 'np'}, 3 * 8),
  ):
    shapes = _shapes(readers.create('nfn', _MLP, **options), _MLP)
    kernel = shapes['params']['readout']['layer_0']['kernel']
    assert kernel.shape == (width, 6), options


@pytest.mark.parametrize('name', ['nfn', 'nfn_edit'])
def test_refusals(name):
  with pytest.raises(
    ValueError,
    match=r"unknown variant 'nf'; expected one of \['hnp', 'np', 'np_pos'\]",
  ):
    _shapes(readers.create(name, _MLP, variant='nf'), _MLP)
  skips = example_networks.partial_skip().spec
  with pytest.raises(ValueError, match="but block 'jump' is a diagonal skip"):
    _shapes(readers.create(name, skips), skips)
  with pytest.raises(ValueError, match='no option .num_probes'):
    readers.create(name, _MLP, num_probes=3)


def test_unknown_pooling():
  with pytest.raises(
    ValueError,
    match=r"unknown pooling 'cat'; expected one of \['hnp', 'np', 'variant'\]",
  ):
    _shapes(readers.create('nfn', _MLP, pooling='cat'), _MLP)
