# SPDX-License-Identifier: Apache-2.0
"""Models on CNNs: their options, symmetry, and batches of any architectures."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import layers
from ng_jax import networks
from ng_jax import specs
from ng_jax import testing
from ng_jax.weights import statistics
from tests import example_networks
from tests import padded_batches
from tests import repeats
from tests.models import readers

_POOLED = networks.Cnn(
  (2, 3, 2, 4),
  (3, (1, 5), 1),
  ('gelu', 'none', 'tanh'),
  num_classes=3,
  residual=(-1, -1, 0),
)
_FLAT = networks.Cnn(
  (2, 3, 4), (3, 3), num_classes=3, reduction='flatten', map_size=(1, 2)
)
_NAMES = sorted(readers.GRAPH_MODELS)
_QUICK = [('ng_gnn', 'separate-reverse'), ('ng_t', 'repeat')]
_OPTIONS = {
  'plain': (_POOLED, {}, {}),
  'activations': (_POOLED, {}, {'activation_embedding': True}),
  'separate': (_POOLED, {}, {'linear_as_conv': False}),
  'separate-reverse': (
    _POOLED,
    {},
    {'linear_as_conv': False, 'reverse_edges': True},
  ),
  'mirrored': (
    _POOLED,
    {},
    {'linear_as_conv': False, 'mirror_linear': True, 'reverse_edges': True},
  ),
  'kernel': (_FLAT, {}, {'linear_as_conv': False}),
  'repeat': (
    _FLAT,
    {'flattening': 'repeat_nodes'},
    {'num_places': 2, 'linear_as_conv': False},
  ),
  'extra': (
    _FLAT,
    {'flattening': 'extra_layer'},
    {'num_hidden_layers': 3, 'reverse_edges': True},
  ),
}


def _make(name, network, shape, options, seed=0):
  """A tiny model, its variables and its topology, in float64."""
  topology = graphs.topology(network.spec, **shape)
  options = {'reverse_edges': False, **options}
  model = readers.create(name, network.spec, **options)
  variables = readers.draw_variables(
    model, network.spec, dtype=np.float64, topology=topology, seed=seed
  )
  return model, variables, topology


@pytest.mark.parametrize(
  ('name', 'case'),
  repeats.cases(itertools.product(_NAMES, sorted(_OPTIONS)), quick=_QUICK),
)
def test_both_paths_and_hidden_permutations(x64, name, case):
  network, shape, options = _OPTIONS[case]
  model, variables, topology = _make(name, network, shape, options)
  weights = readers.draw_weights(network.spec, num=2, dtype=np.float64)

  @jax.jit
  def predict(weights):
    graph = graphs.encode(topology, weights)
    flat = graphs.flatten(graph)
    return model.apply(variables, graph), model.apply(variables, flat)

  blocks, segments = predict(weights)
  assert np.min(np.std(blocks, axis=0)) > 1e-4
  np.testing.assert_allclose(segments, blocks, rtol=1e-10, atol=1e-12)
  testing.assert_invariant(
    predict,
    network.spec,
    weights=weights,
    key=jax.random.key(1),
    atol=1e-10,
    rtol=0,
  )
  # What changes the network's function is seen.
  if network is _POOLED:
    wrong = {'hidden_1': np.array([1, 0, 2])}
    changed, _ = predict(specs.permute(network.spec, weights, wrong))
    assert np.max(np.abs(changed - blocks)) > 1e-6


@pytest.mark.slow
@pytest.mark.parametrize('name', _NAMES)
def test_what_separate_projections_read(x64, name):
  options = {'linear_as_conv': False, 'reverse_edges': True}
  model, variables, topology = _make(name, _POOLED, {}, options)
  mirrored = model.copy(mirror_linear=True)
  forward = model.copy(reverse_edges=False)
  paths = specs.leaf_arrays(variables)
  linear = 'embedding/linear_projection'
  assert paths[f'constants/{linear}/frequencies'].shape == (4, 3)
  assert paths['constants/embedding/edge_projection/frequencies'].shape == (
    4,
    3 * topology.num_edge_channels,
  )
  graph = graphs.encode(
    topology, readers.draw_weights(_POOLED.spec, num=2, dtype=np.float64)
  )

  def gradient(model, variables):
    def loss(params):
      found = model.apply({**variables, 'params': params}, graph)
      return jnp.sum(found**2), found

    return jax.grad(loss, has_aux=True)(variables['params'])

  @jax.jit
  def run(variables):
    return gradient(model, variables), gradient(mirrored, variables)

  (grads, own), (_, other) = run(variables)
  assert np.max(np.abs(own - other)) > 1e-6
  for kind in ('kernel', 'bias'):
    for part in ('linear_projection', 'edge_projection'):
      assert np.max(np.abs(grads['embedding'][part][kind])) > 1e-6, part
  # Without reverse edges there is nothing to mirror.
  drawn = readers.draw_variables(
    forward, _POOLED.spec, dtype=np.float64, topology=topology
  )
  both = jax.jit(
    lambda v: [
      m.apply(v, graph) for m in (forward, forward.copy(mirror_linear=True))
    ]
  )(drawn)
  np.testing.assert_array_equal(both[0], both[1])


@functools.cache
def _park():
  """Six random small architectures, all different."""
  rng = np.random.default_rng(3)
  drawn = [
    networks.draw_cnn(
      rng,
      num_convolutions=(2, 3, 4),
      channels=(2, 3),
      kernel_sizes=(1, 3),
      num_classes=3,
    )
    for _ in range(4)
  ]
  assert len(set(drawn)) == 4
  assert {c.num_convolutions for c in drawn} > {2}
  assert any(max(c.residual) >= 0 for c in drawn)
  pairs = []
  for i, network in enumerate(drawn):
    weights = readers.draw_weights(
      network.spec, num=1, dtype=np.float64, seed=i
    )
    pairs.append(
      (
        graphs.topology(network.spec, (3, 3)),
        jax.tree.map(lambda x: x[0], weights),
      )
    )
  return pairs


@pytest.mark.parametrize('name', repeats.cases(_NAMES, repeats=('ng_t',)))
def test_random_architectures_in_one_batch(x64, name):
  # Alone, in either layout, and among other neighbours: the same predictions.
  pairs = _park()
  largest = max((t for t, _ in pairs), key=lambda t: t.num_nodes)
  options = {
    'num_hidden_layers': 4,
    'num_inputs': 3,
    'num_output_nodes': 3,
    'activation_embedding': True,
    'reverse_edges': True,
    'linear_as_conv': False,
  }
  if name == 'ng_t':
    options['max_nodes'] = largest.num_nodes
  model = readers.create(name, largest.spec, **options)
  variables = readers.draw_variables(
    model, largest.spec, dtype=np.float64, topology=largest
  )
  predict = jax.jit(model.apply)

  def stacked(pairs):
    return graphs.stack(
      pairs,
      max_nodes=largest.num_nodes + 1,
      max_edges=80,
      num_graphs=len(_park()),
      dtype=np.float64,
    )

  together = predict(variables, stacked(pairs))
  assert np.min(np.std(together, axis=0)) > 1e-3
  joined = graphs.concatenate(
    pairs, graphs.Budget(5, 100, 300), dtype=np.float64
  )
  np.testing.assert_allclose(
    predict(variables, joined)[:4], together, rtol=1e-10
  )
  for i in (0, 3):
    alone = predict(variables, stacked([pairs[i]]))[0]
    np.testing.assert_allclose(alone, together[i], rtol=1e-10)
  topology, weights = pairs[1]
  one = graphs.encode(topology, jax.tree.map(lambda x: x[None], weights))
  np.testing.assert_allclose(
    predict(variables, one)[0], together[1], rtol=1e-10
  )


@pytest.mark.allow_nans
@pytest.mark.parametrize('name', repeats.cases(_NAMES, repeats=('ng_gnn',)))
def test_padding_is_not_seen(x64, name):
  stats = statistics.Statistics(
    (0.1, -0.2, 0.3, 0.1), (0.5, 1.5, 2.0, 0.7), (0.1, 0.2, -0.1, 0.3),
    (1.1, 0.9, 0.8, 0.7),
  )  # fmt: skip
  options = {
    'linear_as_conv': False,
    'reverse_edges': True,
    'activation_embedding': True,
    'statistics': stats,
  }
  model, variables, topology = _make(name, _POOLED, {}, options)
  weights = readers.draw_weights(_POOLED.spec, num=2, dtype=np.float64)
  flat = jax.device_get(graphs.flatten(graphs.encode(topology, weights)))

  @jax.jit
  def gradient(params, graph):
    def loss(params):
      found = model.apply({**variables, 'params': params}, graph)[:2]
      return jnp.sum(found**2), found

    return jax.grad(loss, has_aux=True)(params)

  expected = gradient(variables['params'], flat)
  for rubbish in padded_batches.RUBBISH.values():
    batch = padded_batches.per_graph(
      flat, num_graphs=3, max_nodes=18, max_edges=50, rubbish=rubbish
    )
    found = gradient(variables['params'], batch)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9),
      found,
      expected,
    )


@pytest.mark.parametrize('name', _NAMES)
def test_statistics_leave_the_padding_of_kernels_alone(x64, name):
  # Equal to normalising the weights oneself, whatever the kernels' sizes.
  stats = statistics.Statistics(
    (0.1, -0.2, 0.3, -0.4), (0.5, 1.5, 2.5, 3.0), (-0.1, 0.2, -0.3, 0.4),
    (1.1, 0.9, 0.8, 0.7),
  )  # fmt: skip
  model, variables, topology = _make(name, _POOLED, {}, {'statistics': stats})
  constants = variables['constants']['embedding']
  for field in ('weight_mean', 'weight_std', 'bias_mean', 'bias_std'):
    constants[field] = np.array(getattr(stats, field))
  plain = model.copy(statistics=None)
  weights = readers.draw_weights(_POOLED.spec, num=2, dtype=np.float64)
  layers = ('conv_1', 'conv_2', 'conv_3', 'linear')
  normalised = {
    layer: {
      'kernel': (weights[layer]['kernel'] - stats.weight_mean[i])
      / stats.weight_std[i],
      'bias': (weights[layer]['bias'] - stats.bias_mean[i]) / stats.bias_std[i],
    }
    for i, layer in enumerate(layers)
  }

  @jax.jit
  def run(weights, normalised):
    raw = graphs.encode(topology, weights)
    return (
      plain.apply(variables, graphs.encode(topology, normalised)),
      model.apply(variables, raw),
      model.apply(variables, graphs.flatten(raw)),
    )

  expected, blocks, segments = run(weights, normalised)
  np.testing.assert_allclose(blocks, expected, rtol=1e-10)
  np.testing.assert_allclose(segments, expected, rtol=1e-10)


@pytest.mark.parametrize('name', repeats.cases(_NAMES, repeats=('ng_t',)))
def test_attention_shares_a_batch_with_others(x64, name):
  made = [
    example_networks.attention().spec,
    networks.Cnn((3, 4, 2), (3, 1), num_classes=2).spec,
    example_networks.residual_norm().spec,
  ]
  pairs = []
  for spec in made:
    weights = readers.draw_weights(spec, num=1, dtype=np.float64)
    topology = graphs.topology(spec, (3, 3), min_node_channels=3)
    pairs.append((topology, jax.tree.map(lambda x: x[0], weights)))
  model = readers.create(name, made[2], reverse_edges=True)
  variables = readers.draw_variables(
    model, made[2], dtype=np.float64, topology=pairs[2][0]
  )
  batch = graphs.stack(pairs, max_nodes=34, max_edges=110, dtype=np.float64)
  predict = jax.jit(model.apply)
  found = predict(variables, batch)
  topology, weights = pairs[0]
  weights = jax.tree.map(lambda x: x[None], weights)
  alone = predict(variables, graphs.encode(topology, weights))
  np.testing.assert_allclose(found[0], alone[0], rtol=1e-10)
  # Query, key and value are told apart, and so are their biases.
  for kind in ('kernel', 'bias'):
    swapped = dict(pairs[0][1])
    swapped['query'] = {**swapped['query'], kind: swapped['key'][kind]}
    swapped['key'] = {**swapped['key'], kind: pairs[0][1]['query'][kind]}
    others = [(topology, swapped), *pairs[1:]]
    other = predict(
      variables,
      graphs.stack(others, max_nodes=34, max_edges=110, dtype=np.float64),
    )
    assert np.max(np.abs(other[0] - found[0])) > 1e-6
    np.testing.assert_allclose(other[1:], found[1:], rtol=1e-12)


def test_activations_beyond_the_vocabulary_have_no_embedding(x64):
  spec = specs.mlp((2, 3, 2), 'sine')
  seven = specs.ACTIVATIONS[:7]
  model, variables, topology = _make(
    'ng_gnn',
    networks.Mlp((2, 3, 2), 'sine'),
    {},
    {'activation_embedding': True, 'activation_vocabulary': seven},
  )
  table = variables['params']['embedding']['activations']['table']
  assert table.shape == (7, 6)
  graph = graphs.encode(
    topology, readers.draw_weights(spec, num=2, dtype=np.float64)
  )
  bare = model.copy(activation_embedding=False)
  run = jax.jit(lambda v: [m.apply(v, graph) for m in (model, bare)])
  found, expected = run(variables)
  np.testing.assert_array_equal(found, expected)


def test_layers_beyond_the_table_have_no_position(x64):
  # In a mixed batch nothing can be checked; they must not get outputs' rows.
  shallow, deep = specs.mlp((2, 3, 2)), specs.mlp((2, 3, 3, 2))
  topology = graphs.topology(deep)
  weights = readers.draw_weights(deep, num=1, dtype=np.float64)
  graph = graphs.flatten(graphs.encode(topology, weights))
  embedding = layers.PositionEmbedding(2, shallow.num_hidden_sets, 2, 4)
  table = np.arange(20, dtype=np.float64).reshape(5, 4)
  found = embedding.apply({'params': {'table': table}}, graphs.connect(graph))
  rows = [0, 1, 2, 2, 2, None, None, None, 3, 4]
  expected = [np.zeros(4) if row is None else table[row] for row in rows]
  np.testing.assert_array_equal(found, expected)


def _trace(model, graph):
  key = jax.eval_shape(jax.random.key, 0)
  return jax.eval_shape(model.init, {'params': key}, graph)


def _graph(network=_POOLED, **shape):
  weights = readers.draw_weights(network.spec, num=2)
  return graphs.encode(graphs.topology(network.spec, **shape), weights)


def test_refused():
  stats = statistics.Statistics((0.0,), (1.0,), (0.0,), (1.0,))
  repeated = _graph(_FLAT, flattening='repeat_nodes')
  joined = graphs.concatenate(_park()[:1], graphs.Budget(2, 40, 120))
  flat = graphs.flatten(_graph())
  typeless = flat._replace(
    edges={name: flat.edges[name] for name in ('weight', 'layer')}
  )
  placeless = flat._replace(
    nodes={name: x for name, x in flat.nodes.items() if name != 'place'}
  )
  for options, graph, message in (
    ({'num_places': 1}, repeated, 'num_places must be at least 2 for this gra'),
    (
      {'statistics': stats},
      _graph(),
      'statistics must cover every layer of the graph, 4, got 1; compute them',
    ),
    (
      {'activation_embedding': True, 'activation_vocabulary': ('relu', 'mish')},
      _graph(),
      r"unknown activations \['mish'\] in the vocabulary; expected some of",
    ),
    (
      {'linear_as_conv': False},
      typeless,
      r"edge field 'type' for this model, got \['layer', 'weight'\]; build it",
    ),
    (
      {'num_places': 2},
      placeless,
      r"node field 'place' for this model, got \['activation', 'bias'",
    ),
    (
      {'mask_padding': False, 'max_nodes': 30},
      joined,
      'padding can be kept .* got a concatenated batch; use graphs.stack',
    ),
  ):
    name = 'ng_t' if 'mask_padding' in options else 'ng_gnn'
    model = readers.create(name, _POOLED.spec, **options)
    with pytest.raises(ValueError, match=message):
      _trace(model, graph)
