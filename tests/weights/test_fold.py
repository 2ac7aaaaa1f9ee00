# SPDX-License-Identifier: Apache-2.0
"""Tests of folding batch norms: the network stays, the buffers say nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import specs
from ng_jax import weights as weights_lib
from tests import example_networks


def _conv():
  example = example_networks.conv()
  rng = np.random.default_rng(0)
  weights = specs.from_leaf_arrays(
    {
      leaf.path: rng.uniform(0.2, 1.5, example.spec.leaf_shape(leaf))
      for leaf in example.spec.leaves
    }
  )
  return example, weights


def test_the_network_is_the_same(x64):
  example, weights = _conv()
  folded = weights_lib.fold_batch_norm(example.spec, weights)
  images = np.random.default_rng(1).normal(size=(3, *example.input_shape))
  apply = jax.jit(example.apply)
  expected = apply(weights, images)
  np.testing.assert_allclose(apply(folded, images), expected, rtol=1e-10)
  norm, before = folded['norm'], weights['norm']
  gain = before['scale'] / np.sqrt(before['var'] + 1e-5)
  np.testing.assert_allclose(norm['scale'], gain, rtol=1e-12)
  np.testing.assert_allclose(
    norm['bias'], before['bias'] - gain * before['mean'], rtol=1e-12
  )
  # The graph, which has no buffers, now says all: they are constants.
  np.testing.assert_array_equal(norm['mean'], np.zeros(4))
  np.testing.assert_array_equal(norm['var'], np.full(4, 1 - 1e-5))
  # Folding twice changes nothing.
  again = weights_lib.fold_batch_norm(example.spec, folded)
  np.testing.assert_allclose(again['norm']['scale'], gain, rtol=1e-10)


def test_statistics_reach_the_graph_only_when_folded():
  example, weights = _conv()
  topology = graphs.topology(example.spec)
  other = {**weights, 'norm': {**weights['norm'], 'var': np.full(4, 9.0)}}

  def scales(weights):
    graph = graphs.encode(topology, weights)
    return np.asarray(graph.edges['weight'].arrays[1])

  np.testing.assert_array_equal(scales(weights), scales(other))
  folded = [
    scales(weights_lib.fold_batch_norm(example.spec, w))
    for w in (weights, other)
  ]
  assert folded[0].shape == (4, 1)
  assert np.min(np.abs(folded[0] - folded[1])) > 1e-3


def test_batches_and_jit():
  example, weights = _conv()
  batch = specs.from_leaf_arrays(
    {
      path: jnp.stack([array, 2 * array])
      for path, array in specs.leaf_arrays(weights).items()
    }
  )
  fold = jax.jit(
    lambda w: weights_lib.fold_batch_norm(example.spec, w, epsilon=0.1)
  )
  found = fold(batch)
  alone = weights_lib.fold_batch_norm(example.spec, weights, epsilon=0.1)
  for path, array in specs.leaf_arrays(alone).items():
    np.testing.assert_allclose(
      specs.leaf_arrays(found)[path][0], array, rtol=1e-5, atol=1e-6
    )


def test_layer_norms_are_left_alone():
  example = example_networks.residual_norm()
  weights = specs.from_leaf_arrays(
    {
      leaf.path: np.ones(example.spec.leaf_shape(leaf), np.float32)
      for leaf in example.spec.leaves
    }
  )
  folded = weights_lib.fold_batch_norm(example.spec, weights)
  for path, array in specs.leaf_arrays(folded).items():
    np.testing.assert_array_equal(array, specs.leaf_arrays(weights)[path])


@pytest.mark.parametrize('missing', ['norm/mean', 'norm/var', 'norm/bias'])
def test_a_norm_that_cannot_be_folded(missing):
  example, weights = _conv()
  leaves = tuple(leaf for leaf in example.spec.leaves if leaf.path != missing)
  spec = dataclasses.replace(example.spec, leaves=leaves)
  arrays = specs.leaf_arrays(weights)
  del arrays[missing]
  with pytest.raises(
    ValueError, match="norm 'norm' must have one running mean, one running var"
  ):
    weights_lib.fold_batch_norm(spec, specs.from_leaf_arrays(arrays))
