# SPDX-License-Identifier: Apache-2.0
"""Tests of probe features: where inputs come from, who shares a projection."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import layers
from ng_jax import networks
from ng_jax import specs
from ng_jax.layers import generator
from ng_jax.layers import probe_inputs
from tests import padded_batches
from tests import probed_networks

_SIREN = networks.Siren((2, 4, 3, 2))
_NUM = 3


def _graph(network=_SIREN, num=2, dtype=np.float32):
  rng = np.random.default_rng(0)
  weights = specs.from_leaf_arrays(
    {
      leaf.path: rng.uniform(
        0.2, 0.9, (num, *network.spec.leaf_shape(leaf))
      ).astype(dtype)
      for leaf in network.spec.leaves
    }
  )
  return graphs.encode(graphs.topology(network.spec), weights)


def _init(module, graph):
  def init(key, graph):
    return module.init({'params': key}, graphs.connect(graph))

  return jax.jit(init)(jax.random.key(0), graph)


def _apply(module, variables, graph):
  """Projections, what the embedding adds to the nodes."""
  return _apply_for_both(module, variables, graph)[0]


def _apply_for_both(module, variables, graph):
  def apply(variables, graph):
    return module.apply(variables, graphs.connect(graph))

  return jax.jit(apply)(variables, graph)


def _probes(**options):
  options = {'features': 5, 'num_probes': _NUM, 'network': _SIREN, **options}
  return layers.ProbeFeatures(**options)


def _fills(values, bound):
  largest = np.max(np.abs(values))
  return 0.9 * bound < largest <= bound and abs(np.mean(values)) < 0.2 * bound


def test_probes_are_drawn_from_their_range_and_seen_by_every_neuron():
  module = _probes(num_probes=50)
  graph = _graph(num=1)
  variables = _init(module, graph)
  assert _fills(variables['params']['inputs'], 1.0)
  shapes = jax.tree.map(jnp.shape, variables['params'])
  assert shapes['inputs'] == (50, 2)
  assert {k: v['kernel'] for k, v in shapes.items() if 'projection' in k} == {
    f'projection_{i}': (50, 5) for i in range(4)
  }
  assert _apply(module, variables, graph).shape == (1, 11, 5)


def test_every_neuron_sees_its_own_activations(x64):
  # LayerNorm(Linear(activations)), set by set, with a set's own parameters.
  module = _probes()
  graph = _graph(dtype=np.float64)
  rng = np.random.default_rng(1)
  params = jax.tree.map(
    lambda x: rng.normal(size=x.shape), _init(module, graph)['params']
  )
  found = _apply(module, {'params': params}, graph)
  values = _SIREN.activations(graph.globals['weights'], params['inputs'])
  first = 0
  for i, activation in enumerate(values):
    linear, norm = params[f'projection_{i}'], params[f'norm_{i}']
    x = np.swapaxes(activation, -1, -2) @ linear['kernel'] + linear['bias']
    centred = x - x.mean(-1, keepdims=True)
    x = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    x = np.broadcast_to(x * norm['scale'] + norm['bias'], (2, *x.shape[-2:]))
    last = first + x.shape[1]
    np.testing.assert_allclose(found[:, first:last], x, rtol=1e-9, atol=1e-9)
    first = last


def test_the_activations_themselves_are_returned_too(x64):
  # Of graphs that carry weights, or activations, and of a padded batch.
  module = _probes()
  graph = _graph(dtype=np.float64)
  variables = _init(module, graph)
  expected = graphs.node_activations(
    _SIREN, graph.globals['weights'], variables['params']['inputs']
  )
  assert expected.shape == (2, 11, _NUM)
  carried = graphs.add_activations(graph, expected)
  padded = padded_batches.concatenated(
    jax.device_get(graphs.flatten(graph)),
    num_graphs=4,
    num_nodes=25,
    num_edges=80,
    rubbish=9.0,
  )
  for batch in (graph, carried, padded):
    projected, found = _apply_for_both(module, variables, batch)
    assert projected.shape == (*found.shape[:-1], 5)
    found = found.reshape(-1, _NUM)
    np.testing.assert_allclose(
      found[:22], expected.reshape(-1, _NUM), rtol=1e-12
    )
    assert not np.any(found[22:])


def test_projections_by_role_have_a_row_for_every_depth():
  # Four hidden sets, rows for two: the third and fourth use the second's.
  deep = networks.Mlp((2, 3, 3, 3, 3, 2))
  shallow = networks.Mlp((2, 3, 2))
  options = {'projection': 'role', 'num_hidden_layers': 2}
  module = _probes(network=deep, **options)
  variables = _init(module, _graph(deep))
  rows = {name for name in variables['params'] if 'projection' in name}
  assert rows == {
    'projection_input',
    'projection_hidden_1',
    'projection_hidden_2',
    'projection_output',
  }
  other = _init(_probes(network=shallow, **options), _graph(shallow))
  assert jax.tree.map(jnp.shape, other) == jax.tree.map(jnp.shape, variables)
  changed = jax.tree.map(lambda x: x, variables)
  changed['params']['norm_hidden_2']['bias'] += 1.0
  moved = _apply(module, changed, _graph(deep)) - _apply(
    module, variables, _graph(deep)
  )
  expected = np.repeat([0, 0, 1, 1, 1, 0], [2, 3, 3, 3, 3, 2])
  np.testing.assert_allclose(moved[0, :, 0], expected, atol=1e-5)


@pytest.mark.parametrize('source', ['uniform', 'normal', 'generator'])
def test_gradients_reach_what_makes_the_inputs(source):
  network = probed_networks.conv()
  graph = _graph(network, num=1)
  module = _probes(network=network, source=source)
  variables = _init(module, graph)

  def loss(params):
    found, _ = module.apply({'params': params}, graphs.connect(graph))
    return jnp.sum(found**3)

  grads = jax.jit(jax.grad(loss))(variables['params'])
  made = grads['generator' if source == 'generator' else 'inputs']
  assert all(np.max(np.abs(g)) > 1e-6 for g in jax.tree.leaves(made))


def test_given_inputs_are_constants_and_no_parameters(x64):
  inputs = np.random.default_rng(0).normal(size=(_NUM, 2))
  graph = _graph(dtype=np.float64)
  given = _probes(source='given', fixed_inputs=inputs)
  variables = _init(given, graph)
  assert 'inputs' not in variables['params']
  np.testing.assert_array_equal(variables['constants']['inputs'], inputs)
  found = _apply(given, variables, graph)
  # As learned inputs of the same values, and as inputs that graphs bring.
  params = {**variables['params'], 'inputs': inputs}
  learned = {'params': params}
  np.testing.assert_array_equal(_apply(_probes(), learned, graph), found)
  other = {'params': {**params, 'inputs': inputs + 1}}
  assert np.max(np.abs(_apply(_probes(), other, graph) - found)) > 1e-3
  brought = graphs.add_probe_inputs(graph, inputs)
  np.testing.assert_array_equal(_apply(_probes(), other, brought), found)
  each = np.stack([inputs, inputs + 1])
  brought = graph._replace(globals={**graph.globals, 'probe_inputs': each})
  np.testing.assert_allclose(
    _apply(_probes(), other, brought)[0], found[0], rtol=1e-12
  )
  # Constants read from a file need no array in the options.
  restored = _probes(source='given')
  np.testing.assert_array_equal(_apply(restored, variables, graph), found)


@pytest.mark.parametrize('shape', [(3,), (1, 3)])
def test_the_generator_of_vectors_is_linear(x64, shape):
  module = layers.ProbeGenerator(4, shape)
  params = jax.jit(lambda key: module.init({'params': key}))(jax.random.key(0))[
    'params'
  ]
  shapes = {k: v.shape for k, v in specs.leaf_arrays(params).items()}
  assert shapes == {
    'codes': (4, 32),
    'layer_0/kernel': (32, 32),
    'layer_0/bias': (32,),
    'layer_1/kernel': (32, 3),
    'layer_1/bias': (3,),
  }
  assert module.apply({'params': params}).shape == (4, *shape)
  _check_affine(lambda p: module.apply({'params': p}), params)


def _check_affine(fn, params):
  """f(a) + f(b) = f(a + b) + f(0), and f is not constant."""
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(2, *params['codes'].shape))
  f = jax.jit(lambda codes: fn({**params, 'codes': codes}))
  np.testing.assert_allclose(
    f(a) + f(b), f(a + b) + f(0 * a), rtol=1e-10, atol=1e-10
  )
  assert np.max(np.abs(f(a) - f(b))) > 1e-6


@pytest.mark.parametrize('num_layers', [5, 6])
def test_the_generator_of_images_is_linear_up_to_the_tanh(x64, num_layers):
  module = layers.ProbeGenerator(2, (32, 32, 3), num_layers=num_layers)
  shapes = jax.eval_shape(
    lambda key: module.init({'params': key}),
    jax.eval_shape(jax.random.key, 0),
  )['params']
  kernels = [
    shapes[f'layer_{i}']['kernel'].shape for i in range(len(shapes) - 1)
  ]
  expected = [
    (4, 4, 32, 128),
    (4, 4, 128, 64),
    (4, 4, 64, 32),
    (3, 3, 32, 32),
    (4, 4, 32, 16),
    (3, 3, 16, 3),
  ]
  assert kernels == (
    expected if num_layers == 6 else expected[:3] + expected[4:]
  )
  small = layers.ProbeGenerator(2, (5, 9, 2), width=2, num_layers=num_layers)
  params = jax.jit(lambda key: small.init({'params': key}))(jax.random.key(0))[
    'params'
  ]
  image = small.apply({'params': params})
  assert image.shape == (2, 5, 9, 2)
  _check_affine(lambda p: jnp.arctanh(small.apply({'params': p})), params)


def test_transposed_convolutions_are_those_of_pytorch(x64):
  # Each input pixel adds its kernel to the output, with the stride between.
  rng = np.random.default_rng(0)
  x = rng.normal(size=(1, 3, 2, 2))
  kernel, bias = rng.normal(size=(4, 4, 2, 3)), rng.normal(size=3)
  full = np.zeros((1, 2 * 2 + 4, 2 + 4, 3))
  for i in range(3):
    for j in range(2):
      flipped = kernel[::-1, ::-1]
      added = np.einsum('c,hwcd->hwd', x[0, i, j], flipped)
      full[0, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += added
  module = generator.ConvTranspose(3, (4, 4), stride=2, padding=1)
  found = module.apply({'params': {'kernel': kernel, 'bias': bias}}, x)
  np.testing.assert_allclose(found, full[:, 1:-1, 1:-1] + bias, rtol=1e-10)
  drawn = jax.jit(
    lambda key: module.init({'params': key}, np.zeros((1, 2, 2, 30)))
  )(jax.random.key(0))['params']
  # The fan is that of the outputs: 3 channels of 16 weights.
  assert _fills(drawn['kernel'], 48**-0.5)


def test_shapes_of_inputs():
  assert probe_inputs.input_shape(_SIREN) == (2,)
  assert probe_inputs.input_shape(_SIREN, (4, 2)) == (4, 2)
  assert probe_inputs.input_shape(probed_networks.conv()) == (5, 5, 2)


class _Tokens:
  """Reads sequences of two tokens out of four, averaged over time."""

  mlp = networks.Mlp((4, 3, 2), 'tanh')
  spec = mlp.spec
  input_shape = (2,)

  def activations(self, weights, x):
    one_hot = jax.nn.one_hot(x, 4, dtype=weights['layer_1']['bias'].dtype)
    return self.mlp.activations(weights, jnp.mean(one_hot, axis=-2))


def test_tokens_are_given_and_stay_integers(x64):
  tokens = np.array([[0, 1], [3, 3], [2, 0]], np.int32)
  module = _probes(network=_Tokens(), source='given', fixed_inputs=tokens)
  graph = _graph(_Tokens, dtype=np.float64)
  variables = _init(module, graph)
  held = variables['constants']['inputs']
  assert held.dtype == np.int32
  mixes = 0.5 * (np.eye(4)[tokens[:, 0]] + np.eye(4)[tokens[:, 1]])
  plain = _probes(network=_Tokens.mlp)
  expected = _apply(
    plain, {'params': {**variables['params'], 'inputs': mixes}}, graph
  )
  np.testing.assert_allclose(
    _apply(module, variables, graph), expected, rtol=1e-12
  )


class _Silent:
  """A network of images that says nothing of their size."""

  spec = probed_networks.conv().spec
  activations = None


class _Unprobed:
  """A network without activations of its first hidden set."""

  spec = _SIREN.spec

  def activations(self, weights, x):
    values = list(_SIREN.activations(weights, x))
    values[1] = None
    return values


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'source': 'learned'}, "unknown probe_source 'learned'; expected one of"),
    (
      {'projection': 'layer'},
      r"unknown probe_projection 'layer'; expected one of \['role', 'set'",
    ),
    (
      {'fixed_inputs': np.zeros((_NUM, 2))},
      "only read with probe_source='given', got 'uniform'",
    ),
    ({'source': 'given'}, 'needs inputs, got none; set probe_inputs'),
    (
      {'source': 'given', 'fixed_inputs': np.zeros((7, 2))},
      r'with num_probes=3, got \(7, 2\)',
    ),
    ({'network': None}, 'num_probes=3 needs the network'),
    ({'network': networks.Mlp((2, 9, 2))}, 'weights do not fit the network'),
    ({'network': _Silent()}, r'_Silent does not say .* set probe_shape'),
    (
      {'network': _Unprobed()},
      "neuron set 'hidden_1' cannot be probed",
    ),
    ({'network': object()}, 'must have `spec` and `activations'),
  ],
)
def test_what_is_refused(options, message):
  graph = _graph()
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(
      lambda key: _probes(**options).init(
        {'params': key}, graphs.connect(graph)
      ),
      jax.eval_shape(jax.random.key, 0),
    )


def test_other_layers_of_the_generator_are_refused():
  module = layers.ProbeGenerator(2, (8, 8, 1), num_layers=4)
  with pytest.raises(ValueError, match='generator_layers must be 5 or 6'):
    jax.eval_shape(
      lambda key: module.init({'params': key}),
      jax.eval_shape(jax.random.key, 0),
    )


def test_activations_of_another_number_of_probes_are_refused():
  graph = _graph()
  graph = graphs.add_activations(graph, np.zeros((2, 11, 4), np.float32))
  with pytest.raises(ValueError, match='num_probes=3 and 4 activations'):
    jax.eval_shape(
      lambda key: _probes().init({'params': key}, graphs.connect(graph)),
      jax.eval_shape(jax.random.key, 0),
    )
