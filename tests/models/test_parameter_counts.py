# SPDX-License-Identifier: Apache-2.0
"""Numbers of trained parameters, as the paper's models have them."""

import math

import jax
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import specs

_SIREN = networks.Siren((2, 32, 32, 1))


def _shapes(name, **options):
  model = models.create(name, spec=_SIREN.spec, network=_SIREN, **options)

  def init(key, weight_key):
    weights = jax.vmap(_SIREN.init)(jax.random.split(weight_key, 1))
    graph = graphs.encode(graphs.topology(_SIREN.spec), weights)
    return model.init({'params': key}, graph)

  key = jax.eval_shape(jax.random.key, 0)
  return jax.eval_shape(init, key, key)


@pytest.mark.parametrize(
  ('name', 'num_probes', 'count'),
  [
    ('ng_t', 0, 376586),
    ('ng_t', 64, 393866),
    ('ng_gnn', 0, 92010),
    ('ng_gnn', 64, 100714),
  ],
)
def test_classifiers_of_the_paper(name, num_probes, count):
  # Equal to the official models', whose Fourier matrices are buffers.
  shapes = _shapes(name, num_probes=num_probes)
  assert sum(math.prod(p.shape) for p in jax.tree.leaves(shapes['params'])) == (
    count
  )
  names = {path.split('/')[-1] for path in specs.leaf_arrays(shapes['params'])}
  assert not names & {'frequencies', 'degree_constant'}
  constants = specs.leaf_arrays(shapes['constants'])
  assert constants['embedding/edge_projection/frequencies'].shape[0] == 128
  assert ('conv_0/degree_constant' in constants) == (name == 'ng_gnn')


_SMALL_ZOO = networks.Cnn((1, 16, 16, 16), (3, 3, 3))
_WILD_PARK = networks.Cnn((3, 32, 32, 32, 32, 32), (7, 7, 7, 7, 7))


@pytest.mark.parametrize(
  ('name', 'network', 'options', 'count'),
  [
    (
      'ng_t',
      _SMALL_ZOO,
      {
        'node_size': 128,
        'edge_size': 64,
        'attention_size': 256,
        'node_hidden_size': 256,
        'edge_hidden_size': 128,
        'readout_size': 256,
      },
      1807873,
    ),
    # Without the 65,792 of a second linear map, which the official model has
    # and does not use.
    (
      'ng_gnn',
      _SMALL_ZOO,
      {'hidden_size': 256, 'linear_as_conv': False},
      5587969 - 65792,
    ),
    (
      'ng_t',
      _WILD_PARK,
      {
        'node_size': 32,
        'edge_size': 16,
        'attention_size': 32,
        'node_hidden_size': 64,
        'edge_hidden_size': 64,
        'readout_size': 64,
        'num_layers': 3,
        'num_heads': 4,
      },
      92705,
    ),
    ('ng_gnn', _WILD_PARK, {'hidden_size': 64}, 369025),
  ],
)
def test_predictors_of_cnns(name, network, options, count):
  model = models.create(
    name,
    spec=network.spec,
    num_outputs=1,
    reverse_edges=False,
    num_readout_layers=3,
    activation_embedding=True,
    activation_vocabulary=specs.ACTIVATIONS[:7],
    **options,
  )

  def init(key):
    weights = jax.tree.map(lambda x: x[None], network.init(key))
    graph = graphs.encode(graphs.topology(network.spec), weights)
    return model.init({'params': key}, graph)['params']

  shapes = jax.eval_shape(init, jax.eval_shape(jax.random.key, 0))
  assert sum(math.prod(p.shape) for p in jax.tree.leaves(shapes)) == count
