# SPDX-License-Identifier: Apache-2.0
"""Editors write the weights of the network they read, neuron by neuron."""

import dataclasses
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
from ng_jax.weights import statistics
from tests import example_networks
from tests import padded_batches
from tests import repeats
from tests.models import readers

_SIREN = networks.Siren((2, 4, 3, 2))
_NAMES = ('ng_gnn_edit', 'ng_t_edit')
_STATISTICS = statistics.Statistics(
  weight_mean=(0.1, -0.2, 0.3),
  weight_std=(0.5, 1.5, 2.5),
  bias_mean=(-0.1, 0.2, -0.3),
  bias_std=(1.1, 0.9, 0.8),
)


def _create(name, spec=_SIREN.spec, **options):
  sizes = {
    key: size
    for key, size in readers.TINY[name.removesuffix('_edit')].items()
    if key != 'readout_size'
  }
  options = {'fourier_size': 4, 'network': _SIREN, **sizes, **options}
  return models.create(name, spec=spec, **options)


def _editor(name, spec=_SIREN.spec, **options):
  """Weights [B, ...] -> update, jitted, in float64; and model and variables."""
  model = _create(name, spec, **options)
  variables = readers.draw_variables(model, spec, dtype=np.float64)
  topology = graphs.topology(spec)

  @jax.jit
  def edit(weights):
    return model.apply(variables, graphs.encode(topology, weights))

  return edit, model, variables


def _check_equivariant(edit, spec):
  __tracebackhide__ = True
  weights = readers.draw_weights(spec, num=2, dtype=np.float64)
  update = specs.leaf_arrays(edit(weights))
  shapes = {leaf.path: (2, *spec.leaf_shape(leaf)) for leaf in spec.leaves}
  buffers = {leaf.path for leaf in spec.leaves if leaf.kind == 'buffer'}
  assert {k: x.shape for k, x in update.items()} == {
    k: x for k, x in shapes.items() if k not in buffers
  }
  for path, values in update.items():
    # Every network and every entry gets its own update.
    assert np.min(np.std(values, axis=0)) > 1e-6, path
    assert len(np.unique(values)) == values.size, path
  testing.assert_equivariant(
    edit, spec, weights=weights, key=jax.random.key(1), atol=1e-10, rtol=0
  )


@pytest.mark.parametrize(
  ('name', 'options'),
  [
    ('ng_gnn_edit', {'num_probes': 3}),
    ('ng_gnn_edit', {'reverse_edges': False, 'modulation': 'concat'}),
    ('ng_t_edit', {'reverse_edges': False, 'num_probes': 3}),
    ('ng_t_edit', {'edge_orientation': 'paper'}),
  ],
  ids=['gnn-reverse-probes', 'gnn', 't-probes', 't-reverse-paper'],
)
def test_permuted_weights_get_the_permuted_update(x64, name, options):
  edit, _, _ = _editor(name, **options)
  _check_equivariant(edit, _SIREN.spec)


@pytest.mark.parametrize(
  ('name', 'example'),
  repeats.cases(
    [
      ('ng_gnn_edit', 'attention'),
      ('ng_gnn_edit', 'conv'),
      ('ng_gnn_edit', 'group_norm'),
      ('ng_t_edit', 'conv'),
      ('ng_t_edit', 'fused_attention'),
      ('ng_t_edit', 'partial_skip'),
      ('ng_t_edit', 'residual_norm'),
    ],
    repeats=lambda name, example: example != 'partial_skip',
  ),
)
def test_networks_that_are_no_chains(x64, name, example):
  spec = example_networks.EXAMPLES[example]().spec
  # Wide enough that no entry has all units of its head at zero.
  wide = {'edge_size': 12} if name == 'ng_t_edit' else {}
  edit, _, _ = _editor(name, spec, network=None, **wide)
  _check_equivariant(edit, spec)


@pytest.mark.slow
def test_biases_read_from_the_start_are_not_equivariant(x64):
  edit, _, _ = _editor('ng_gnn_edit', biases_from_start=True)
  with pytest.raises(AssertionError, match='bias'):
    _check_equivariant(edit, _SIREN.spec)


@pytest.mark.slow
@pytest.mark.parametrize('name', _NAMES)
def test_scales_are_small_at_first_and_zero_scales_change_nothing(name):
  spec = _SIREN.spec
  model = _create(name, out_scale=0.25)
  weights = readers.draw_weights(spec, num=2)
  topology = graphs.topology(spec)
  variables = jax.jit(model.init)(
    {'params': jax.random.key(0)}, graphs.encode(topology, weights)
  )
  params = variables['params']
  for kind in ('weight_scale', 'bias_scale'):
    np.testing.assert_array_equal(params[kind], np.full(3, 0.25, np.float32))
    params = {**params, kind: jnp.zeros(3)}

  @jax.jit
  def run(params):
    values = {**variables, 'params': params}
    return model.apply(values, graphs.encode(topology, weights))

  assert max(np.max(np.abs(x)) for x in jax.tree.leaves(run(params))) == 0
  edited = models.apply_update(weights, run(params))
  np.testing.assert_array_equal(
    _SIREN.render(edited, (5, 4)), _SIREN.render(weights, (5, 4))
  )
  changed = models.apply_update(weights, run(variables['params']))
  assert not np.allclose(
    _SIREN.render(changed, (5, 4)), _SIREN.render(weights, (5, 4))
  )


@pytest.mark.parametrize('name', _NAMES)
def test_each_layer_has_its_scale(x64, name):
  _, model, variables = _editor(name)
  graph = graphs.encode(
    graphs.topology(_SIREN.spec),
    readers.draw_weights(_SIREN.spec, num=2, dtype=np.float64),
  )
  params = variables['params']
  doubled = {
    **params,
    'weight_scale': params['weight_scale'] * np.array([1.0, 2.0, 3.0]),
    'bias_scale': params['bias_scale'] * np.array([4.0, 5.0, 6.0]),
  }

  @jax.jit
  def run(params):
    return model.apply({**variables, 'params': params}, graph)

  once, more = run(params), run(doubled)
  for i in range(3):
    layer = f'layer_{i + 1}'
    np.testing.assert_allclose(
      more[layer]['kernel'], (1 + i) * once[layer]['kernel'], rtol=1e-12
    )
    np.testing.assert_allclose(
      more[layer]['bias'], (4 + i) * once[layer]['bias'], rtol=1e-12
    )


@pytest.mark.parametrize('name', repeats.cases(_NAMES, repeats=('ng_t_edit',)))
def test_normalised_updates_are_in_units_of_the_layer(x64, name):
  _, model, variables = _editor(name, statistics=_STATISTICS)
  # Constants are drawn at random; normalising uses the options.
  normalised = dataclasses.replace(model, normalize=True, parent=None)
  graph = graphs.encode(
    graphs.topology(_SIREN.spec),
    readers.draw_weights(_SIREN.spec, num=2, dtype=np.float64),
  )

  @jax.jit
  def run(graph):
    flat = normalised.apply(variables, graphs.flatten(graph))
    topology = graphs.topology(_SIREN.spec)
    return (
      model.apply(variables, graph),
      normalised.apply(variables, graph),
      graphs.decode(topology, flat),
    )

  plain, found, segments = run(graph)
  stats, params = _STATISTICS, variables['params']
  for i in range(3):
    for kind, leaf in (('weight', 'kernel'), ('bias', 'bias')):
      mean = getattr(stats, f'{kind}_mean')[i]
      std = getattr(stats, f'{kind}_std')[i]
      scale = params[f'{kind}_scale'][i]
      layer = f'layer_{i + 1}'
      expected = std * plain[layer][leaf] + scale * mean
      np.testing.assert_allclose(found[layer][leaf], expected, rtol=1e-10)
      np.testing.assert_allclose(segments[layer][leaf], expected, rtol=1e-10)


@pytest.mark.allow_nans
@pytest.mark.parametrize(
  ('name', 'options', 'layout'),
  repeats.cases(
    [
      ('ng_gnn_edit', {'num_probes': 3}, 'concatenated'),
      ('ng_gnn_edit', {'reverse_edges': False}, 'per graph'),
      ('ng_t_edit', {'max_nodes': 12}, 'concatenated'),
      ('ng_t_edit', {'edge_orientation': 'paper'}, 'per graph'),
    ],
    repeats=lambda name, options, layout: (
      (name == 'ng_gnn_edit') == (layout == 'concatenated')
    ),
  ),
)
def test_padded_batches_hold_the_same_updates(x64, name, options, layout):
  spec = _SIREN.spec
  topology = graphs.topology(spec)
  _, model, variables = _editor(name, **options)
  weights = readers.draw_weights(spec, num=2, dtype=np.float64)
  graph = jax.device_get(graphs.encode(topology, weights))
  run = jax.jit(model.apply)
  expected = graphs.encode(topology, run(variables, graph))
  flat = jax.device_get(graphs.flatten(graph))
  wanted = graphs.flatten(expected)
  sizes = (2 * topology.num_nodes, 2 * topology.num_edges)
  for rubbish in padded_batches.RUBBISH.values():
    if layout == 'per graph':
      batch = padded_batches.per_graph(
        flat, num_graphs=3, max_nodes=13, max_edges=31, rubbish=rubbish
      )
      found = run(variables, batch)
      nodes = found.nodes['bias'][:2, : topology.num_nodes]
      edges = found.edges['weight'][:2, : topology.num_edges]
    else:
      batch = padded_batches.concatenated(
        flat, num_graphs=4, num_nodes=25, num_edges=60, rubbish=rubbish
      )
      found = run(variables, batch)
      nodes = found.nodes['bias'][: sizes[0]].reshape(2, -1, 1)
      edges = found.edges['weight'][: sizes[1]].reshape(2, -1, 1)
    np.testing.assert_allclose(nodes, wanted.nodes['bias'], atol=1e-10)
    np.testing.assert_allclose(edges, wanted.edges['weight'], atol=1e-10)
    # Nothing is written into the padding.
    for values, real in (
      (found.nodes['bias'], nodes),
      (found.edges['weight'], edges),
    ):
      np.testing.assert_allclose(
        np.sum(np.abs(values)), np.sum(np.abs(real)), rtol=1e-12
      )


def _shapes(name, **options):
  siren = networks.Siren((2, 32, 32, 1))
  model = models.create(name, spec=siren.spec, network=siren, **options)

  def init(key, weight_key):
    weights = jax.vmap(siren.init)(jax.random.split(weight_key, 1))
    graph = graphs.encode(graphs.topology(siren.spec), weights)
    return model.init({'params': key}, graph)

  key = jax.eval_shape(jax.random.key, 0)
  return jax.eval_shape(init, key, key)['params']


@pytest.mark.parametrize(
  ('name', 'num_probes', 'count'),
  repeats.cases(
    [
      ('ng_t_edit', 0, 391112),
      ('ng_t_edit', 64, 408392),
      ('ng_gnn_edit', 0, 1186696),
      ('ng_gnn_edit', 64, 1221128),
    ],
    repeats=lambda name, num_probes, count: num_probes == 0,
  ),
)
def test_editors_of_the_paper(name, num_probes, count):
  # The defaults are the paper's; equal to the official counts.
  params = _shapes(name, num_probes=num_probes)
  assert sum(math.prod(p.shape) for p in jax.tree.leaves(params)) == count


def _init(graph=None, name='ng_gnn_edit', **options):
  model = _create(name, **options)
  if graph is None:
    weights = readers.draw_weights(_SIREN.spec, num=1)
    graph = graphs.encode(graphs.topology(_SIREN.spec), weights)
  key = jax.eval_shape(jax.random.key, 0)
  return jax.eval_shape(model.init, {'params': key}, graph)


def test_what_cannot_be_edited_is_said():
  with pytest.raises(ValueError, match='normalize=True needs the statistics'):
    _init(normalize=True)
  with pytest.raises(ValueError, match='num_weight_layers must be at least 3'):
    _init(num_weight_layers=2)
  with pytest.raises(ValueError, match='num_hidden_layers must be at least 2'):
    _init(num_hidden_layers=1, position_embedding=False)
  with pytest.raises(ValueError, match='unknown edge_orientation'):
    _init(name='ng_t_edit', edge_orientation='up')
  spec = example_networks.attention().spec
  graph = graphs.encode(
    graphs.topology(spec), readers.draw_weights(spec, num=1)
  )
  with pytest.raises(ValueError, match='or 3 node channels; leave it False'):
    _init(graph, spec=spec, network=None, biases_from_start=True)
  with pytest.raises(ValueError, match="has no option 'pooling'"):
    models.create('ng_t_edit', pooling='mean')


def test_updates_are_added_to_what_they_belong_to():
  weights = {
    'a': {'kernel': np.ones((1, 2), np.float32)},
    'norm': {'mean': np.ones(3)},
  }
  added = models.apply_update(weights, {'a': {'kernel': np.full((1, 2), 0.5)}})
  np.testing.assert_array_equal(added['a']['kernel'], [[1.5, 1.5]])
  assert added['a']['kernel'].dtype == np.float32
  assert added['norm']['mean'] is weights['norm']['mean']
  with pytest.raises(ValueError, match=r"got \['b/kernel \(2,\)'\]"):
    models.apply_update(weights, {'b': {'kernel': np.zeros(2)}})
  with pytest.raises(ValueError, match=r"got \['a/kernel \(2,\)'\]"):
    models.apply_update(weights, {'a': {'kernel': np.zeros(2)}})
