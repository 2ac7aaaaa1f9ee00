# SPDX-License-Identifier: Apache-2.0
"""Tests of multi-layer perceptrons."""

import jax
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import specs
from ng_jax.networks import mlp


def test_activations_follow_the_formula(x64):
  network = networks.Mlp((2, 4, 3, 2), activation='tanh')
  rng = np.random.default_rng(0)
  weights = {
    f'layer_{i}': {
      'kernel': rng.normal(size=(a, b)),
      'bias': rng.normal(size=b),
    }
    for i, (a, b) in enumerate(((2, 4), (4, 3), (3, 2)), 1)
  }
  x = rng.normal(size=(5, 2))
  values = jax.jit(network.activations)(weights, x)
  expected = [x]
  for i in (1, 2, 3):
    layer = weights[f'layer_{i}']
    h = expected[-1] @ layer['kernel'] + layer['bias']
    expected.append(np.tanh(h) if i < 3 else h)
  for value, wanted in zip(values, expected, strict=True):
    np.testing.assert_allclose(value, wanted, atol=1e-14)
  np.testing.assert_allclose(
    network.apply(weights, x), expected[-1], atol=1e-14
  )


def test_a_batch_of_weights_and_one_of_points():
  network = networks.Mlp((2, 4, 1))
  init = jax.jit(jax.vmap(network.init))
  weights = init(jax.random.split(jax.random.key(0), 3))
  assert specs.check_weights(network.spec, weights) == (3,)
  x = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
  shared = network.apply(weights, x[0])
  own = network.apply(weights, x)
  assert shared.shape == own.shape == (3, 5, 1)
  np.testing.assert_allclose(shared[0], own[0], rtol=1e-6)
  one = network.apply(jax.tree.map(lambda w: w[2], weights), x[2])
  np.testing.assert_allclose(own[2], one, rtol=1e-5, atol=1e-6)


def test_initial_weights_fill_the_range_of_pytorch():
  weights = networks.Mlp((16, 100, 4)).init(jax.random.key(0))
  for name, bound in (('layer_1', 0.25), ('layer_2', 0.1)):
    for values in weights[name].values():
      assert 0.7 * bound < np.max(np.abs(values)) <= bound


@pytest.mark.parametrize('name', sorted(mlp.ACTIVATION_FUNCTIONS))
def test_every_activation_has_a_name_in_specs(name):
  assert name in specs.ACTIVATIONS
  assert (
    networks.Mlp((2, 3, 1), activation=name)
    .spec.neuron_set('hidden_1')
    .activation
    == name
  )


def test_an_unknown_activation_lists_the_known_ones():
  with pytest.raises(ValueError, match="unknown activation 'swish'; .*'elu'"):
    networks.Mlp((2, 3, 1), activation='swish')
