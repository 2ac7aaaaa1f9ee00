# SPDX-License-Identifier: Apache-2.0
"""Tests of the networks that optimizers are tried on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import meta
from ng_jax import networks
from ng_jax import specs
from ng_jax import testing
from ng_jax.meta import linen_optimizees
from ng_jax.meta import optimizees
from tests import repeats

# Section 4.1 and 4.5 of the experiments: numbers of weights.
_NUM_WEIGHTS = {
  'fashion_mnist_cnn': 14_378,
  'cifar10_cnn': 56_970,
  'cifar10_cnn_width_8': 3_882,
  'cifar10_cnn_width_16': 14_666,
  'cifar10_cnn_width_64': 224_522,
  'cifar10_cnn_width_128': 891_402,
  'cifar10_cnn_depth_1': 1_226,
  'cifar10_cnn_depth_2': 20_042,
  'cifar10_cnn_depth_4': 131_466,
  'cifar10_cnn_depth_5': 279_050,
  'fashion_mnist_mlp': 15_910,
  'fashion_mnist_mlp_128_128': 118_282,
  'cifar10_mlp': 61_670,
  'cifar10_mlp_128_128': 411_146,
}

_TINY = {
  'cnn': (optimizees.small_cnn(3, (4, 6), num_classes=5), (7, 7, 3)),
  'mlp': (optimizees.Mlp((12, 6, 5)), (2, 2, 3)),
  'group norm': (
    optimizees.LinenNetwork(
      linen_optimizees.NormalisedCnn((8, 16), 'group', num_classes=5),
      (7, 7, 3),
    ),
    (7, 7, 3),
  ),
  'layer norm': (
    optimizees.LinenNetwork(
      linen_optimizees.NormalisedCnn((4, 6), 'layer', num_classes=5),
      (7, 7, 3),
    ),
    (7, 7, 3),
  ),
  'vit': (
    optimizees.LinenNetwork(
      linen_optimizees.VisionTransformer(
        patch_size=2, hidden_size=8, num_heads=2, mlp_size=6, num_classes=5
      ),
      (4, 4, 3),
    ),
    (4, 4, 3),
  ),
}


@pytest.mark.parametrize('name', _NUM_WEIGHTS)
def test_numbers_of_weights(name):
  task = meta.create_task(name)
  assert optimizees.count_weights(task.network) == _NUM_WEIGHTS[name]


@pytest.mark.parametrize('name', repeats.cases(_TINY, repeats=('group norm',)))
def test_the_spec_describes_the_weights(name, x64):
  network, shape = _TINY[name]
  spec = network.spec
  drawn = jax.eval_shape(network.init, jax.random.key(0))
  found = {
    '/'.join(str(part.key) for part in path): leaf.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(drawn)
  }
  assert found == {leaf.path: spec.leaf_shape(leaf) for leaf in spec.leaves}
  weights = testing.draw_weights(jax.random.key(1), spec, dtype=jnp.float64)
  x = np.random.default_rng(0).normal(size=(3, *shape))
  apply = jax.jit(network.apply)
  before = apply(weights, x)
  assert before.shape == (3, 5)
  permutation = specs.draw_permutation(jax.random.key(2), spec)
  after = apply(specs.permute(spec, weights, permutation), x)
  np.testing.assert_allclose(after, before, atol=1e-10)
  assert np.ptp(before, axis=0).max() > 1e-3


def test_the_cnn_is_the_one_that_networks_run(x64):
  network, shape = _TINY['cnn']
  fields = {
    field.name: getattr(network, field.name)
    for field in dataclasses.fields(networks.Cnn)
  }
  plain = networks.Cnn(**fields)
  assert plain.spec == network.spec
  weights = network.init(jax.random.key(0))
  x = np.random.default_rng(0).normal(size=(3, *shape))
  np.testing.assert_allclose(
    network.apply(weights, x), plain.apply(weights, x), atol=1e-12
  )
  assert network.apply(weights, x).shape == (3, 5)


def test_the_first_convolution_halves_without_padding():
  network = meta.create_task('fashion_mnist_cnn').network
  weights = jax.eval_shape(network.init, jax.random.key(0))
  x = jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32)
  maps = jax.eval_shape(network.maps, weights, x)
  assert [m.shape[1:] for m in maps] == [
    (28, 28, 1),
    (13, 13, 16),
    (13, 13, 32),
    (13, 13, 32),
  ]


def test_weights_and_biases_are_drawn_as_pytorch_does():
  for name in ('cnn', 'group norm'):
    network, _ = _TINY[name]
    weights = jax.jit(network.init)(jax.random.key(0))
    for layer, fan_in in (('conv_1', 27), ('linear', None)):
      kernel, bias = weights[layer]['kernel'], weights[layer]['bias']
      bound = (fan_in or kernel.shape[0]) ** -0.5
      for leaf in (kernel, bias):
        assert 0.5 * bound < np.max(np.abs(leaf)) <= bound


def test_methods_of_the_linen_networks_agree(x64):
  network, shape = _TINY['group norm']
  lax = dataclasses.replace(network, module=network.module.clone(method='lax'))
  weights = testing.draw_weights(
    jax.random.key(1), network.spec, dtype=jnp.float64
  )
  x = np.random.default_rng(0).normal(size=(3, *shape))
  np.testing.assert_allclose(
    network.apply(weights, x), lax.apply(weights, x), atol=1e-12
  )


def test_errors_name_the_rule():
  image = jnp.zeros((1, 6, 6, 1))
  module = linen_optimizees.NormalisedCnn((8,), 'batch')
  with pytest.raises(ValueError, match="unknown norm 'batch'"):
    jax.eval_shape(module.init, jax.random.key(0), image)
  module = linen_optimizees.VisionTransformer()
  with pytest.raises(ValueError, match='patch_size must divide the image, 6'):
    jax.eval_shape(module.init, jax.random.key(0), image)
