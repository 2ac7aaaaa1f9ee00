# SPDX-License-Identifier: Apache-2.0
"""Mixed batches: the same predictions as one network alone, whatever pads."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from tests import repeats

_SIZES = ((2, 5, 4, 3), (2, 9, 3))
_TINY = {
  'ng_gnn': {'hidden_size': 6, 'num_layers': 2},
  'ng_t': {
    'node_size': 6,
    'edge_size': 4,
    'attention_size': 8,
    'num_heads': 2,
    'node_hidden_size': 6,
    'edge_hidden_size': 6,
    'readout_size': 6,
    'num_layers': 2,
    'max_nodes': 16,
  },
}


def _networks() -> list[tuple[graphs.Topology, Any]]:
  families = [networks.Mlp(sizes) for sizes in _SIZES]
  return [
    (graphs.topology(family.spec), family.init(jax.random.key(i)))
    for i, family in enumerate(families)
  ]


def _spoil(graph: Any) -> Any:
  """Puts huge values and NaNs into everything that is padding."""
  per_graph = graph.n_node.ndim == 2
  if per_graph:
    nodes = np.arange(graph.nodes['bias'].shape[1]) >= graph.n_node
    edges = np.arange(graph.senders.shape[1]) >= graph.n_edge
  else:
    num_real = int(np.nonzero(graph.n_node)[0][-1])
    nodes = np.arange(len(graph.nodes['bias'])) >= graph.n_node[:num_real].sum()
    edges = np.arange(len(graph.senders)) >= graph.n_edge[:num_real].sum()
  bias, weight = graph.nodes['bias'].copy(), graph.edges['weight'].copy()
  bias[nodes] = np.nan
  weight[edges] = 1e30
  return graph._replace(
    nodes={**graph.nodes, 'bias': bias}, edges={**graph.edges, 'weight': weight}
  )


@pytest.mark.allow_nans
@pytest.mark.parametrize(
  ('name', 'layout'),
  repeats.cases(
    itertools.product(sorted(_TINY), ('concatenate', 'stack')),
    quick=[('ng_gnn', 'concatenate')],
  ),
)
def test_mixed_batch_equals_each_network_alone(name: str, layout: str) -> None:
  pairs = _networks()
  if layout == 'concatenate':
    batch = graphs.concatenate(pairs, graphs.Budget(4, 40, 120))
  else:
    batch = graphs.stack(pairs, max_nodes=16, max_edges=60, num_graphs=3)
  model = models.create(
    name,
    num_inputs=2,
    num_hidden_layers=2,
    num_output_nodes=3,
    num_outputs=2,
    fourier_size=3,
    **_TINY[name],
  )
  variables = jax.jit(model.init)({'params': jax.random.key(0)}, batch)

  def loss(params: Any, graph: Any, num: int) -> tuple[jax.Array, jax.Array]:
    out = model.apply({**variables, 'params': params}, graph)[:num]
    return jnp.sum(out**2), out

  gradient = jax.jit(jax.grad(loss, has_aux=True), static_argnames='num')
  alone = [
    gradient(
      variables['params'],
      graphs.encode(topology, jax.tree.map(lambda x: x[None], weights)),
      num=1,
    )
    for topology, weights in pairs
  ]
  wanted = jnp.concatenate([out for _, out in alone])
  wanted_gradient = jax.tree.map(lambda *g: sum(g), *[g for g, _ in alone])
  for graph in (batch, _spoil(batch)):
    got_gradient, got = gradient(variables['params'], graph, num=len(pairs))
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    atol = 1e-5 * max(
      jnp.max(jnp.abs(g)) for g in jax.tree.leaves(wanted_gradient)
    )
    jax.tree.map(
      lambda a, b, atol=atol: np.testing.assert_allclose(
        a, b, rtol=1e-4, atol=atol
      ),
      got_gradient,
      wanted_gradient,
    )


def test_batch_of_one_spec_equals_its_flat_view() -> None:
  network = networks.Siren((2, 4, 3, 1))
  topology = graphs.topology(network.spec)
  weights = jax.vmap(network.init)(jax.random.split(jax.random.key(0), 3))
  flat = graphs.flatten(graphs.encode(topology, weights))
  one = [jax.tree.map(lambda x, i=i: x[i], weights) for i in range(3)]
  batch = graphs.stack(
    [(topology, w) for w in one],
    max_nodes=topology.num_nodes,
    max_edges=topology.num_edges,
  )
  assert jax.tree.structure(batch) == jax.tree.structure(flat)
  jax.tree.map(np.testing.assert_array_equal, batch, flat)


def _topologies() -> list[graphs.Topology]:
  sizes = ((2, 5, 7, 3), (2, 4, 3), (2, 6, 6, 6, 3), (2, 9, 3, 3))
  return [graphs.topology(networks.Mlp(s).spec) for s in sizes]


def test_budget_holds_a_mean_batch_and_the_largest_graph() -> None:
  topologies = _topologies()
  budget = graphs.choose_budget(topologies, 4, multiple=8)
  mean = np.mean([t.num_edges for t in topologies])
  assert budget.num_graphs == 5
  assert budget.num_edges >= 1.1 * 4 * mean
  assert budget.num_edges % 8 == 0
  assert graphs.choose_budget(topologies, 1).fits([topologies[2]])


def test_pack_keeps_the_order_and_carries_what_does_not_fit() -> None:
  topologies = _topologies() * 3
  budget = graphs.Budget(5, 50, 200)
  batches = list(graphs.pack(topologies, budget))
  assert [i for batch in batches for i in batch] == list(range(12))
  assert all(budget.fits([topologies[i] for i in batch]) for batch in batches)
  # Each batch ends because the next graph did not fit.
  for batch, following in zip(batches[:-1], batches[1:], strict=True):
    assert not budget.fits([topologies[i] for i in [*batch, following[0]]])


def test_buckets_waste_least() -> None:
  sizes = [10, 10, 11, 30, 31, 90]
  assert graphs.choose_buckets(sizes, 3) == (11, 31, 90)
  assert graphs.choose_buckets(sizes, 1) == (90,)
  assert graphs.choose_buckets(sizes, 9) == (10, 11, 30, 31, 90)


def test_errors_name_what_is_over() -> None:
  pairs = _networks()
  with pytest.raises(ValueError, match=r'over budget: num_nodes 29 > 20'):
    graphs.concatenate(pairs, graphs.Budget(6, 20, 300))
  with pytest.raises(ValueError, match='of 1 graphs is over budget'):
    list(graphs.pack([pairs[0][0]], graphs.Budget(6, 9, 300)))
  with pytest.raises(ValueError, match='must fit, got'):
    graphs.stack(pairs, max_nodes=10, max_edges=500)
  wide = graphs.topology(networks.Mlp((2, 3, 3)).spec, kernel=(3, 3))
  mixed = [pairs[0], (wide, networks.Mlp((2, 3, 3)).init(jax.random.key(0)))]
  with pytest.raises(ValueError, match='same numbers of'):
    graphs.concatenate(mixed, graphs.Budget(4, 40, 120))
