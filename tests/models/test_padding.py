# SPDX-License-Identifier: Apache-2.0
"""Predictions and gradients do not depend on layout, padding or neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import networks
from tests import padded_batches
from tests import repeats
from tests.models import readers

_SIREN = networks.Siren((2, 4, 3, 2))
_NUM = 2
_TOPOLOGY = graphs.topology(_SIREN.spec)


def _batch(flat, layout, rubbish):
  if layout == 'per graph':
    return padded_batches.per_graph(
      flat, num_graphs=3, max_nodes=13, max_edges=31, rubbish=rubbish
    )
  return padded_batches.concatenated(
    flat, num_graphs=4, num_nodes=25, num_edges=60, rubbish=rubbish
  )


@pytest.mark.allow_nans
@pytest.mark.parametrize(
  ('name', 'options', 'layouts'),
  repeats.cases(
    [
      (
        'ng_gnn',
        {'reverse_edges': True, 'num_probes': 3},
        ('concatenated', 'per graph'),
      ),
      (
        'ng_gnn',
        {
          'reverse_edges': False,
          'norm_mode': 'batch',
          'pooling': 'mean',
          'pooled_nodes': 'all',
          'activation_embedding': True,
        },
        ('per graph',),
      ),
      (
        'ng_t',
        {'num_probes': 3, 'max_nodes': 12},
        ('concatenated', 'per graph'),
      ),
      (
        'ng_t',
        {
          'reverse_edges': True,
          'pooling': 'max_edge',
          'pooled_nodes': 'last',
          'max_nodes': 11,
        },
        ('concatenated',),
      ),
      (
        'ng_t',
        {'pooling': 'cls_token', 'max_nodes': 11},
        ('per graph',),
      ),
      ('probing', {}, ('concatenated', 'per graph')),
    ],
    repeats=lambda name, options, layouts: len(layouts) == 1 or name == 'ng_t',
  ),
  ids=['gnn', 'gnn-batch-mean', 't', 't-edges', 't-token', 'probing'],
)
def test_padding_is_not_seen(x64, name, options, layouts):
  spec = _SIREN.spec
  model = readers.create(name, spec, network=_SIREN, **options)
  variables = readers.draw_variables(model, spec, dtype=np.float64)
  weights = readers.draw_weights(spec, num=_NUM, dtype=np.float64)
  graph = jax.device_get(graphs.encode(_TOPOLOGY, weights))

  def loss(params, graph):
    logits = model.apply({**variables, 'params': params}, graph)[:_NUM]
    return jnp.sum(logits**2), logits

  gradient = jax.jit(jax.grad(loss, has_aux=True))
  expected = gradient(variables['params'], graph)
  flat = jax.device_get(graphs.flatten(graph))
  for layout in layouts:
    for rubbish in padded_batches.RUBBISH.values():
      batch = _batch(flat, layout, rubbish)
      found = gradient(variables['params'], batch)
      jax.tree.map(
        lambda a, b, layout=layout: np.testing.assert_allclose(
          a, b, rtol=1e-9, atol=1e-9, err_msg=layout
        ),
        found,
        expected,
      )
