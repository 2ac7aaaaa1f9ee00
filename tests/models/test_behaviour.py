# SPDX-License-Identifier: Apache-2.0
"""Registry-wide tests: jit, dropout, dtypes, NNX, normalisation, compiling."""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import networks
from ng_jax import specs
from ng_jax.weights import statistics
from tests import example_networks
from tests import repeats
from tests.models import readers

_SIREN = networks.Siren((2, 4, 3, 2))
_NAMES = sorted(readers.PREDICTORS)
_WITH_DROPOUT = [name for name in _NAMES if name not in ('mlp', 'probing')]
# The size of an MLP is that of the networks it reads.
_ANY_SIZE = [name for name in _NAMES if name not in ('mlp', 'probing')]


def _create(name, **options):
  if name in (*readers.GRAPH_MODELS, 'probing'):
    options['network'] = _SIREN
  return readers.create(name, _SIREN.spec, **options)


def _graph(spec, num=2, **options):
  weights = readers.draw_weights(spec, num=num, **options)
  return graphs.encode(graphs.topology(spec), weights)


@pytest.mark.parametrize(
  # Operation by operation, DWSNets take half a minute.
  'name',
  repeats.cases(
    [name for name in _NAMES if name != 'dws'],
    quick=('statnn',),
  ),
)
def test_as_an_nnx_module_without_jit(name):
  # Initialises without jit, and predicts what the jitted Flax module does.
  spec = _SIREN.spec
  options = {}
  if name in readers.GRAPH_MODELS:
    options = {'num_probes': 2, 'reverse_edges': False, 'num_layers': 1}
  model = _create(name, **options)
  graph = _graph(spec)
  wrapped = nnx.bridge.ToNNX(model, rngs=nnx.Rngs(0)).lazy_init(graph)
  logits = wrapped(graph)
  _, params, others = nnx.split(wrapped, nnx.Param, ...)
  params = nnx.to_pure_dict(params)
  drawn = readers.draw_variables(model, spec)
  assert jax.tree.map(np.shape, params) == jax.tree.map(
    np.shape, drawn['params']
  )
  others = nnx.to_pure_dict(others)
  variables = {
    name: params if name == 'params' else _only(wanted, others)
    for name, wanted in drawn.items()
  }
  jitted = jax.jit(model.apply)(variables, graph)
  np.testing.assert_allclose(jitted, logits, rtol=1e-4, atol=1e-5)


def _only(wanted, tree):
  """The part of a tree that has the keys of another."""
  return {
    key: _only(value, tree[key]) if isinstance(value, dict) else tree[key]
    for key, value in wanted.items()
  }


@pytest.mark.parametrize(
  'name', repeats.cases(_WITH_DROPOUT, repeats=('dws', 'nfn'))
)
def test_dropout_differs_between_graphs_and_keys(name):
  spec = _SIREN.spec
  model = readers.create(name, spec, dropout=0.5)
  variables = readers.draw_variables(model, spec)
  one = readers.draw_weights(spec, num=1)
  same = jax.tree.map(lambda x: np.repeat(x, 2, axis=0), one)
  graph = graphs.encode(graphs.topology(spec), same)

  @jax.jit
  def run(key):
    rngs = {'dropout': key}
    trained, _ = model.apply(
      variables, graph, train=True, rngs=rngs, mutable=['batch_stats']
    )
    return trained, model.apply(variables, graph, train=False)

  first, evaluated = run(jax.random.key(0))
  again, _ = run(jax.random.key(0))
  other, _ = run(jax.random.key(1))
  np.testing.assert_array_equal(first, again)
  assert np.max(np.abs(first - other)) > 1e-3
  assert np.max(np.abs(first[0] - first[1])) > 1e-3
  np.testing.assert_allclose(evaluated[0], evaluated[1], rtol=1e-5)


@pytest.mark.parametrize(
  'name', repeats.cases(_NAMES, repeats=('dws', 'nfn', 'ng_t'))
)
def test_bfloat16_runs_and_is_close(name):
  spec = _SIREN.spec
  model = _create(name)
  low = _create(name, dtype=jnp.bfloat16)
  variables = readers.draw_variables(model, spec)
  graph = _graph(spec)

  @jax.jit
  def run(variables, graph):
    return model.apply(variables, graph), low.apply(variables, graph)

  expected, found = run(variables, graph)
  assert expected.dtype == jnp.float32
  assert found.dtype == jnp.bfloat16
  error = np.max(np.abs(np.asarray(found, np.float32) - expected))
  assert 0 < error < 0.05 * np.max(np.abs(expected))


@pytest.mark.parametrize(
  'name', repeats.cases(sorted(readers.GRAPH_MODELS), repeats=('ng_gnn',))
)
def test_statistics_normalise_each_layer(x64, name):
  # Skips stay 1 and inputs 0; equal to normalising the weights oneself.
  spec = example_networks.partial_skip().spec
  topology = graphs.topology(spec)
  stats = statistics.Statistics(
    weight_mean=(0.1, -0.2, 0.3, -0.4),
    weight_std=(0.5, 1.5, 2.5, 3.0),
    bias_mean=(-0.1, 0.2, -0.3, 0.4),
    bias_std=(1.1, 0.9, 0.8, 0.7),
  )
  weights = readers.draw_weights(spec, num=2, dtype=np.float64)
  normalised = {
    layer: {
      'kernel': (weights[layer]['kernel'] - stats.weight_mean[i])
      / stats.weight_std[i],
      'bias': (weights[layer]['bias'] - stats.bias_mean[i]) / stats.bias_std[i],
    }
    for i, layer in enumerate(('one', 'two', 'three', 'four'))
  }
  plain = readers.create(name, spec)
  model = readers.create(name, spec, statistics=stats)
  variables = readers.draw_variables(plain, spec, dtype=np.float64)
  constants = {
    **variables['constants'],
    'embedding': {
      **variables['constants']['embedding'],
      **{
        field: np.array(getattr(stats, field))
        for field in ('weight_mean', 'weight_std', 'bias_mean', 'bias_std')
      },
    },
  }
  found_shapes = readers.draw_variables(model, spec)['constants']
  assert jax.tree.map(np.shape, found_shapes) == jax.tree.map(
    np.shape, constants
  )

  @jax.jit
  def run(weights, normalised):
    raw = graphs.encode(topology, weights)
    return (
      plain.apply(variables, graphs.encode(topology, normalised)),
      model.apply({**variables, 'constants': constants}, raw),
      model.apply({**variables, 'constants': constants}, graphs.flatten(raw)),
    )

  expected, blocks, segments = run(weights, normalised)
  np.testing.assert_allclose(blocks, expected, rtol=1e-10)
  np.testing.assert_allclose(segments, expected, rtol=1e-10)


@pytest.mark.parametrize(
  'name', repeats.cases(_ANY_SIZE, repeats=('dws', 'nfn'))
)
def test_one_compilation_per_spec_and_batch_size(name):
  traced = []
  first, second = specs.mlp((2, 4, 3, 2)), specs.mlp((2, 3, 5, 2))
  model = readers.create(name, first)
  variables = readers.draw_variables(model, first)

  @jax.jit
  def run(variables, graph):
    traced.append(graph.n_node.shape)
    return model.apply(variables, graph)

  for seed in range(3):
    run(variables, _graph(first, seed=seed))
  assert len(traced) == 1
  run(variables, _graph(second))
  run(variables, _graph(specs.mlp((2, 4, 3, 2)), seed=5))
  run(variables, _graph(second, seed=5))
  assert len(traced) == 2
