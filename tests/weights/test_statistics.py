# SPDX-License-Identifier: Apache-2.0
"""Tests statistics of weights against sums written out."""

import numpy as np
import pytest

from ng_jax import specs
from ng_jax.weights import statistics


def _weights(num_networks, sizes=(2, 4, 3, 2)):
  spec = specs.mlp(sizes)
  generator = np.random.default_rng(0)
  arrays = {
    leaf.path: generator.normal(size=(num_networks, *spec.leaf_shape(leaf)))
    for leaf in spec.leaves
  }
  return spec, specs.from_leaf_arrays(arrays)


def test_pools_all_entries_of_a_layer():
  spec, weights = _weights(5)
  found = statistics.from_weights(spec, weights)
  assert len(found.weight_mean) == len(found.bias_std) == 3
  for i in range(3):
    kernel = np.asarray(weights[f'layer_{i + 1}']['kernel'], np.float64)
    bias = np.asarray(weights[f'layer_{i + 1}']['bias'], np.float64)
    variance = ((kernel - kernel.mean()) ** 2).sum() / (kernel.size - 1)
    assert found.weight_mean[i] == pytest.approx(kernel.mean())
    assert found.weight_std[i] == pytest.approx(variance**0.5)
    assert found.bias_mean[i] == pytest.approx(bias.mean())
    assert found.bias_std[i] == pytest.approx(np.std(bias, ddof=1))


def test_is_hashable_and_equal_by_value():
  spec, weights = _weights(5)
  one = statistics.from_weights(spec, weights)
  assert hash(one) == hash(statistics.from_weights(spec, weights))
  assert all(isinstance(x, float) for x in one.weight_mean)


def test_published_sets_have_three_layers():
  published = statistics.published()
  assert set(published) == {
    'mnist',
    'mnist_editing',
    'fashion_mnist',
    'nfn_mnist',
    'nfn_cifar10',
  }
  assert published['mnist'].weight_std == (0.0628113, 0.01826815, 0.11791175)
  assert all(len(s.bias_std) == 3 for s in published.values())


def test_refuses_weights_of_another_network():
  spec, _ = _weights(2)
  _, others = _weights(2, (2, 5, 3, 2))
  with pytest.raises(ValueError, match='weights do not fit the network spec'):
    statistics.from_weights(spec, others)


def test_refuses_layers_that_do_not_vary():
  spec, weights = _weights(3, (2, 4, 4, 1))
  weights['layer_1']['bias'][:] = 0
  with pytest.raises(
    ValueError, match=r'biases of layer 1 must vary .* got 12 values, all 0'
  ):
    statistics.from_weights(spec, weights)


def test_refuses_unequal_lengths():
  with pytest.raises(ValueError, match='got 2 means and 1 standard'):
    statistics.Statistics((0.0, 0.0), (1.0,), (0.0,), (1.0,))


def test_skips_have_no_row_and_missing_biases_are_left_alone():
  spec = specs.mlp((2, 3, 1))
  spec = specs.NetworkSpec(
    spec.neuron_sets,
    spec.blocks,
    tuple(leaf for leaf in spec.leaves if leaf.path != 'layer_1/bias'),
  )
  generator = np.random.default_rng(0)
  weights = {
    'layer_1': {'kernel': generator.normal(size=(4, 2, 3))},
    'layer_2': {
      'kernel': generator.normal(size=(4, 3, 1)),
      'bias': generator.normal(size=(4, 1)),
    },
  }
  found = statistics.from_weights(spec, weights)
  assert found.bias_mean[0] == 0.0 and found.bias_std[0] == 1.0


def test_layers_of_different_networks_are_pooled_by_number():
  rng = np.random.default_rng(0)
  made = [specs.mlp((2, 3, 1)), specs.mlp((2, 4, 5, 1))]
  pairs = [
    (
      spec,
      specs.from_leaf_arrays(
        {
          leaf.path: rng.normal(i, 1 + i, (3, *spec.leaf_shape(leaf)))
          for leaf in spec.leaves
        }
      ),
    )
    for i, spec in enumerate(made)
  ]
  found = statistics.from_networks(pairs)
  assert len(found.weight_mean) == len(found.bias_mean) == 3
  (_, short), (_, deep) = pairs
  second = np.concatenate(
    [w['layer_2']['kernel'].reshape(-1) for w in (short, deep)]
  )
  np.testing.assert_allclose(found.weight_mean[1], second.mean())
  np.testing.assert_allclose(found.weight_std[1], second.std(ddof=1))
  third = deep['layer_3']['bias']
  np.testing.assert_allclose(found.bias_mean[2], third.mean())
  assert statistics.from_networks(pairs[1:]) == statistics.from_weights(
    made[1], deep
  )


def test_no_networks_have_no_statistics():
  with pytest.raises(ValueError, match='at least one'):
    statistics.from_networks([])
