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
