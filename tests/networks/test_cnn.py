# SPDX-License-Identifier: Apache-2.0
"""Tests of convolutional networks that are read, and of their spec."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import specs
from ng_jax import testing
from tests import repeats

_GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden'
# Residuals over fewer, and over more, channels than their target has.
_RESIDUAL = networks.Cnn(
  channels=(2, 5, 4, 3, 6),
  kernel_sizes=(3, 5, (1, 3), 3),
  layer_activations=('leaky_relu', 'tanh', 'gelu', 'sigmoid'),
  num_classes=3,
  residual=(-1, -1, 0, 1),
)
_FLAT = networks.Cnn(
  channels=(2, 4, 3),
  kernel_sizes=(3, (2, 1)),
  strides=(2, 1),
  num_classes=3,
  reduction='flatten',
  map_size=(4, 3),
)


def _images(network, dtype=np.float64):
  rng = np.random.default_rng(0)
  return rng.normal(size=(2, 6, 5, network.channels[0])).astype(dtype)


def _weights(network, batch_shape=()):
  return testing.draw_weights(
    jax.random.key(0),
    network.spec,
    batch_shape=batch_shape,
    dtype=jnp.float64,
  )


def _recording():
  with np.load(_GOLDEN / 'cnn_graphs.npz') as file:
    arrays = {key: file[key] for key in file.files if key != 'config'}
    return arrays, json.loads(str(file['config']))


@pytest.mark.parametrize('number', [0, 1, 2])
def test_outputs_equal_the_reference(number):
  arrays, config = _recording()
  settings = config['cnns'][number]
  network = networks.Cnn(
    channels=tuple(settings['channels']),
    kernel_sizes=tuple(settings['kernel_size']),
    layer_activations=tuple(settings['activation']),
    num_classes=settings['n_classes'],
    residual=tuple(settings['residual']),
    strides=tuple(settings['stride']),
    paddings=tuple(settings['padding']),
  )
  prefix = f'cnn{number}/param/'
  names = [f'layers.{i}' for i in range(settings['n_layers'])] + ['fc']
  weights = network.read_torch(
    [arrays[f'{prefix}{name}.weight'] for name in names],
    [arrays[f'{prefix}{name}.bias'] for name in names],
  )
  images = arrays['in/image'].transpose(0, 2, 3, 1)
  expected = arrays[f'cnn{number}/out/cnn_logits']
  found = jax.jit(network.apply)(weights, images)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  'network',
  repeats.cases([_RESIDUAL, _FLAT], repeats=[_RESIDUAL]),
  ids=['pool', 'flat'],
)
def test_the_spec_knows_the_symmetry(x64, network):
  images, weights = _images(network), _weights(network)
  apply = jax.jit(lambda weights: network.apply(weights, images))
  testing.assert_invariant(
    apply,
    network.spec,
    weights=weights,
    key=jax.random.key(1),
    atol=1e-12,
    rtol=1e-12,
  )


@pytest.mark.parametrize(
  ('what', 'orders'),
  [
    ('only the start of a residual', {'hidden_1': [1, 0, 2, 3, 4]}),
    ('only its end', {'hidden_3': [1, 0, 2]}),
    (
      'a channel that a residual reaches and one that it does not',
      {'hidden_4': [5, 1, 2, 3, 4, 0]},
    ),
  ],
)
def test_other_permutations_change_the_output(x64, what, orders):
  images, weights = _images(_RESIDUAL), _weights(_RESIDUAL)
  apply = jax.jit(lambda weights: _RESIDUAL.apply(weights, images))
  sets = {name: np.array(order) for name, order in orders.items()}
  permuted = specs.permute(_RESIDUAL.spec, weights, sets)
  assert np.max(np.abs(apply(permuted) - apply(weights))) > 1e-6, what


def test_channels_without_a_residual_may_move_alone(x64):
  # Channel 3 and 4 of the first layer skip nowhere: the third has only 3.
  images, weights = _images(_RESIDUAL), _weights(_RESIDUAL)
  sets = {'hidden_1': np.array([0, 1, 2, 4, 3])}
  permuted = specs.permute(_RESIDUAL.spec, weights, sets)
  apply = jax.jit(lambda weights: _RESIDUAL.apply(weights, images))
  np.testing.assert_allclose(apply(permuted), apply(weights), rtol=1e-12)


def test_a_flattened_map_is_read_row_by_row_and_channels_first_by_torch(x64):
  rng = np.random.default_rng(0)
  shapes = [(4, 2, 3, 3), (3, 4, 2, 1), (3, 3 * 4 * 3)]
  kernels = [rng.normal(size=shape) for shape in shapes]
  biases = [rng.normal(size=shape[0]) for shape in shapes]
  weights = _FLAT.read_torch(kernels, biases)
  images = _images(_FLAT)
  maps = _FLAT.maps(weights, images)[-1]
  assert maps.shape == (2, 4, 3, 3)
  channels_first = np.asarray(maps).transpose(0, 3, 1, 2).reshape(2, -1)
  expected = channels_first @ kernels[-1].T + biases[-1]
  np.testing.assert_allclose(_FLAT.apply(weights, images), expected, rtol=1e-10)


@pytest.mark.slow
def test_activations_are_means_over_space_of_every_set(x64):
  images, weights = _images(_RESIDUAL), _weights(_RESIDUAL, (3,))
  activations = jax.jit(_RESIDUAL.activations)
  found = activations(weights, images)
  sizes = [s.size for s in _RESIDUAL.spec.neuron_sets]
  assert [x.shape for x in found] == [
    (2, 2),
    *((3, 2, size) for size in sizes[1:]),
  ]
  np.testing.assert_allclose(found[0], images.mean(axis=(1, 2)), rtol=1e-12)
  one = jax.tree.map(lambda x: x[1], weights)
  for all_of_them, alone in zip(
    found[1:], activations(one, images)[1:], strict=True
  ):
    np.testing.assert_allclose(all_of_them[1], alone, rtol=1e-10)
  own = np.stack([images, images + 1, images - 1])
  found = activations(weights, own)
  assert found[0].shape == (3, 2, 2)
  np.testing.assert_allclose(
    found[-1][1], activations(one, own[1])[-1], rtol=1e-10
  )


def test_residuals_are_added_before_the_activation(x64):
  # One pixel, kernels 1x1: the definition, written out.
  network = networks.Cnn(
    (1, 2, 1, 3),
    (1, 1, 1),
    ('relu', 'tanh', 'sigmoid'),
    num_classes=2,
    residual=(-1, -1, 0),
  )
  weights = _weights(network)
  x = np.array([[[[0.7]]]])
  k = {
    name: np.asarray(w['kernel']).squeeze((0, 1))
    if 'conv' in name
    else np.asarray(w['kernel'])
    for name, w in weights.items()
  }
  b = {name: np.asarray(w['bias']) for name, w in weights.items()}
  one = np.maximum(x[0, 0] @ k['conv_1'] + b['conv_1'], 0)
  two = np.tanh(one @ k['conv_2'] + b['conv_2'])
  three = two @ k['conv_3'] + b['conv_3']
  three[:, :2] += one
  three = 1 / (1 + np.exp(-three))
  expected = three @ k['linear'] + b['linear']
  found = jax.jit(network.apply)(weights, x)
  np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_initial_weights_are_pytorchs():
  network = networks.Cnn(
    (3, 64, 64), (3, 5), reduction='flatten', map_size=(2, 2), num_classes=50
  )
  weights = network.init(jax.random.key(0))
  specs.check_weights(network.spec, weights)
  for name, fan_in in (('conv_1', 27), ('conv_2', 1600), ('linear', 256)):
    for values in weights[name].values():
      bound = fan_in**-0.5
      assert 0.9 * bound < np.max(np.abs(values)) <= bound
    kernel = np.asarray(weights[name]['kernel'])
    assert abs(np.std(kernel) * np.sqrt(3 * fan_in) - 1) < 0.1
  again = network.init(jax.random.key(0))
  jax.tree.map(np.testing.assert_array_equal, weights, again)


def test_defaults_and_sizes():
  network = networks.Cnn((3, 4, 5), (3, (5, 7)))
  assert network.paddings == ((1, 1), (2, 3))
  assert network.strides == ((1, 1), (1, 1))
  assert network.residual == (-1, -1)
  assert network == networks.Cnn((3, 4, 5), ((3, 3), (5, 7)), ('relu', 'relu'))
  assert hash(network) == hash(networks.Cnn((3, 4, 5), (3, (5, 7))))
  blocks = {block.name: block for block in _RESIDUAL.spec.blocks}
  assert list(blocks)[-2:] == ['residual_3', 'residual_4']
  assert blocks['residual_4'].source == 'hidden_2'
  assert blocks['conv_3'].kernel == (1, 3)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      {'residual': (-1, -1, 4)},
      r'residual\[2\]=4 must be -1 or the number of a convolution, 0 to 2',
    ),
    ({'residual': (-1, -1, -2)}, r'residual\[2\]=-2 must be -1 or the number'),
    (
      {'residual': (-1, -1, 1)},
      r'residual\[2\]=1 must skip at least one convolution, at most 0',
    ),
    ({'residual': (-1, 2, -1)}, r'residual\[1\]=2 .* the network has a cycle'),
    ({'residual': (-1, 1, -1)}, r'residual\[1\]=1 .* the network has a cycle'),
    (
      {'residual': (-1, -1, 0), 'strides': (1, 1, 2)},
      r'residual\[2\]=0 needs maps of one size, but the convolutions \[2\]',
    ),
    (
      {'residual': (-1, -1, 0), 'kernel_sizes': (3, 4, 3)},
      r'the convolutions \[1\] change it; use stride 1 and odd kernels',
    ),
    (
      {'residual': (-1, -1)},
      r'residual must have one entry per convolution, 3 by channels=\(3, 4, 4, '
      r'4\), got 2',
    ),
    ({'kernel_sizes': (3, 3)}, 'kernel_sizes must have one entry per'),
    ({'strides': (1,)}, 'strides must have one entry per'),
    ({'paddings': (1,)}, 'paddings must have one entry per'),
    ({'layer_activations': ('relu',)}, 'layer_activations must have one entry'),
    (
      {'layer_activations': ('relu', 'mish', 'relu')},
      "unknown activation 'mish'; expected one of",
    ),
    ({'channels': (3,)}, r'at least one convolution, got \(3,\)'),
    (
      {'reduction': 'max'},
      r"unknown reduction 'max'; expected one of \['flatten', 'pool'\]",
    ),
    ({'reduction': 'flatten'}, "reduction='flatten' and map_size=None"),
    ({'map_size': (2, 2)}, r"reduction='pool' and map_size=\(2, 2\)"),
  ],
)
def test_bad_architectures(options, message):
  with pytest.raises(ValueError, match=message):
    networks.Cnn(
      **{'channels': (3, 4, 4, 4), 'kernel_sizes': (3, 3, 3), **options}
    )


def test_arrays_and_activations_that_cannot_be_used():
  network = networks.Cnn((1, 2), (3,), ('other',), num_classes=2)
  with pytest.raises(ValueError, match="'other' of convolution 0 cannot be ru"):
    jax.eval_shape(
      network.apply, network.init(jax.random.key(0)), np.zeros((1, 4, 4, 1))
    )
  kernel = np.zeros((2, 1, 3, 3))
  with pytest.raises(ValueError, match='one array per layer, 2, got 1 kernels'):
    network.read_torch([kernel], [np.zeros(2)])
  with pytest.raises(ValueError, match='linear/kernel must have shape'):
    network.read_torch([kernel, np.zeros((2, 3))], [np.zeros(2), np.zeros(2)])
