# SPDX-License-Identifier: Apache-2.0
"""What every model of the registry promises, with its default options.

Other tests look at options, other networks and batches one by one; here each
name of `models.MODELS` has a row that says what kind of model it is.
"""

import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ng_jax
from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import specs
from ng_jax import testing
from ng_jax.models.baselines import statnn
from ng_jax.weights import summary
from tests import padded_batches
from tests import repeats
from tests.models import readers

_SIREN = networks.Siren((2, 4, 3, 2))
_SPEC = _SIREN.spec
_TOPOLOGY = graphs.topology(_SPEC)
_NUM = 3


class _Kind(NamedTuple):
  """What is known of a model.

  Attributes:
    reads_padding: whether it reads padded batches; else it says so.
    sees_order: whether it sees the order in which hidden neurons are stored.
    without_gradient: end of the names of parameters that have none here.
    options: without which it cannot be made, or read padded batches.
  """

  reads_padding: bool = False
  sees_order: bool = False
  without_gradient: tuple[str, ...] = ()
  options: dict[str, Any] = {}


# The bias of a key adds the same number to all logits of a query.
_SETS = ('/key/bias',)
_KINDS = {
  'dws': _Kind(without_gradient=_SETS),
  'dws_edit': _Kind(without_gradient=_SETS),
  'mlp': _Kind(sees_order=True),
  'mlp_edit': _Kind(sees_order=True),
  'nfn': _Kind(),
  'nfn_edit': _Kind(),
  'ng_gnn': _Kind(reads_padding=True),
  'ng_gnn_edit': _Kind(reads_padding=True),
  'ng_t': _Kind(reads_padding=True, options={'max_nodes': 12}),
  'ng_t_edit': _Kind(reads_padding=True, options={'max_nodes': 12}),
  'probing': _Kind(reads_padding=True, options={'network': _SIREN}),
  'statnn': _Kind(reads_padding=True),
}
_NAMES = sorted(_KINDS)


def test_every_model_has_a_row():
  assert set(_KINDS) == set(models.MODELS)


@functools.cache
def _reader(name):
  """The model, its variables, and its jitted function of weights."""
  model = readers.create(name, _SPEC, **_KINDS[name].options)
  variables = readers.draw_variables(model, _SPEC, dtype=np.float64)

  @jax.jit
  def run(weights):
    return model.apply(variables, graphs.encode(_TOPOLOGY, weights))

  return model, variables, run


def _weights(num=_NUM):
  return readers.draw_weights(_SPEC, num=num, dtype=np.float64)


def _assert_close(found, expected):
  __tracebackhide__ = True
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-10),
    found,
    expected,
  )


@pytest.mark.parametrize(
  'name',
  repeats.cases(_NAMES, repeats=('dws', 'dws_edit', 'nfn_edit', 'ng_t_edit')),
)
def test_hidden_neurons_have_no_order(x64, name):
  _, _, run = _reader(name)
  weights = _weights()
  result = run(weights)
  is_editor = isinstance(result, dict)
  assert is_editor == name.endswith('_edit')
  if is_editor:
    assert jax.tree.map(np.shape, result) == jax.tree.map(np.shape, weights)
  # Not the same for every network, which would be invariant too.
  for leaf in jax.tree.leaves(result):
    assert np.max(np.std(leaf, axis=0)) > 1e-4
  check = testing.assert_equivariant if is_editor else testing.assert_invariant
  arguments = {'weights': weights, 'key': jax.random.key(1), 'rtol': 0}
  if not _KINDS[name].sees_order:
    check(run, _SPEC, atol=1e-10, **arguments)
    return
  with pytest.raises(AssertionError):
    check(run, _SPEC, atol=1e-4, **arguments)


@pytest.mark.parametrize(
  # Without jit every operation is compiled by itself, too many in DWSNets.
  'name',
  repeats.cases(
    [name for name in _NAMES if not name.startswith('dws')],
    repeats=lambda name: name not in ('ng_gnn', 'statnn'),
  ),
)
def test_alone_without_jit_as_in_a_batch_with_jit(x64, name):
  model, variables, run = _reader(name)
  weights = _weights()
  last = jax.tree.map(lambda x: x[-1:], weights)
  alone = model.apply(variables, graphs.encode(_TOPOLOGY, last))
  _assert_close(jax.tree.map(lambda x: x[-1:], run(weights)), alone)


def _padded(name, graph, *, layout):
  """The graphs among padding that holds NaN, in one of the two layouts."""
  flat = graphs.flatten(graph)
  if name == 'statnn':  # Its features are made with the batch.
    features = summary.tensor_statistics(_SPEC, graph.globals['weights'])
    flat = flat._replace(globals={statnn.FEATURES: features})
  flat = jax.device_get(flat)
  if layout == 'stack':
    return padded_batches.per_graph(
      flat, num_graphs=5, max_nodes=13, max_edges=31, rubbish=np.nan
    )
  return padded_batches.concatenated(
    flat, num_graphs=5, num_nodes=37, num_edges=90, rubbish=np.nan
  )


def _real(result, layout):
  """The real rows of what a model returns for a padded batch."""
  if isinstance(result, jax.Array):
    return result[:_NUM]
  sizes = {'nodes': _TOPOLOGY.num_nodes, 'edges': _TOPOLOGY.num_edges}
  features = {
    'nodes': result.nodes['bias'],
    'edges': result.edges['weight'],
  }
  return {
    kind: x[:_NUM, : sizes[kind]]
    if layout == 'stack'
    else x[: _NUM * sizes[kind]].reshape(_NUM, sizes[kind], 1)
    for kind, x in features.items()
  }


@pytest.mark.allow_nans
@pytest.mark.parametrize(
  ('name', 'layout'),
  repeats.cases(
    itertools.product(_NAMES, ('concatenate', 'stack')),
    repeats=lambda name, layout: (
      name == 'dws'
      or _KINDS[name].reads_padding
      and (layout == 'stack') == (name == 'ng_gnn')
    ),
  ),
)
def test_padding_is_not_seen_or_refused(x64, name, layout):
  model, variables, run = _reader(name)
  weights = _weights()
  graph = graphs.encode(_TOPOLOGY, weights)
  batch = _padded(name, graph, layout=layout)
  if not _KINDS[name].reads_padding:
    with pytest.raises(ValueError, match='networks of one spec, .*mixed batch'):
      jax.eval_shape(model.apply, variables, batch)
    return
  expected = run(weights)
  if isinstance(expected, dict):
    flat = graphs.flatten(graphs.encode(_TOPOLOGY, expected))
    expected = {'nodes': flat.nodes['bias'], 'edges': flat.edges['weight']}
  found = jax.jit(model.apply)(variables, batch)
  _assert_close(_real(found, layout), expected)


@pytest.mark.parametrize(
  'name',
  repeats.cases(
    _NAMES, repeats=('dws', 'dws_edit', 'nfn', 'nfn_edit', 'ng_t_edit')
  ),
)
def test_gradients_reach_every_parameter(x64, name):
  model, variables, _ = _reader(name)
  graph = graphs.encode(_TOPOLOGY, _weights())

  @jax.jit
  @jax.grad
  def gradient(params):
    found = model.apply({**variables, 'params': params}, graph)
    return sum(jnp.sum(x**2) for x in jax.tree.leaves(found))

  # A unit may be at zero for all networks; with other signs it is not.
  rng = np.random.default_rng(0)
  without = set(specs.leaf_arrays(variables['params']))
  for _ in range(8):
    params = jax.tree.map(
      lambda x: x * rng.choice((-1.0, 1.0), x.shape), variables['params']
    )
    for path, grad in specs.leaf_arrays(gradient(params)).items():
      assert np.all(np.isfinite(grad)), path
      if np.max(np.abs(grad)) > 1e-12:
        without.discard(path)
  allowed = _KINDS[name].without_gradient
  assert {path for path in without if not path.endswith(allowed)} == set()


@pytest.mark.parametrize(
  'name', repeats.cases(_NAMES, repeats=('dws', 'dws_edit'))
)
def test_saved_models_come_back(x64, tmp_path, name):
  model, variables, _ = _reader(name)
  ng_jax.save_pretrained(tmp_path, model, variables, spec=_SPEC)
  found = ng_jax.load_pretrained(tmp_path)
  assert (found.model, found.spec) == (model, _SPEC)
  arrays = specs.leaf_arrays(found.variables)
  expected = specs.leaf_arrays(variables)
  assert set(arrays) == set(expected)
  for path, value in expected.items():
    assert arrays[path].dtype == value.dtype
    np.testing.assert_array_equal(arrays[path], value)
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    'config.json',
    'params.safetensors',
  ]
