# SPDX-License-Identifier: Apache-2.0
"""Tests of message passing: recorded aggregations, norms, a worked example."""

import pathlib

from flax import linen as nn
import jax
import jax.numpy as jnp
import jraph
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import layers
from ng_jax import specs

_GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden'


def _golden(name):
  with np.load(_GOLDEN / f'{name}.npz') as file:
    return {key: file[key] for key in file.files}


def _graph_of_edges(receivers, num_nodes):
  """One graph with given edges and no features that matter."""
  ids = {
    name: np.zeros((1, num_nodes), np.int32)
    for name in ('role', 'index', 'depth', 'activation')
  }
  count = len(receivers)
  return jraph.GraphsTuple(
    nodes={'bias': np.zeros((1, num_nodes, 1), np.float32), **ids},
    edges={
      'weight': np.zeros((1, count, 1), np.float32),
      'layer': np.zeros((1, count), np.int32),
    },
    senders=np.zeros((1, count), np.int32),
    receivers=receivers[None].astype(np.int32),
    globals=None,
    n_node=np.array([[num_nodes]]),
    n_edge=np.array([[count]]),
  )


def _mlp_graph(sizes, num_graphs=1):
  spec = specs.mlp(sizes)
  weights = specs.from_leaf_arrays(
    {
      leaf.path: np.zeros((num_graphs, *spec.leaf_shape(leaf)))
      for leaf in spec.leaves
    }
  )
  return graphs.encode(graphs.topology(spec), weights)


@pytest.mark.parametrize('rule', ['pna', 'pna_stdmask'])
def test_aggregation_equals_the_reference(rule):
  golden = _golden('unit_pna_aggregation')
  connectivity = graphs.connect(_graph_of_edges(golden['in/index'], 6))
  delta = golden['out/avg_deg_log'][0]

  def aggregate(messages):
    received = layers.aggregate_pna(
      (messages,), connectivity, zero_small_std=rule == 'pna_stdmask'
    )
    amplify = jnp.log(connectivity.in_degree() + 1) / delta
    return jnp.concatenate([received, received * amplify], axis=-1)

  found = jax.jit(aggregate)(golden['in/messages'])
  np.testing.assert_allclose(found, golden[f'out/{rule}'], rtol=0, atol=1e-6)


def test_the_gradient_of_the_aggregation_equals_the_reference():
  golden = _golden('unit_pna_aggregation')
  connectivity = graphs.connect(_graph_of_edges(golden['in/index'], 6))

  def loss(messages):
    received = layers.aggregate_pna((messages,), connectivity)
    amplify = jnp.log(connectivity.in_degree() + 1) / golden['out/avg_deg_log']
    both = jnp.concatenate([received, received * amplify], axis=-1)
    return jnp.mean(both**2)

  found = jax.jit(jax.grad(loss))(golden['in/messages'])
  expected = golden['grad/pna/messages']
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_degree_constant_is_the_mean_log_degree():
  golden = _golden('unit_pna_aggregation')
  histogram = golden['in/deg_hist']
  logs = np.log(np.arange(len(histogram)) + 1)
  delta = np.sum(histogram * logs) / np.sum(histogram)
  np.testing.assert_allclose(golden['out/avg_deg_log'][0], delta, rtol=1e-6)
  # The default belongs to SIRENs of sizes (2, 32, 32, 1).
  topology = graphs.topology(specs.mlp((2, 32, 32, 1)))
  degrees = np.bincount(topology.receivers, minlength=topology.num_nodes)
  default = layers.PNAConv(features=4, degree_constant=2.246871)
  np.testing.assert_allclose(
    default.degree_constant, np.mean(np.log(degrees + 1)), atol=5e-7
  )


@pytest.mark.parametrize('view', [lambda g: g, graphs.flatten])
def test_graph_norm_equals_the_reference(view):
  golden = _golden('unit_graph_layernorm')
  norm = layers.GraphNorm()
  params = {'scale': golden['param/weight'], 'bias': golden['param/bias']}

  def loss(params, x):
    connectivity = graphs.connect(view(_mlp_graph((2, 5, 2))))
    nodes = connectivity.from_dense_nodes(x[None])
    y = norm.apply({'params': params}, nodes, connectivity)
    y = y.reshape(9, 4)
    return jnp.sum(y * golden['in/cotangent']), y

  run = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
  (params_grad, x_grad), y = run(params, golden['in/x'])
  for found, name in (
    (y, 'out/y'),
    (x_grad, 'grad/x'),
    (params_grad['scale'], 'grad/weight'),
    (params_grad['bias'], 'grad/bias'),
  ):
    np.testing.assert_allclose(found, golden[name], rtol=1e-6, atol=2e-6)


def test_graph_norm_of_constant_graphs_has_a_finite_gradient():
  connectivity = graphs.connect(_mlp_graph((2, 3, 1)))
  params = {'scale': np.ones(4, np.float32), 'bias': np.zeros(4, np.float32)}

  def loss(x):
    y = layers.GraphNorm().apply({'params': params}, x, connectivity)
    return jnp.sum(y), y

  grad, y = jax.grad(loss, has_aux=True)(np.ones((1, 6, 4), np.float32))
  assert np.all(np.isfinite(grad))
  np.testing.assert_array_equal(y, np.zeros((1, 6, 4)))


def test_an_unknown_norm_mode_lists_the_known_ones():
  connectivity = graphs.connect(_mlp_graph((2, 3, 1)))
  with pytest.raises(ValueError, match="unknown norm mode 'layer'; .*'graph'"):
    layers.GraphNorm(mode='layer').init(
      jax.random.key(0), jnp.zeros((1, 6, 4)), connectivity
    )


def _linear(slot, fan_in, features):
  """W[o, i] = 0.3 sin(1 + 0.7 s + 1.3 o + 0.5 i), b[o] = 0.1 cos(s + o)."""
  i, o = np.meshgrid(np.arange(fan_in), np.arange(features), indexing='ij')
  return {
    'kernel': 0.3 * np.sin(1 + 0.7 * slot + 1.3 * o + 0.5 * i),
    'bias': 0.1 * np.cos(slot + np.arange(features)),
  }


class _TwoLayers(nn.Module):
  """The backbone of NG-GNN by itself, with what it computes on the way."""

  norm_mode: str

  @nn.compact
  def __call__(self, nodes, edges, connectivity):
    first = layers.PNAConv(4, 0.780355, name='conv_0')(
      nodes, edges, connectivity
    )
    nodes = layers.GraphNorm(self.norm_mode, name='norm_0')(first, connectivity)
    nodes = nn.silu(nodes)
    edges = layers.EdgeUpdate(4, name='edge_update_0')(
      nodes, edges, connectivity
    )
    last = layers.PNAConv(4, 0.780355, name='conv_1')(
      nodes, edges, connectivity
    )
    return first, edges, last


def _two_layers_params(norm_mode):
  params = {}
  for k in range(2):
    params[f'conv_{k}'] = {
      'edge_encoder': _linear(10 * k, 4, 8),
      'pre': _linear(10 * k + 1, 8, 4),
      'post': _linear(10 * k + 2, 36, 4),
      'out': _linear(10 * k + 3, 4, 4),
    }
  params['edge_update_0'] = {
    name: _linear(100 + i, 4, 4)
    for i, name in enumerate(('edge', 'source', 'target', 'out'))
  }
  norm = {'scale': np.ones(4), 'bias': np.zeros(4)}
  params['norm_0'] = {'node': norm} if norm_mode == 'node' else norm
  return params


@pytest.mark.parametrize('path', ['blocks', 'segments'])
@pytest.mark.parametrize('norm_mode', ['batch', 'graph', 'node'])
def test_two_layers_by_hand(x64, norm_mode, path):
  # Two graphs, the second with all features doubled. Known values were
  # computed with an epsilon outside the root, but for 'node'.
  topology = graphs.topology(specs.mlp((2, 3, 1)))
  graph = _mlp_graph((2, 3, 1), num_graphs=2)
  graph = graphs.flatten(graph) if path == 'segments' else graph
  n, d = np.meshgrid(np.arange(6), np.arange(4), indexing='ij')
  x = np.sin(0.9 * n + 0.4 * d + 0.2)
  i, j, d = np.meshgrid(np.arange(6), np.arange(6), np.arange(4), indexing='ij')
  dense = np.cos(0.5 * i - 0.8 * j + 0.3 * d)
  scale = np.array([1.0, 2.0])[:, None, None]
  groups = [
    scale * dense[topology.senders, topology.receivers],
    scale * dense[topology.receivers, topology.senders],
  ]
  if path == 'segments':
    edges = tuple(g.reshape(-1, 4) for g in groups)
  else:
    edges = tuple(
      g[:, b.start : b.start + b.num_edges].reshape(2, *b.shape, 4)
      for g in groups
      for b in topology.blocks
    )
  variables = {
    'params': _two_layers_params(norm_mode),
    'constants': {
      f'conv_{k}': {'degree_constant': np.array(0.780355)} for k in range(2)
    },
  }

  def run(variables, edges, num_graphs):
    selected = jax.tree.map(lambda a: a[:num_graphs], graph)
    connectivity = graphs.connect(selected, reverse=True)
    if path == 'segments':
      edges = tuple(e[: num_graphs * 9] for e in edges)
    else:
      edges = tuple(e[:num_graphs] for e in edges)
    nodes = connectivity.from_dense_nodes(jnp.asarray(scale * x)[:num_graphs])
    first, edges, last = _TwoLayers(norm_mode).apply(
      variables, nodes, edges, connectivity
    )
    return (
      connectivity.to_dense_nodes(first)[0],
      edges[0].reshape(-1, 4)[0],
      connectivity.to_dense_nodes(last)[0],
    )

  run = jax.jit(run, static_argnums=2)
  first, edge, last = run(variables, edges, 1)
  np.testing.assert_allclose(
    first[np.array([0, 5])],
    [
      [-0.850510, 0.190154, 0.916579, 0.315691],
      [-0.700021, -0.358929, 0.472331, 0.627102],
    ],
    atol=6e-7,
  )
  alone = [-0.042098, 0.039860, 0.070884, -0.043387]
  with_a_neighbour = {
    'batch': [-0.018711, -0.030347, 0.009936, -0.005787],
    'graph': alone,
    'node': [-0.044253, 0.078096, 0.093495, -0.069526],
  }
  if norm_mode != 'node':
    np.testing.assert_allclose(last[5], alone, atol=6e-7)
    np.testing.assert_allclose(
      edge, [-0.032567, 0.005046, -0.016395, -0.026965], atol=6e-7
    )
  _, _, last = run(variables, edges, 2)
  np.testing.assert_allclose(last[5], with_a_neighbour[norm_mode], atol=6e-7)


def test_an_unknown_modulation_lists_the_known_ones():
  connectivity = graphs.connect(_mlp_graph((2, 3, 1)))
  conv = layers.PNAConv(4, 1.0, modulation='scale')
  with pytest.raises(ValueError, match="unknown modulation 'scale'; .*'film'"):
    conv.init(
      jax.random.key(0), jnp.zeros((1, 6, 4)), (jnp.zeros(1),), connectivity
    )
