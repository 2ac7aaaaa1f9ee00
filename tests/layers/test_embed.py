# SPDX-License-Identifier: Apache-2.0
"""Tests of the input stage: initial values, table rows, Fourier features."""

import jax
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import layers
from ng_jax import specs
from ng_jax.layers import linear


def _connectivity(sizes=(2, 4, 3, 2), *, flat=False, activation='sine'):
  spec = specs.mlp(sizes, activation)
  weights = specs.from_leaf_arrays(
    {
      leaf.path: np.ones((1, *spec.leaf_shape(leaf)), np.float32)
      for leaf in spec.leaves
    }
  )
  graph = graphs.encode(graphs.topology(spec), weights)
  return graphs.connect(graphs.flatten(graph) if flat else graph)


def _init(module, *args):
  return jax.jit(lambda key: module.init({'params': key}, *args))(
    jax.random.key(0)
  )


def _fills(values, bound):
  largest = np.max(np.abs(values))
  return 0.9 * bound < largest <= bound and abs(np.mean(values)) < 0.2 * bound


def test_linear_layers_start_as_in_pytorch():
  params = _init(layers.Linear(200), np.zeros((1, 25), np.float32))['params']
  assert _fills(params['kernel'], 0.2)
  assert _fills(params['bias'], 0.2)
  xavier = layers.Linear(75, init_scheme='xavier')
  params = _init(xavier, np.zeros((1, 25), np.float32))['params']
  assert _fills(params['kernel'], (6 / 100) ** 0.5)
  np.testing.assert_array_equal(params['bias'], 0.0)


def test_split_linear_is_one_linear_of_the_concatenation():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(2, 7, 3)), rng.normal(size=(2, 7, 5))
  variables = _init(layers.SplitLinear(4), a, b)
  assert _fills(variables['params']['kernel'], 8**-0.5)
  parts = layers.SplitLinear(4).apply(variables, a, b)
  whole = layers.Linear(4).apply(variables, np.concatenate([a, b], axis=-1))
  np.testing.assert_allclose(sum(parts), whole, rtol=1e-5, atol=1e-6)


def test_an_unknown_init_scheme_lists_the_known_ones():
  with pytest.raises(
    ValueError, match=r"'he'; expected one of \['torch', 'xav"
  ):
    _init(layers.Linear(2, init_scheme='he'), np.zeros((1, 2)))


def test_layer_norms_have_the_epsilon_of_pytorch():
  norm = linear.layer_norm()
  x = 1e-3 * np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
  params = {'scale': np.ones(6), 'bias': np.zeros(6)}
  centred = x - x.mean(-1, keepdims=True)
  expected = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
  found = norm.apply({'params': params}, x)
  np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize('flat', [False, True], ids=['blocks', 'segments'])
def test_positions_are_rows_of_inputs_hidden_layers_and_outputs(flat):
  # A table for up to four hidden layers: outputs use its last rows.
  module = layers.PositionEmbedding(
    num_inputs=2, num_hidden_layers=4, num_outputs=2, features=3
  )
  connectivity = _connectivity(flat=flat)
  assert 0.5 < np.std(_init(module, connectivity)['params']['table']) < 1.5
  table = np.arange(24, dtype=np.float32).reshape(8, 3)
  found = module.apply({'params': {'table': table}}, connectivity)
  rows = [0, 1, *[2] * 4, *[3] * 3, 6, 7]
  np.testing.assert_array_equal(found, table[rows])


@pytest.mark.parametrize('flat', [False, True], ids=['blocks', 'segments'])
def test_activations_are_added_to_hidden_nodes(flat):
  module = layers.ActivationEmbedding(features=3)
  table = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
  connectivity = _connectivity(flat=flat, activation='tanh')
  found = module.apply({'params': {'table': table}}, connectivity)
  expected = np.zeros((11, 3), np.float32)
  expected[2:9] = table[4]
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  # The reference's names keep their rows.
  assert specs.ACTIVATIONS[:7] == (
    'none', 'relu', 'gelu', 'silu', 'tanh', 'sigmoid', 'leaky_relu'
  )  # fmt: skip


def test_fourier_features_follow_the_formula(x64):
  # gamma(v) = [cos(2 pi B v), sin(2 pi B v)], then a linear map.
  rng = np.random.default_rng(0)
  frequencies, values = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
  narrow = rng.normal(size=(4, 1))
  kernel, bias = rng.normal(size=(10, 6)), rng.normal(size=6)
  variables = {
    'params': {'kernel': kernel, 'bias': bias},
    'constants': {'frequencies': frequencies},
  }
  placements = (np.eye(3), np.array([[0.0, 0.0, 1.0]]))
  found = layers.FeatureProjection(6, fourier_size=5).apply(
    variables, (values, narrow), placements
  )
  for result, v in zip(
    found, (values, np.pad(narrow, [(0, 0), (2, 0)])), strict=True
  ):
    angle = 2 * np.pi * v @ frequencies.T
    features = np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)
    np.testing.assert_allclose(result, features @ kernel + bias, rtol=1e-12)


def test_fourier_matrices_are_drawn_with_their_scale():
  module = layers.FeatureProjection(4, fourier_size=200, fourier_scale=3.0)
  variables = _init(module, (np.zeros((2, 1)),), (np.eye(1),))
  frequencies = variables['constants']['frequencies']
  assert frequencies.shape == (200, 1)
  assert 2.5 < np.std(frequencies) < 3.5
  assert _fills(variables['params']['kernel'], 400**-0.5)


def test_input_layers_have_silu_in_between(x64):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(4, 2))
  module = layers.FeatureProjection(3, fourier_size=0, num_layers=2)
  params = {
    'kernel': rng.normal(size=(2, 3)),
    'bias': rng.normal(size=3),
    'layer_1': {'kernel': rng.normal(size=(3, 3)), 'bias': rng.normal(size=3)},
  }
  (found,) = module.apply({'params': params}, (x,), (np.eye(2),))
  hidden = jax.nn.silu(x @ params['kernel'] + params['bias'])
  second = params['layer_1']
  np.testing.assert_allclose(
    found, hidden @ second['kernel'] + second['bias'], rtol=1e-12
  )
