# SPDX-License-Identifier: Apache-2.0
"""Symmetry, sizes, mixed batches, batch norms and errors of the baselines."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import specs
from ng_jax import testing
from ng_jax.layers import batch_norm
from ng_jax.models.baselines import chains
from ng_jax.models.baselines import statnn
from ng_jax.weights import statistics
from tests import example_networks
from tests import repeats
from tests.models import readers

_SPEC = specs.mlp((2, 5, 7, 3))
_LONG = specs.mlp((2, 4, 6, 5, 3))
_STATISTICS = statistics.Statistics(
  weight_mean=(0.1, -0.2, 0.3),
  weight_std=(0.5, 1.5, 2.5),
  bias_mean=(-0.1, 0.2, -0.3),
  bias_std=(1.1, 0.9, 0.8),
)


def _encode(spec, weights):
  return graphs.encode(graphs.topology(spec), weights)


def _function(name, spec, **options):
  """Compiles weights [B, ...] -> result once, in float64."""
  model = readers.create(name, spec, **options)
  variables = readers.draw_variables(model, spec, dtype=np.float64)
  run = jax.jit(lambda v, w: model.apply(v, _encode(spec, w)))
  return lambda weights: run(variables, weights)


@pytest.mark.parametrize(
  'spec',
  repeats.cases([_SPEC, _LONG], repeats=[_LONG]),
  ids=['three', 'four'],
)
@pytest.mark.parametrize(
  'options',
  [
    pytest.param({}, marks=pytest.mark.repeated),
    {'set_layer': 'deep_sets', 'pooling': 'mean', 'add_skip': True},
    {'diagonal': True, 'pooling': 'sum', 'batch_norm': False},
  ],
  ids=['attention', 'deep-sets', 'diagonal'],
)
def test_dws_updates_are_equivariant(x64, spec, options):
  edit = _function('dws_edit', spec, **options)
  weights = readers.draw_weights(spec, num=2, dtype=np.float64)
  update = edit(weights)
  assert jax.tree.map(np.shape, update) == jax.tree.map(np.shape, weights)
  # Not the same everywhere, which would be equivariant too.
  for leaf in jax.tree.leaves(update):
    assert np.std(leaf) > 1e-4
  testing.assert_equivariant(
    edit, spec, weights=weights, key=jax.random.key(1), atol=1e-10, rtol=0
  )
  swapped = specs.permute(spec, weights, {'input': np.array([1, 0])})
  back = specs.permute(spec, edit(swapped), {'input': np.array([1, 0])})
  first, again = (x['layer_1']['kernel'] for x in (update, back))
  assert np.max(np.abs(first - again)) > 1e-6  # Inputs are told apart.


@pytest.mark.parametrize('name', ['dws', 'statnn'])
@pytest.mark.parametrize(
  'spec', repeats.cases([_SPEC, _LONG], repeats=[_LONG]), ids=['three', 'four']
)
def test_predictions_are_invariant(x64, name, spec):
  predict = _function(name, spec)
  weights = readers.draw_weights(spec, num=2, dtype=np.float64)
  logits = predict(weights)
  assert np.min(np.std(logits, axis=0)) > 1e-4
  testing.assert_invariant(
    predict, spec, weights=weights, key=jax.random.key(1), atol=1e-10, rtol=0
  )
  if name == 'dws':
    for which, order in (('input', [1, 0]), ('output', [1, 2, 0])):
      moved = specs.permute(spec, weights, {which: np.array(order)})
      assert np.max(np.abs(predict(moved) - logits)) > 1e-6


def test_an_mlp_reads_weights_before_biases():
  weights = readers.draw_weights(_SPEC, num=2)
  model = readers.create('mlp', _SPEC, num_layers=0)
  variables = readers.draw_variables(model, _SPEC)
  found = jax.jit(lambda w: model.apply(variables, _encode(_SPEC, w)))(weights)
  layers = [weights[f'layer_{i}'] for i in (1, 2, 3)]
  flat = [layer[kind] for kind in ('kernel', 'bias') for layer in layers]
  x = np.concatenate([leaf.reshape(2, -1) for leaf in flat], axis=1)
  params = variables['params']
  x = np.maximum(x @ params['layer_0']['kernel'] + params['layer_0']['bias'], 0)
  expected = x @ params['out']['kernel'] + params['out']['bias']
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_mlp_writes_what_it_reads():
  # With the identity as its only layer an MLP returns scaled weights.
  weights = readers.draw_weights(_SPEC, num=2)
  model = readers.create('mlp_edit', _SPEC, num_layers=0)
  size = sum(leaf[0].size for leaf in jax.tree.leaves(weights))
  scales = {
    f'{kind}_{i}': np.float32(i + 1 + 10 * (kind == 'bias'))
    for kind in ('weight', 'bias')
    for i in range(3)
  }
  params = {'out': {'kernel': np.eye(size), 'bias': np.zeros(size)}}
  update = model.apply(
    {'params': {**params, 'scales': scales}}, _encode(_SPEC, weights)
  )
  for i in range(3):
    layer = f'layer_{i + 1}'
    for kind, factor in (('kernel', i + 1), ('bias', i + 11)):
      np.testing.assert_allclose(
        update[layer][kind], factor * weights[layer][kind], rtol=1e-6
      )


@pytest.mark.parametrize(
  'name',
  repeats.cases(
    ['dws', 'dws_edit', 'mlp', 'mlp_edit'], repeats=['dws', 'dws_edit']
  ),
)
def test_statistics_normalise_each_layer(x64, name):
  weights = readers.draw_weights(_SPEC, num=2, dtype=np.float64)
  normalised = {
    f'layer_{i + 1}': {
      'kernel': (weights[f'layer_{i + 1}']['kernel'] - s.weight_mean[i])
      / s.weight_std[i],
      'bias': (weights[f'layer_{i + 1}']['bias'] - s.bias_mean[i])
      / s.bias_std[i],
    }
    for s in [_STATISTICS]
    for i in range(3)
  }
  plain = readers.create(name, _SPEC)
  model = readers.create(name, _SPEC, statistics=_STATISTICS)
  variables = readers.draw_variables(plain, _SPEC, dtype=np.float64)
  constants = {
    field: np.array(getattr(_STATISTICS, field))
    for field in ('weight_mean', 'weight_std', 'bias_mean', 'bias_std')
  }
  with_statistics = {**variables, 'constants': {'reader': constants}}
  shapes = readers.draw_variables(model, _SPEC)
  assert jax.tree.map(np.shape, shapes) == jax.tree.map(
    np.shape, with_statistics
  )

  @jax.jit
  def run(weights, normalised):
    return (
      plain.apply(variables, _encode(_SPEC, normalised)),
      model.apply(with_statistics, _encode(_SPEC, weights)),
    )

  expected, found = run(weights, normalised)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12),
    found,
    expected,
  )


def test_statnn_normalises_what_it_describes(x64):
  weights = readers.draw_weights(_SPEC, num=2, dtype=np.float64)
  model = readers.create('statnn', _SPEC, statistics=_STATISTICS)
  plain = readers.create('statnn', _SPEC)
  variables = readers.draw_variables(model, _SPEC, dtype=np.float64)
  reader = chains.ChainReader('StatNN', _STATISTICS)
  graph = _encode(_SPEC, weights)
  chain = reader.apply({'constants': variables['constants']['reader']}, graph)
  normalised = chains.to_weights(graph, chain)
  np.testing.assert_allclose(
    model.apply(variables, graph),
    plain.apply({'params': variables['params']}, _encode(_SPEC, normalised)),
    rtol=1e-10,
  )


def _count(name, spec=None, graph=None, **options):
  spec = networks.Siren().spec if spec is None else spec
  model = models.create(name, spec=spec, **options)
  if graph is None:
    zeros = {
      leaf.path: np.zeros((1, *spec.leaf_shape(leaf)), np.float32)
      for leaf in spec.leaves
    }
    graph = _encode(spec, specs.from_leaf_arrays(zeros))
  key = jax.eval_shape(jax.random.key, 0)
  shapes = jax.eval_shape(model.init, {'params': key}, graph)
  return sum(math.prod(p.shape) for p in jax.tree.leaves(shapes['params']))


@pytest.mark.slow
def test_parameter_counts_of_the_paper():
  assert _count('dws') == 552_650
  # The official configuration has no output scales, one per tensor.
  assert _count('dws_edit', out_scale=0.0) == 424_447
  assert _count('dws_edit') == 424_447 + 6
  assert _count('mlp') == 42_762
  zoo = specs.mlp((1, 16, 16, 16, 10))  # As many tensors as the CNNs have.
  assert _count('statnn', spec=zoo) == 1_059_001
  assert _count('statnn', spec=zoo, order='split', max_layers=6) == 1_087_001


@pytest.mark.slow
def test_initial_parameters_of_dws():
  model = models.create('dws', spec=_SPEC, num_layers=2, init_scale=0.5)
  weights = readers.draw_weights(_SPEC, num=1)
  params = jax.jit(model.init)(
    {'params': jax.random.key(0)}, _encode(_SPEC, weights)
  )['params']
  arrays = specs.leaf_arrays(params['backbone']['layer_1'])
  biases = [x for path, x in arrays.items() if path.endswith('bias')]
  for bias in biases:
    assert 0 < np.max(np.abs(bias)) <= 1e-4
  large = {
    path: x
    for path, x in arrays.items()
    if path.endswith('kernel') and x.size >= 2048
  }
  assert len(large) > 10
  for path, kernel in large.items():
    fan_in, fan_out = kernel.shape
    xavier = math.sqrt(2 / (fan_in + fan_out))
    wanted = 0.5 * xavier * math.sqrt(2 * fan_in / fan_out)
    assert np.std(kernel) == pytest.approx(wanted, rel=0.1), path
    assert abs(np.mean(kernel)) < 0.1 * wanted
  drawn = np.concatenate([x.ravel() for x in large.values()])
  assert np.unique(drawn).size > 0.99 * drawn.size  # No number twice.


def test_statnn_reads_mixed_batches():
  sizes = ((2, 4, 3), (2, 3, 5, 2), (2, 6, 4, 4, 3))
  pairs = []
  for seed, size in enumerate(sizes):
    spec = specs.mlp(size)
    drawn = readers.draw_weights(spec, num=1, seed=seed)
    pairs.append((graphs.topology(spec), jax.tree.map(lambda x: x[0], drawn)))
  for options in (
    {'max_layers': 4, 'order': 'split'},
    {'max_layers': 5, 'align_last': True},
  ):
    model = readers.create('statnn', _SPEC, **options)
    width = 14 * options['max_layers']
    rng = np.random.default_rng(0)
    params = {
      f'layer_{i}': {
        'kernel': rng.normal(size=shape).astype(np.float32),
        'bias': rng.normal(size=shape[1:]).astype(np.float32),
      }
      for i, shape in enumerate(((width, 6), (6, 6), (6, 3)))
    }
    alone = [
      model.apply(
        {'params': params},
        graphs.encode(topology, jax.tree.map(lambda x: x[None], weights)),
      )
      for topology, weights in pairs
    ]
    batches = (
      graphs.concatenate(pairs, graphs.Budget(5, 60, 120)),
      graphs.stack(pairs, max_nodes=20, max_edges=80, num_graphs=5),
    )
    for batch in batches:
      batch = statnn.with_statistics(batch, pairs, model)
      assert batch.globals[statnn.FEATURES].shape == (5, width)
      found = model.apply({'params': params}, batch)
      assert found.shape == (5, 3)
      np.testing.assert_allclose(
        found[:3], np.concatenate(alone), rtol=1e-4, atol=1e-4
      )


@pytest.mark.parametrize(
  ('name', 'options'),
  [
    pytest.param('dws', {}, marks=pytest.mark.repeated),
    ('mlp', {}),
    *(
      pytest.param(
        name,
        {'pooled_norm': True, 'dropout': 0.0},
        marks=pytest.mark.repeated,
      )
      for name in ('ng_gnn', 'ng_t')
    ),
  ],
)
def test_padding_does_not_enter_batch_statistics(name, options):
  model = readers.create(name, _SPEC, **options)
  variables = readers.draw_variables(model, _SPEC)
  weights = readers.draw_weights(_SPEC, num=4)
  mask = np.array([True, True, True, False])

  @jax.jit
  def run(weights, mask):
    graph = _encode(_SPEC, weights)
    if mask is not None:
      graph = graph._replace(globals={**graph.globals, batch_norm.MASK: mask})
    return model.apply(variables, graph, train=True, mutable=['batch_stats'])

  expected, moved = run(jax.tree.map(lambda x: x[:3], weights), None)
  padded = jax.tree.map(lambda x: np.where(x == x[3:], 9.0, x), weights)
  for filled in (weights, padded):
    found, found_moved = run(filled, mask)
    np.testing.assert_allclose(found[:3], expected, rtol=2e-4, atol=1e-5)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
      found_moved,
      moved,
    )
  everything, _ = run(weights, None)
  assert np.max(np.abs(everything[:3] - expected)) > 1e-3


@pytest.mark.parametrize('name', ['dws', 'dws_edit', 'mlp', 'mlp_edit'])
def test_networks_that_are_refused(name):
  def init(graph, spec=_SPEC, **options):
    key = jax.eval_shape(jax.random.key, 0)
    model = readers.create(name, spec, **options)
    return jax.eval_shape(model.init, {'params': key}, graph)

  weights = readers.draw_weights(_SPEC, num=2)
  graph = _encode(_SPEC, weights)
  with pytest.raises(ValueError, match='reads networks of one spec, as graphs'):
    init(graphs.flatten(graph))
  one = _encode(_SPEC, jax.tree.map(lambda x: x[0], weights))
  with pytest.raises(ValueError, match='exactly one leading batch axis'):
    init(one)
  for example, block in (('partial_skip', 'jump'), ('conv', 'one')):
    spec = example_networks.EXAMPLES[example]().spec
    other = _encode(spec, readers.draw_weights(spec, num=1))
    message = f'plain chains of linear layers, got the .* block {block!r}'
    with pytest.raises(ValueError, match=message):
      init(other)
  shallow = specs.mlp((2, 4, 1))
  other = _encode(shallow, readers.draw_weights(shallow, num=1))
  if name.startswith('dws'):
    with pytest.raises(ValueError, match='at least 3 linear layers, got 2'):
      init(other)
  else:
    init(other)


def test_options_that_are_refused():
  def init(**options):
    key = jax.eval_shape(jax.random.key, 0)
    model = readers.create('dws', _SPEC, **options)
    graph = _encode(_SPEC, readers.draw_weights(_SPEC, num=1))
    return jax.eval_shape(model.init, {'params': key}, graph)

  for options, message in (
    (
      {'set_layer': 'sab'},
      r"unknown set_layer 'sab'; expected one of \['atten",
    ),
    ({'pooling': 'min'}, r"unknown pooling 'min'; expected one of \['max', "),
    ({'num_heads': 3}, 'num_heads must divide the features, got num_heads=3'),
  ):
    with pytest.raises(ValueError, match=message):
      init(**options)
  model = readers.create('statnn', _SPEC)
  flat = graphs.flatten(_encode(_SPEC, readers.draw_weights(_SPEC, num=1)))
  with pytest.raises(ValueError, match="with the global 'tensor_statistics'"):
    jax.eval_shape(
      model.init, {'params': jax.eval_shape(jax.random.key, 0)}, flat
    )


@pytest.mark.slow
def test_gradients_pass_through_training():
  model = readers.create('dws', _SPEC, dropout=0.2)
  variables = readers.draw_variables(model, _SPEC)
  graph = _encode(_SPEC, readers.draw_weights(_SPEC, num=3))

  def loss(params):
    logits, _ = model.apply(
      {**variables, 'params': params},
      graph,
      train=True,
      rngs={'dropout': jax.random.key(0)},
      mutable=['batch_stats'],
    )
    return jnp.sum(logits**2)

  grads = specs.leaf_arrays(jax.jit(jax.grad(loss))(variables['params']))
  for path, grad in grads.items():
    assert np.all(np.isfinite(grad)), path
  # The attention of a set of equal elements does not depend on its logits.
  assert np.mean([np.any(g != 0) for g in grads.values()]) > 0.9
