# SPDX-License-Identifier: Apache-2.0
"""Models see a network, not the order in which its neurons are stored."""

import jax
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import networks
from ng_jax import specs
from ng_jax import testing
from tests import example_networks
from tests import repeats
from tests.models import readers

_SIREN = networks.Siren((2, 5, 7, 3))


def _predictor(name, spec, **options):
  """Compiles weights [B, ...] -> logits once, in float64."""
  model = readers.create(name, spec, **options)
  variables = readers.draw_variables(model, spec, dtype=np.float64)
  topology = graphs.topology(spec)

  @jax.jit
  def predict(weights):
    return model.apply(variables, graphs.encode(topology, weights))

  return predict


def _check_hidden(predict, spec):
  __tracebackhide__ = True
  weights = readers.draw_weights(spec, num=2, dtype=np.float64)
  logits = predict(weights)
  # Not the same for every network, which would be invariant too.
  assert np.min(np.std(logits, axis=0)) > 1e-4
  testing.assert_invariant(
    predict, spec, weights=weights, key=jax.random.key(1), atol=1e-10, rtol=0
  )
  return weights, logits


def _swap_inputs(spec, weights):
  return specs.permute(spec, weights, {'input': np.array([1, 0])})


@pytest.mark.parametrize(
  ('name', 'options'),
  [
    ('ng_gnn', {'reverse_edges': True}),
    ('ng_gnn', {'reverse_edges': False, 'num_probes': 3}),
    ('ng_t', {'reverse_edges': False, 'num_probes': 3}),
    ('probing', {}),
    ('probing', {'probe_source': 'generator'}),
    (
      'ng_t',
      {
        'reverse_edges': True,
        'pooling': 'mean',
        'pooled_nodes': 'all',
        'edge_orientation': 'paper',
        'activation_embedding': True,
      },
    ),
  ],
  ids=[
    'gnn-reverse',
    'gnn-probes',
    't-probes',
    'probing',
    'generated',
    't-reverse',
  ],
)
def test_hidden_neurons_have_no_order_and_inputs_do(x64, name, options):
  spec = _SIREN.spec
  predict = _predictor(name, spec, network=_SIREN, **options)
  weights, logits = _check_hidden(predict, spec)
  swapped = predict(_swap_inputs(spec, weights))
  assert np.max(np.abs(swapped - logits)) > 1e-3
  outputs = specs.permute(spec, weights, {'output': np.array([1, 2, 0])})
  assert np.max(np.abs(predict(outputs) - logits)) > 1e-3


@pytest.mark.parametrize('name', sorted(readers.GRAPH_MODELS))
def test_without_positions_inputs_have_no_order_either(x64, name):
  spec = _SIREN.spec
  predict = _predictor(name, spec, position_embedding=False)
  weights, logits = _check_hidden(predict, spec)
  swapped = predict(_swap_inputs(spec, weights))
  np.testing.assert_allclose(swapped, logits, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
  ('name', 'example'),
  repeats.cases(
    [
      ('ng_gnn', 'conv'),
      ('ng_gnn', 'partial_skip'),
      ('ng_t', 'attention'),
      ('ng_t', 'residual_norm'),
    ],
    repeats=lambda name, example: example in ('conv', 'residual_norm'),
  ),
)
def test_networks_that_are_no_chains(x64, name, example):
  made = example_networks.EXAMPLES[example]()
  predict = _predictor(name, made.spec)
  weights, logits = _check_hidden(predict, made.spec)
  # What changes the network's function is seen.
  for what, forbidden in made.forbidden.items():
    sets = {name: np.array(order) for name, order in forbidden.items()}
    changed = predict(specs.permute(made.spec, weights, sets))
    if what not in ('groups', 'heads'):
      assert np.max(np.abs(changed - logits)) > 1e-6, what
