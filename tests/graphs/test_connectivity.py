# SPDX-License-Identifier: Apache-2.0
"""Both connectivities against loops over nodes and edges in numpy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import specs
from tests import example_networks
from tests import padded_batches
from tests import repeats

_NUM_GRAPHS = 2
_FEATURES = 3


def _spec(name):
  if name == 'mlp':
    return specs.mlp((2, 4, 3, 2))
  return example_networks.EXAMPLES[name]().spec


def _graph(spec):
  rng = np.random.default_rng(0)
  weights = specs.from_leaf_arrays(
    {
      leaf.path: rng.normal(size=(_NUM_GRAPHS, *spec.leaf_shape(leaf)))
      for leaf in spec.leaves
    }
  )
  return graphs.encode(graphs.topology(spec), weights)


def _expected(topology, *, reverse, nodes, edges, fill):
  """What the loops say. edges: [directions, B, E, F]."""
  ends = [(topology.senders, topology.receivers)]
  ends += [(topology.receivers, topology.senders)] * reverse
  num_nodes = topology.num_nodes
  ids = topology.node_ids
  sums = [nodes[:, source] + 10 * nodes[:, target] for source, target in ends]
  aggregated = {
    name: np.zeros_like(nodes) for name in ('mean', 'min', 'max', 'mean_square')
  }
  degree = np.zeros((num_nodes, 1))
  for node in range(num_nodes):
    into = np.concatenate(
      [
        e[:, target == node] for e, (_, target) in zip(edges, ends, strict=True)
      ],
      axis=1,
    )
    degree[node] = into.shape[1]
    if into.shape[1]:
      aggregated['mean'][:, node] = into.mean(1)
      aggregated['min'][:, node] = into.min(1)
      aggregated['max'][:, node] = into.max(1)
      aggregated['mean_square'][:, node] = (into**2).mean(1)
  dense = np.broadcast_to(
    fill, (_NUM_GRAPHS, num_nodes, num_nodes, _FEATURES)
  ).copy()
  for e, (source, target) in zip(edges, ends, strict=True):
    dense[:, source, target] = e
  last = ids['role'] == 2
  pools = {
    'all': np.ones(num_nodes, bool),
    'last': last,
    'depth 1': ids['depth'] == 1,
  }
  return {
    'endpoint_sums': np.stack(sums),
    'aggregate': aggregated,
    'in_degree': np.broadcast_to(degree, (_NUM_GRAPHS, num_nodes, 1)),
    'dense_edges': dense,
    'mean': {w: nodes[:, mask].mean(1) for w, mask in pools.items()},
    'max': {w: nodes[:, mask].max(1) for w, mask in pools.items()},
    'moments': [
      np.broadcast_to(m, (_NUM_GRAPHS, num_nodes, 1))
      for m in (
        nodes.mean((1, 2), keepdims=True),
        nodes.var((1, 2), keepdims=True),
        nodes.mean(keepdims=True),
        nodes.var(keepdims=True),
      )
    ],
    'last_nodes': nodes[:, last],
    'dense_nodes': nodes,
    'role': np.tile(ids['role'], (_NUM_GRAPHS, 1)),
    'edge_layers': np.tile(topology.edge_layers, (1 + reverse, _NUM_GRAPHS, 1))[
      ..., None
    ],
  }


class _Blocks:
  """Converts between loops' arrays and `Blocks`."""

  max_nodes = None

  def __init__(self, topology):
    self.topology = topology

  def batch(self, graph):
    return graph

  def nodes(self, nodes):
    return nodes

  def edges(self, edges):
    return tuple(
      e[:, b.start : b.start + b.num_edges].reshape(_NUM_GRAPHS, *b.shape, -1)
      for e in edges
      for b in self.topology.blocks
    )

  def flat_edges(self, groups):
    count = len(self.topology.blocks)
    groups = [
      jnp.broadcast_to(
        g, (_NUM_GRAPHS, *b.shape, jnp.shape(g)[-1] if jnp.ndim(g) else 1)
      ).reshape(_NUM_GRAPHS, b.num_edges, -1)
      for g, b in zip(
        groups, self.topology.blocks * (len(groups) // count), strict=True
      )
    ]
    directions = range(len(groups) // count)
    return jnp.stack(
      [jnp.concatenate(groups[d * count :][:count], axis=1) for d in directions]
    )

  def flat_nodes(self, nodes):
    shape = (_NUM_GRAPHS, self.topology.num_nodes, jnp.shape(nodes)[-1])
    return jnp.broadcast_to(nodes, shape)


class _PerGraph(_Blocks):
  """The same for graphs that are padded one by one."""

  num_graphs, more_nodes, more_edges = 3, 4, 5

  def batch(self, graph):
    return padded_batches.per_graph(
      graphs.flatten(graph),
      num_graphs=self.num_graphs,
      max_nodes=self.topology.num_nodes + self.more_nodes,
      max_edges=self.topology.num_edges + self.more_edges,
      rubbish=np.nan,
    )

  def _spread(self, values, more):
    pad = [(0, self.num_graphs - _NUM_GRAPHS), (0, more), (0, 0)]
    full = np.pad(values, pad, constant_values=1e30)
    return full.reshape(-1, full.shape[-1])

  def nodes(self, nodes):
    return self._spread(nodes, self.more_nodes)

  def edges(self, edges):
    return tuple(self._spread(e, self.more_edges) for e in edges)

  def _gather(self, values, size, more):
    values = values.reshape(self.num_graphs, size + more, -1)
    return values[:_NUM_GRAPHS, :size]

  def flat_edges(self, groups):
    size = self.topology.num_edges
    return jnp.stack([self._gather(g, size, self.more_edges) for g in groups])

  def flat_nodes(self, nodes):
    return self._gather(nodes, self.topology.num_nodes, self.more_nodes)


class _Concatenated(_PerGraph):
  """The same for jraph's layout."""

  def __init__(self, topology):
    super().__init__(topology)
    self.max_nodes = topology.num_nodes + 2

  def batch(self, graph):
    return padded_batches.concatenated(
      graphs.flatten(graph),
      num_graphs=4,
      num_nodes=_NUM_GRAPHS * self.topology.num_nodes + self.more_nodes,
      num_edges=_NUM_GRAPHS * self.topology.num_edges + self.more_edges,
      rubbish=np.nan,
    )

  def _spread(self, values, more):
    values = values.reshape(-1, values.shape[-1])
    return np.pad(values, [(0, more), (0, 0)], constant_values=1e30)

  def _gather(self, values, size, more):
    return values[: _NUM_GRAPHS * size].reshape(_NUM_GRAPHS, size, -1)


_LAYOUTS = {
  'blocks': _Blocks,
  'per graph': _PerGraph,
  'concatenated': _Concatenated,
}


@pytest.mark.parametrize('layout', sorted(_LAYOUTS))
@pytest.mark.parametrize(
  ('name', 'reverse'),
  repeats.cases(
    itertools.product(('mlp', 'partial_skip', 'residual_norm'), (False, True)),
    quick=[('mlp', False), ('partial_skip', True)],
  ),
)
def test_values_move_as_loops_move_them(x64, name, reverse, layout):
  graph = _graph(_spec(name))
  topology = graph.edges['weight'].topology
  num_outputs = topology.spec.num_outputs
  view = _LAYOUTS[layout](topology)
  batch = view.batch(graph)
  rng = np.random.default_rng(1)
  nodes = rng.normal(size=(_NUM_GRAPHS, topology.num_nodes, _FEATURES))
  edges = rng.normal(
    size=(1 + reverse, _NUM_GRAPHS, topology.num_edges, _FEATURES)
  )
  fill = rng.normal(size=_FEATURES)

  def run(batch, nodes, edges, fill):
    connectivity = graphs.connect(
      batch, reverse=reverse, max_nodes=view.max_nodes
    )
    n = topology.num_nodes
    pools = {
      method: {
        name: connectivity.pool(nodes, method=method, which=which)[:_NUM_GRAPHS]
        for name, which in (('all', 'all'), ('last', 'last'), ('depth 1', 1))
      }
      for method in ('mean', 'max')
    }
    moments = [
      view.flat_nodes(m)
      for over_batch in (False, True)
      for m in connectivity.graph_moments(nodes, over_batch=over_batch)
    ]
    dense_edges = connectivity.to_dense_edges(edges, fill=fill)
    dense_nodes = connectivity.to_dense_nodes(nodes)
    mask = jnp.broadcast_to(
      connectivity.dense_mask(), (len(dense_nodes), dense_nodes.shape[1])
    )
    last_mask = jnp.broadcast_to(
      connectivity.last_mask(count=num_outputs), mask.shape
    )
    role = connectivity.node_ids('role')
    found = {
      'endpoint_sums': view.flat_edges(
        connectivity.endpoint_sums(nodes, 10 * nodes)
      ),
      'aggregate': jax.tree.map(view.flat_nodes, connectivity.aggregate(edges)),
      'in_degree': view.flat_nodes(jnp.asarray(connectivity.in_degree())),
      'dense_edges': dense_edges[:_NUM_GRAPHS, :n, :n],
      **pools,
      'moments': moments,
      'last_nodes': connectivity.last_nodes(nodes, count=num_outputs)[
        :_NUM_GRAPHS
      ],
      'dense_nodes': dense_nodes[:_NUM_GRAPHS, :n],
      'role': view.flat_nodes(jnp.asarray(role)[..., None])[..., 0],
      'edge_layers': view.flat_edges(connectivity.edge_layers()),
    }
    again = connectivity.from_dense_nodes(dense_nodes)
    return found, view.flat_nodes(again), mask, last_mask

  found, again, mask, last_mask = jax.jit(run)(
    batch, view.nodes(nodes), view.edges(edges), fill
  )
  expected = _expected(
    topology, reverse=reverse, nodes=nodes, edges=edges, fill=fill
  )
  assert set(found) == set(expected)
  for key, values in expected.items():
    jax.tree.map(
      lambda a, b, key=key: np.testing.assert_allclose(
        a, b, rtol=0, atol=1e-12, err_msg=key
      ),
      found[key],
      values,
    )
  np.testing.assert_array_equal(again, nodes)
  n = topology.num_nodes
  assert np.all(mask[:_NUM_GRAPHS, :n]) and not np.any(mask[:_NUM_GRAPHS, n:])
  assert not np.any(mask[_NUM_GRAPHS:])
  np.testing.assert_array_equal(
    np.nonzero(last_mask[0])[0], np.arange(n - num_outputs, n)
  )


@pytest.mark.parametrize('layout', ['per graph', 'concatenated'])
@pytest.mark.parametrize('name', ['conv', 'attention'])
def test_raw_features_are_placed_alike(x64, name, layout):
  # (weight, opposite weight, sum) of edges and of their reverses, whatever
  # number of channels a block has; biases; the weights for probes.
  graph = _graph(_spec(name))
  topology = graph.edges['weight'].topology

  def features(view):
    def run(batch):
      connectivity = graphs.connect(
        batch, reverse=True, max_nodes=view.max_nodes
      )
      groups = tuple(
        e @ placement
        for e, placement in zip(
          connectivity.edge_features(), connectivity.placements, strict=True
        )
      )
      weights = jax.tree.map(
        lambda x: x[:_NUM_GRAPHS], connectivity.network_weights()
      )
      return (
        view.flat_edges(groups),
        view.flat_nodes(connectivity.node_features()),
        weights,
      )

    return jax.jit(run)(view.batch(graph))

  found = features(_LAYOUTS[layout](topology))
  expected = features(_Blocks(topology))
  jax.tree.map(np.testing.assert_array_equal, found, expected)
  flat = graphs.flatten(graph).edges['weight']
  zero = jnp.zeros_like(flat)
  np.testing.assert_array_equal(
    found[0],
    jnp.stack(
      [
        jnp.concatenate([flat, zero, flat], axis=-1),
        jnp.concatenate([zero, flat, flat], axis=-1),
      ]
    ),
  )


def test_blocks_need_one_batch_axis():
  spec = specs.mlp((2, 3, 1))
  weights = jax.tree.map(lambda x: x[0], _graph(spec).globals['weights'])
  graph = graphs.encode(graphs.topology(spec), weights)
  with pytest.raises(
    ValueError, match=r'exactly one leading batch axis, got batch shape \(\)'
  ):
    graphs.connect(graph)


def test_a_graph_without_weights():
  graph = _graph(specs.mlp((2, 3, 1)))
  with pytest.raises(
    ValueError, match=r"must have the edge field 'weight', got \['length'\]"
  ):
    graphs.connect(graph._replace(edges={'length': jnp.zeros(3)}))
  with pytest.raises(ValueError, match='build it with graphs.encode'):
    graphs.connect(graph._replace(edges=None))


def test_a_graph_that_does_not_say_what_its_nodes_are():
  graph = graphs.flatten(_graph(specs.mlp((2, 3, 1))))
  nodes = {name: x for name, x in graph.nodes.items() if name != 'depth'}
  with pytest.raises(
    ValueError, match=r"must have the node fields \['depth'\]; build it with"
  ):
    graphs.connect(graph._replace(nodes=nodes))


def test_a_concatenated_batch_needs_max_nodes_to_be_dense():
  topology = graphs.topology(specs.mlp((2, 3, 1)))
  batch = _Concatenated(topology).batch(_graph(topology.spec))
  connectivity = graphs.connect(batch)
  with pytest.raises(ValueError, match='max_nodes must be given to make a'):
    connectivity.to_dense_nodes(jnp.zeros((16, 1)))
