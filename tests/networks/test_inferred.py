# SPDX-License-Identifier: Apache-2.0
"""Tests of the interface of inferred networks."""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import specs
from tests import linen_networks


def _batch_norm_net():
  module = linen_networks.ResNet()
  x = np.ones((2, 4, 3, 2), np.float32)
  variables = linen_networks.init(module, x, train=False)
  rng = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32),
    variables,
  )
  network = networks.from_module(
    module, variables, x, call_options={'train': False}, check=False
  )
  return module, variables, x, network


def test_linen_variables_there_and_back():
  module, variables, x, network = _batch_norm_net()
  weights = network.weights_of(variables)
  assert set(weights['BatchNorm_0']) == {'scale', 'bias', 'mean', 'var'}
  back = network.variables_of(weights)
  assert jax.tree.structure(back) == jax.tree.structure(variables)
  jax.tree.map(np.testing.assert_array_equal, back, variables)
  run = jax.jit(lambda v, w: (module.apply(v, x, train=False),
                                   network.apply(w, x)))  # fmt: skip
  expected, found = run(variables, weights)
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  with pytest.raises(ValueError, match='BatchNorm_0/mean is missing'):
    network.variables_of({'BatchNorm_0': {}})


def test_inputs_are_checked():
  _, variables, _, network = _batch_norm_net()
  weights = network.weights_of(variables)
  with pytest.raises(ValueError, match='x must have shape'):
    network.apply(weights, np.ones((2, 4, 4, 2)))


def test_nnx_modules_there_and_back():
  module = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
  network = networks.from_module(module, None, np.ones((1, 3), np.float32))
  weights = network.weights_of(module)
  changed = network.variables_of(jax.tree.map(lambda leaf: leaf + 1, weights))
  assert isinstance(changed, nnx.Linear)
  np.testing.assert_array_equal(changed.kernel[...], module.kernel[...] + 1)


def test_functions_of_any_tree():
  weights = [np.ones((3, 4)), (np.ones((4, 2)), np.ones(2))]

  def apply(weights, x):
    first, (second, bias) = weights
    return jnp.tanh(x @ first) @ second + bias

  network = networks.from_module(apply, weights, np.ones((1, 3), np.float32))
  tree = network.weights_of(weights)
  assert set(specs.leaf_arrays(tree)) == {'0', '1/0', '1/1'}
  back = network.variables_of(tree)
  assert jax.tree.structure(back) == jax.tree.structure(weights)


def test_a_statistic_may_be_called_as_a_parameter():
  from flax import linen as nn

  class Named(nn.Module):
    @nn.compact
    def __call__(self, x):
      x = nn.Dense(4)(x)
      scale = self.param('scale', nn.initializers.ones, (4,))
      statistic = self.scope.variable('batch_stats', 'scale', jnp.ones, (4,))
      return nn.Dense(2)(jnp.tanh(x / statistic.value * scale))

  variables = {
    'params': {
      'Dense_0': {'kernel': np.ones((3, 4)), 'bias': np.ones(4)},
      'Dense_1': {'kernel': np.ones((4, 2)), 'bias': np.ones(2)},
      'scale': np.ones(4),
    },
    'batch_stats': {'scale': np.ones(4)},
  }
  spec = specs.infer(Named(), variables, np.ones((1, 3)), check=False)
  kinds = {leaf.path: leaf.kind for leaf in spec.leaves}
  assert kinds['scale'] == 'edge'
  assert kinds['batch_stats/scale'] == 'buffer'


@pytest.mark.slow
def test_probe_features_run_on_a_users_network():
  module = linen_networks.Mlp()
  variables = linen_networks.init(module, np.ones((1, 4), np.float32))
  network = networks.from_module(
    module, variables, np.ones((1, 4), np.float32), check=False
  )
  rng = np.random.default_rng(0)
  weights = jax.tree.map(
    lambda leaf: rng.normal(size=(2, *leaf.shape)).astype(np.float32),
    network.weights_of(variables),
  )
  graph = graphs.encode(graphs.topology(network.spec), weights)
  model = models.create(
    'ng_gnn',
    spec=network.spec,
    hidden_size=8,
    num_layers=1,
    num_probes=3,
    network=network,
    num_outputs=2,
  )
  run = jax.jit(
    lambda key: model.init_with_output({'params': key}, graph, train=False)[0]
  )
  output = run(jax.random.key(0))
  assert np.all(np.isfinite(output))
