# SPDX-License-Identifier: Apache-2.0
"""Models that probe: symmetry, mixed batches, what graphs bring with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import networks
from ng_jax import testing
from tests import padded_batches
from tests import probed_networks
from tests import repeats
from tests.models import readers

_NAMES = ('ng_gnn', 'ng_t', 'probing')
_NUM = 3
_SIREN = probed_networks.NETWORKS['siren']


def _create(name, family, **options):
  """A tiny model that probes; `max_nodes` for concatenated batches."""
  if name == 'ng_t':
    options = {'max_nodes': 24, **options}
  if name in readers.GRAPH_MODELS:
    options = {'num_layers': 1, **options}
  return readers.create(
    name, family.spec, **{'network': family, 'num_probes': _NUM, **options}
  )


def _weights(network, seed=0):
  weights = readers.draw_weights(
    network.spec, num=2, seed=seed, dtype=np.float64
  )
  # Variances are positive.
  if 'norm' in weights:
    weights['norm'] = jax.tree.map(np.abs, weights['norm'])
  return weights


def _inputs(network, num=_NUM):
  shape = getattr(network, 'input_shape', (network.spec.num_inputs,))
  return np.random.default_rng(5).normal(size=(num, *shape))


@pytest.mark.parametrize(
  ('name', 'network', 'options'),
  repeats.cases(
    [
      ('ng_gnn', 'conv', {'probe_source': 'generator'}),
      ('ng_gnn', 'conv', {'read_probe_outputs': True}),
      ('ng_gnn', 'mlp', {'probe_projection': 'role'}),
      ('ng_t', 'conv', {'probe_projection': 'role'}),
      ('ng_t', 'siren', {'probe_source': 'generator'}),
      ('probing', 'conv', {}),
      ('probing', 'conv', {'probe_source': 'generator'}),
      ('probing', 'mlp', {'probe_source': 'uniform'}),
    ],
    repeats=lambda name, network, options: (name, network) == ('ng_t', 'conv'),
  ),
)
def test_hidden_neurons_have_no_order(x64, name, network, options):
  network = probed_networks.NETWORKS[network]
  model = _create(name, network, **options)
  variables = readers.draw_variables(model, network.spec, dtype=np.float64)
  topology = graphs.topology(network.spec)

  @jax.jit
  def predict(weights):
    return model.apply(variables, graphs.encode(topology, weights))

  weights = _weights(network)
  logits = predict(weights)
  assert np.min(np.std(logits, axis=0)) > 1e-6
  testing.assert_invariant(
    predict,
    network.spec,
    weights=weights,
    key=jax.random.key(1),
    atol=1e-10,
    rtol=0,
  )


@pytest.mark.allow_nans
@pytest.mark.parametrize(
  ('name', 'network', 'options'),
  repeats.cases(
    [
      ('ng_gnn', 'siren', {}),
      ('ng_gnn', 'siren', {'read_probe_outputs': True}),
      ('ng_gnn', 'conv', {'probe_projection': 'role'}),
      ('ng_t', 'siren', {'probe_projection': 'role'}),
      ('ng_t', 'siren', {'read_probe_outputs': True}),
      ('probing', 'conv', {}),
    ],
    repeats=lambda name, network, options: (
      name != 'probing' and options != {'read_probe_outputs': True}
    ),
  ),
)
def test_what_graphs_bring_replaces_the_models_own(x64, name, network, options):
  # Inputs, or activations on them: the same predictions and gradients, in all
  # layouts, whatever lies in the padding.
  network = probed_networks.NETWORKS[network]
  model = _create(name, network, **options)
  variables = readers.draw_variables(model, network.spec, dtype=np.float64)
  weights, inputs = _weights(network), _inputs(network)
  plain = graphs.encode(graphs.topology(network.spec), weights)

  def loss(params, graph):
    logits = model.apply({**variables, 'params': params}, graph)[:2]
    return jnp.sum(logits**2), logits

  gradient = jax.jit(jax.grad(loss, has_aux=True))
  # With the model's own inputs, as parameters.
  own = variables['params']
  where = own if name == 'probing' else own['embedding']['probes']
  where['inputs'] = inputs
  if name == 'probing' and inputs.ndim == 4:  # Images pass through a tanh.
    inputs = np.tanh(inputs)
  grads, logits = gradient(own, plain)
  layer = grads if name == 'probing' else grads['embedding']['probes']
  assert np.max(np.abs(layer.pop('inputs'))) > 1e-9
  where.pop('inputs')

  values = graphs.node_activations(network, weights, inputs)
  brought = {
    'inputs': graphs.add_probe_inputs(plain, inputs),
    'activations': graphs.add_activations(plain, values),
  }
  for graph in (*brought.values(), *_padded(brought)):
    found = gradient(own, graph)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9),
      found,
      (grads, logits),
    )


@pytest.mark.parametrize('name', readers.GRAPH_MODELS)
def test_the_readout_reads_the_outputs(x64, name):
  # With everything else of the last layers hidden from it, the readout is a
  # function of the outputs alone: those of `Siren.apply`, in their order.
  model = _create(name, _SIREN, read_probe_outputs=True, num_readout_layers=1)
  plain = _create(name, _SIREN, num_readout_layers=1)
  variables = readers.draw_variables(model, _SIREN.spec, dtype=np.float64)
  weights, num_outputs = _weights(_SIREN), _SIREN.spec.num_outputs
  graph = graphs.encode(graphs.topology(_SIREN.spec), weights)
  params = variables['params']
  kernel = params['readout']['layer_0']['kernel']
  inputs = params['embedding']['probes']['inputs']
  outputs = jnp.swapaxes(_SIREN.apply(weights, inputs), -1, -2)
  outputs = outputs.reshape(2, num_outputs * _NUM)
  found = model.apply(variables, graph)
  of_graph = jax.tree.map(lambda x: x, params)
  of_graph['readout']['layer_0']['kernel'] = kernel[: -outputs.shape[1]]
  expected = plain.apply({**variables, 'params': of_graph}, graph)
  expected += outputs @ kernel[-outputs.shape[1] :]
  np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def _padded(brought):
  """Both layouts: activations with NaN, inputs with huge padding."""
  num_nodes, num_edges = (
    int(x[0, 0]) for x in (brought['inputs'].n_node, brought['inputs'].n_edge)
  )
  each = brought['inputs'].globals['probe_inputs']
  inputs = np.repeat(each, 2, axis=0)
  flat = graphs.flatten(brought['inputs'])
  flat = flat._replace(globals={**flat.globals, 'probe_inputs': inputs})
  yield padded_batches.per_graph(
    jax.device_get(flat),
    num_graphs=3,
    max_nodes=num_nodes + 2,
    max_edges=num_edges + 1,
    rubbish=1e30,
  )
  yield padded_batches.concatenated(
    jax.device_get(graphs.flatten(brought['activations'])),
    num_graphs=4,
    num_nodes=2 * num_nodes + 3,
    num_edges=2 * num_edges + 2,
    rubbish=np.nan,
  )


_SIZES = ((2, 4, 3), (2, 3, 5, 3), (2, 3, 3, 3, 3))
_FAMILIES = [networks.Mlp(sizes, 'tanh') for sizes in _SIZES]


def _mixed_batch(layout, *, with_activations=True):
  """Networks of three depths, and their graphs one by one."""
  inputs = _inputs(_FAMILIES[0]).astype(np.float32)
  pairs, values, alone = [], [], []
  for i, family in enumerate(_FAMILIES):
    weights = readers.draw_weights(family.spec, num=1, seed=i)
    topology = graphs.topology(family.spec)
    answer = graphs.compute_activations(family, weights, inputs)
    graph = graphs.encode(topology, weights)
    alone.append(graphs.add_activations(graph, answer))
    pairs.append((topology, jax.tree.map(lambda x: x[0], weights)))
    values.append(answer[0])
  options = {'node_activations': values if with_activations else None}
  if layout == 'stack':
    batch = graphs.stack(
      pairs, max_nodes=16, max_edges=40, num_graphs=4, **options
    )
  else:
    batch = graphs.concatenate(pairs, graphs.Budget(5, 48, 96), **options)
  return batch, alone


@pytest.mark.parametrize(
  ('name', 'layout'),
  repeats.cases(
    [('ng_gnn', 'concatenate'), ('ng_t', 'stack'), ('probing', 'concatenate')],
    repeats=[('ng_gnn', 'concatenate')],
  ),
)
def test_one_model_reads_several_depths(x64, name, layout):
  # In a batch as alone, and the depths do not share a projection.
  batch, alone = _mixed_batch(layout)
  deepest = _FAMILIES[-1].spec
  options = {} if name == 'probing' else {'probe_projection': 'role'}
  model = _create(name, _FAMILIES[-1], network=None, **options)
  key = jax.eval_shape(jax.random.key, 0)
  shapes = jax.eval_shape(model.init, {'params': key}, alone[0])
  again = jax.eval_shape(model.init, {'params': key}, batch)
  assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, again)
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda x: rng.uniform(-0.5, 0.9, x.shape), shapes)
  if name != 'probing':
    rows = shapes['params']['embedding']['probes']
    assert len(rows) == 2 * (deepest.num_hidden_sets + 2)
  predict = jax.jit(model.apply)
  found = predict(variables, batch)[:3]
  expected = np.concatenate([predict(variables, graph) for graph in alone])
  np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
  assert np.min(np.std(expected, axis=0)) > 1e-6


def _init(model, graph):
  key = jax.eval_shape(jax.random.key, 0)
  return jax.eval_shape(model.init, {'params': key}, graph)


@pytest.mark.parametrize('name', _NAMES)
def test_networks_without_a_common_spec_need_activations(name):
  batch, _ = _mixed_batch('concatenate', with_activations=False)
  model = _create(name, _FAMILIES[-1])
  with pytest.raises(
    ValueError, match='graphs carry no common weights .* node_activations='
  ):
    _init(model, batch)


def test_mixed_batches_need_projections_by_role():
  batch, _ = _mixed_batch('concatenate')
  for network in (None, _FAMILIES[-1]):
    model = _create('ng_gnn', _FAMILIES[-1], network=network)
    with pytest.raises(ValueError, match="set probe_projection='role'"):
      _init(model, batch)


class _Unbatched:
  """Ignores the batch axes of weights."""

  input_shape = (2,)

  def apply(self, weights, x):
    return x


class _PlainApply:
  """Nothing but a function and the shape of an input."""

  input_shape = (2,)

  def apply(self, weights, x):
    return _SIREN.apply(weights, x)


def test_probing_reads_any_apply():
  graph = graphs.encode(
    graphs.topology(_SIREN.spec), readers.draw_weights(_SIREN.spec, num=2)
  )
  variables = readers.draw_variables(_create('probing', _SIREN), _SIREN.spec)
  expected = _create('probing', _SIREN).apply(variables, graph)
  model = readers.create('probing', _SIREN.spec, network=_PlainApply())
  np.testing.assert_array_equal(model.apply(variables, graph), expected)
  model = readers.create('probing', _SIREN.spec, network=_Unbatched())
  with pytest.raises(ValueError, match=r'here \(2, 3\), got \(3, 2\); let'):
    _init(model, graph)
  model = readers.create('probing', _SIREN.spec)
  with pytest.raises(ValueError, match='got network=None; give network='):
    _init(model, graph)
  for option, message in (
    ({'probe_source': 'latent'}, "unknown probe_source 'latent'"),
    ({'network': networks.Mlp((2, 3, 3))}, 'do not fit the network spec'),
  ):
    with pytest.raises(ValueError, match=message):
      _init(_create('probing', _SIREN, **option), graph)


def test_the_published_perceptron():
  model = readers.create(
    'probing',
    _SIREN.spec,
    network=_SIREN,
    num_probes=64,
    hidden_size=256,
    num_layers=6,
    num_outputs=10,
  )
  graph = graphs.encode(
    graphs.topology(_SIREN.spec), readers.draw_weights(_SIREN.spec, num=1)
  )
  shapes = _init(model, graph)['params']
  assert shapes['inputs'].shape == (64, 2)
  widths = [64 * 3, *[256] * 5, 10]
  assert [
    shapes['readout'][f'layer_{i}']['kernel'].shape for i in range(6)
  ] == list(zip(widths[:-1], widths[1:], strict=True))


def test_graphs_must_have_one_node_per_neuron():
  network = networks.Mlp((2, 4, 3))
  other = networks.Mlp((2, 4, 2, 3))
  graph = graphs.encode(
    graphs.topology(other.spec), readers.draw_weights(other.spec, num=1)
  )
  weights = readers.draw_weights(network.spec, num=1)
  graph = graph._replace(globals={'weights': weights})
  model = _create('ng_gnn', network)
  with pytest.raises(ValueError, match='got 11 nodes for 9 neurons'):
    _init(model, graph)
