# SPDX-License-Identifier: Apache-2.0
"""Checks each jraph function that ng_jax uses, one by one.

jraph has had no release since 2022, so a change in JAX may break it; then one
test here fails with the name of the function, before many others do.
"""

import jax
import jax.numpy as jnp
import jraph
import numpy as np
import pytest


def _graph(num_nodes: int, num_edges: int, offset: float) -> jraph.GraphsTuple:
  """Returns one numpy graph with named node and edge features."""
  nodes = np.arange(2 * num_nodes, dtype=np.float32).reshape(-1, 2) + offset
  edges = np.arange(num_edges, dtype=np.float32)[:, None] - offset
  return jraph.GraphsTuple(
    nodes={'features': nodes, 'layer': np.arange(num_nodes, dtype=np.int32)},
    edges={'features': edges},
    senders=np.arange(num_edges, dtype=np.int32) % num_nodes,
    receivers=(np.arange(num_edges, dtype=np.int32) + 1) % num_nodes,
    n_node=np.array([num_nodes], np.int32),
    n_edge=np.array([num_edges], np.int32),
    globals=None,
  )


def _padded() -> jraph.GraphsTuple:
  """Returns two graphs, of 3 and 2 nodes, padded to 8 nodes, 9 edges."""
  batch = jraph.batch_np([_graph(3, 4, 0.0), _graph(2, 1, 10.0)])
  return jraph.pad_with_graphs(batch, n_node=8, n_edge=9, n_graph=4)


def test_graphs_tuple_is_a_pytree_with_named_fields():
  graph = _graph(3, 4, 0.0)
  doubled = jax.jit(lambda graph: jax.tree.map(lambda x: 2 * x, graph))(graph)
  assert isinstance(doubled, jraph.GraphsTuple)
  assert set(doubled.nodes) == {'features', 'layer'}
  assert doubled.globals is None
  np.testing.assert_array_equal(
    doubled.nodes['features'], 2 * graph.nodes['features']
  )
  replaced = graph._replace(edges={'state': graph.edges['features']})
  assert set(replaced.edges) == {'state'}


def test_batch_np_offsets_the_edges():
  batch = jraph.batch_np([_graph(3, 4, 0.0), _graph(2, 1, 10.0)])
  assert isinstance(batch.senders, np.ndarray)
  np.testing.assert_array_equal(batch.n_node, [3, 2])
  np.testing.assert_array_equal(batch.n_edge, [4, 1])
  np.testing.assert_array_equal(batch.senders, [0, 1, 2, 0, 3])
  np.testing.assert_array_equal(batch.receivers, [1, 2, 0, 1, 4])
  assert batch.nodes['features'].shape == (5, 2)


def test_pad_with_graphs_reaches_the_sizes_asked_for():
  padded = _padded()
  assert padded.nodes['features'].shape == (8, 2)
  assert padded.edges['features'].shape == (9, 1)
  np.testing.assert_array_equal(padded.n_node, [3, 2, 3, 0])
  np.testing.assert_array_equal(padded.n_edge, [4, 1, 4, 0])
  # Padding edges run between padding nodes.
  assert (np.asarray(padded.senders[5:]) >= 5).all()
  assert (np.asarray(padded.receivers[5:]) >= 5).all()


def test_masks_tell_padding_under_jit():
  padded = _padded()
  nodes = jax.jit(jraph.get_node_padding_mask)(padded)
  edges = jax.jit(jraph.get_edge_padding_mask)(padded)
  graphs = jax.jit(jraph.get_graph_padding_mask)(padded)
  np.testing.assert_array_equal(nodes, [True] * 5 + [False] * 3)
  np.testing.assert_array_equal(edges, [True] * 5 + [False] * 4)
  np.testing.assert_array_equal(graphs, [True, True, False, False])


@pytest.mark.parametrize(
  'name, expected',
  [
    ('segment_sum', [[4.0], [0.0], [2.0]]),
    ('segment_mean', [[2.0], [0.0], [2.0]]),
    ('segment_max', [[3.0], [-np.inf], [2.0]]),
  ],
)
def test_segment_operations(name, expected):
  # Segment 1 is empty: a sum and a mean of 0, a maximum of minus infinity.
  segment = jax.jit(getattr(jraph, name), static_argnums=2)
  data = jnp.array([[1.0], [3.0], [2.0]])
  result = segment(data, jnp.array([0, 0, 2]), 3)
  np.testing.assert_allclose(result, np.array(expected, np.float32))


@pytest.mark.parametrize('name', ['segment_sum', 'segment_mean'])
def test_segment_operations_have_gradients(name):
  segment_ids = jnp.array([0, 0, 2])
  gradient = jax.grad(
    lambda data: jnp.sum(getattr(jraph, name)(data, segment_ids, 3) ** 2)
  )(jnp.array([1.0, 3.0, 2.0]))
  expected = {'segment_sum': [8.0, 8.0, 4.0], 'segment_mean': [2.0, 2.0, 4.0]}
  np.testing.assert_allclose(gradient, expected[name])
