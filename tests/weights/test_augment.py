# SPDX-License-Identifier: Apache-2.0
"""Tests augmentation by what it does to the images, and by its draws."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import specs
from ng_jax.weights import augment
from ng_jax.weights import edits

_SIREN = networks.Siren((2, 8, 8, 1))
_OFF = augment.none()
_augment_one = jax.jit(augment.augment, static_argnames=('spec', 'settings'))


def _draw(network, num_networks=None, seed=0):
  """Weights as of a SIREN; no draws of JAX, which take long to compile."""
  generator = np.random.default_rng(seed)
  batch = () if num_networks is None else (num_networks,)
  arrays = {
    leaf.path: jnp.asarray(
      generator.normal(0, 0.05, (*batch, *network.spec.leaf_shape(leaf))),
      jnp.float32,
    )
    for leaf in network.spec.leaves
  }
  return specs.from_leaf_arrays(arrays)


def _weights():
  return _draw(_SIREN)


def _batch(num_networks):
  return _draw(_SIREN, num_networks)


def _points(num_points=50):
  points = np.random.default_rng(2).uniform(-1, 1, (num_points, 2))
  return jnp.asarray(points, jnp.float32)


def _augment(settings, key=0, weights=None):
  return _augment_one(
    jax.random.key(key),
    _weights() if weights is None else weights,
    spec=_SIREN.spec,
    settings=settings,
  )


def test_first_layer_translation_shifts_the_image():
  weights, x = _weights(), _points()
  shift = jnp.array([0.25, 0.0])
  moved = edits.translate(weights, shift, 1)
  np.testing.assert_allclose(
    _SIREN.apply(moved, x), _SIREN.apply(weights, x + shift), atol=2e-6
  )


def test_second_layer_translation_is_linear():
  weights = _weights()
  shift = jnp.array([0.25, -0.1])
  moved = edits.translate(weights, shift, 2)
  kernels = [weights[f'layer_{i}']['kernel'] for i in (1, 2)]
  expected = weights['layer_2']['bias'] + shift @ kernels[0] @ kernels[1]
  np.testing.assert_allclose(moved['layer_2']['bias'], expected, rtol=1e-6)
  np.testing.assert_array_equal(
    moved['layer_1']['bias'], weights['layer_1']['bias']
  )


def test_rotation_turns_the_image():
  weights, x = _weights(), _points()
  angle = jnp.float32(np.pi / 2)
  turned = edits.rotate(weights, angle)
  # x R with R = [[0, -1], [1, 0]] is (y, -x).
  x_turned = jnp.stack([x[:, 1], -x[:, 0]], axis=-1)
  np.testing.assert_allclose(
    _SIREN.apply(turned, x), _SIREN.apply(weights, x_turned), atol=5e-6
  )


def test_a_quarter_turn_turns_the_pixels():
  weights = _weights()
  turned = edits.rotate(weights, jnp.float32(np.pi / 2))
  image = np.asarray(_SIREN.render(weights, (9, 9)))[..., 0]
  result = np.asarray(_SIREN.render(turned, (9, 9)))[..., 0]
  # Point (x, y) of the result shows the original at (y, -x).
  np.testing.assert_allclose(result, np.rot90(image, 3), atol=5e-6)


def test_scale_zooms():
  weights, x = _weights(), _points()
  zoomed = edits.scale_inputs(weights, jnp.float32(0.8))
  np.testing.assert_allclose(
    _SIREN.apply(zoomed, x), _SIREN.apply(weights, 0.8 * x), atol=2e-6
  )


def test_constant_noise_is_a_tenth_of_the_unbiased_std():
  weights = _weights()
  noisy = _augment(dataclasses.replace(_OFF, noise=0.1))
  for path, before in specs.leaf_arrays(weights).items():
    after = np.asarray(specs.leaf_arrays(noisy)[path])
    expected = 0.1 * np.std(before, ddof=1) if before.size > 1 else 0.0
    np.testing.assert_allclose(after - before, expected, atol=1e-7)


def test_gaussian_noise_is_random_with_that_scale():
  settings = dataclasses.replace(_OFF, noise=0.1, noise_mode='gaussian')
  noisy = _augment(settings, weights=_weights())
  delta = np.asarray(
    noisy['layer_2']['kernel'] - _weights()['layer_2']['kernel']
  )
  std = float(np.std(_weights()['layer_2']['kernel'], ddof=1))
  assert np.std(delta) == pytest.approx(0.1 * std, rel=0.3)
  np.testing.assert_array_equal(
    noisy['layer_3']['bias'], _weights()['layer_3']['bias']
  )


def test_dropout_zeroes_and_rescales():
  siren = networks.Siren((2, 64, 64, 1))
  weights = _draw(siren)
  dropped = _augment_one(
    jax.random.key(1),
    weights,
    spec=siren.spec,
    settings=dataclasses.replace(_OFF, dropout=0.2),
  )
  before = np.asarray(weights['layer_2']['kernel'])
  after = np.asarray(dropped['layer_2']['kernel'])
  zero = after == 0
  assert 0.17 < zero.mean() < 0.23
  np.testing.assert_allclose(after[~zero], before[~zero] / 0.8, rtol=1e-6)


def test_order_is_the_references():
  # Noise is measured after the rotation, and scaled afterwards.
  weights, key = _weights(), jax.random.key(5)
  parts = {
    'translation': 0.25,
    'rotation': 45.0,
    'noise': 0.1,
    'dropout': 0.3,
    'scale': (0.8, 1.2),
  }
  expected = weights
  for name, value in parts.items():
    expected = _augment_one(
      key,
      expected,
      spec=_SIREN.spec,
      settings=dataclasses.replace(_OFF, **{name: value}),
    )
  found = _augment_one(
    key,
    weights,
    spec=_SIREN.spec,
    settings=augment.Augmentation(dropout=0.3),
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
    found,
    expected,
  )


def test_off_changes_nothing():
  jax.tree.map(
    np.testing.assert_array_equal, _augment(augment.none()), _weights()
  )


def test_alone_and_in_a_batch_are_equal():
  weights = _batch(6)
  keys = jax.random.split(jax.random.key(7), 6)
  settings = augment.Augmentation(
    noise_mode='gaussian', quantile_dropout=0.1, permute=True
  )
  batch = augment.augment_batch(
    keys, weights, spec=_SIREN.spec, settings=settings
  )
  for i in (0, 4):
    alone = _augment_one(
      keys[i],
      jax.tree.map(lambda x, i=i: x[i], weights),
      spec=_SIREN.spec,
      settings=settings,
    )
    jax.tree.map(
      lambda a, b, i=i: np.testing.assert_allclose(
        a, b[i], rtol=2e-6, atol=1e-8
      ),
      alone,
      batch,
    )


def test_every_network_gets_its_own_draw():
  weights = jax.tree.map(
    lambda x: jnp.broadcast_to(x, (4, *x.shape)), _weights()
  )
  keys = jax.random.split(jax.random.key(7), 4)
  kernel = augment.augment_batch(
    keys, weights, spec=_SIREN.spec, settings=augment.Augmentation()
  )['layer_1']['kernel']
  assert all(
    not np.allclose(kernel[i], kernel[j]) for i in range(4) for j in range(i)
  )


def test_draws_stay_inside_their_ranges():
  settings = dataclasses.replace(_OFF, scale=(0.8, 1.2))
  weights = jax.tree.map(
    lambda x: jnp.broadcast_to(x, (200, *x.shape)), _weights()
  )
  keys = jax.random.split(jax.random.key(3), 200)
  scaled = augment.augment_batch(
    keys, weights, spec=_SIREN.spec, settings=settings
  )
  factors = scaled['layer_1']['kernel'] / weights['layer_1']['kernel']
  assert 0.8 <= factors.min() < 0.82 and 1.18 < factors.max() <= 1.2001


def test_positive_scaling_leaves_a_relu_network_unchanged():
  mlp = networks.Mlp((2, 8, 8, 3))
  weights, x = _draw(mlp), _points()
  scaled = _augment_one(
    jax.random.key(1),
    weights,
    spec=mlp.spec,
    settings=dataclasses.replace(_OFF, pos_scale=0.5),
  )
  assert not np.allclose(
    scaled['layer_1']['kernel'], weights['layer_1']['kernel']
  )
  np.testing.assert_allclose(
    mlp.apply(scaled, x), mlp.apply(weights, x), atol=1e-6
  )


def test_permutation_leaves_the_image_unchanged():
  permuted = _augment(dataclasses.replace(_OFF, permute=True))
  x = _points()
  np.testing.assert_allclose(
    _SIREN.apply(permuted, x), _SIREN.apply(_weights(), x), atol=1e-5
  )


def test_quantile_dropout_zeroes_the_smallest():
  weights = _weights()
  dropped = edits.drop_quantile(weights, jnp.float32(0.5))
  flat = np.concatenate([np.ravel(x) for x in jax.tree.leaves(weights)])
  kept = np.concatenate([np.ravel(x) for x in jax.tree.leaves(dropped)])
  threshold = np.quantile(np.abs(flat), 0.5)
  np.testing.assert_array_equal(
    kept, np.where(np.abs(flat) >= threshold, flat, 0)
  )


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'noise_mode': 'uniform'}, "unknown noise_mode 'uniform'; expected one"),
    ({'dropout': 1.0}, 'dropout must be at least 0 and below 1, got 1.0'),
    ({'scale': (1.2, 0.8)}, r'scale must be a range .* got \(1.2, 0.8\)'),
  ],
)
def test_refuses_bad_settings(options, message):
  with pytest.raises(ValueError, match=message):
    augment.Augmentation(**options)


def test_refuses_networks_it_cannot_augment():
  mlp = networks.Mlp((3, 4, 4, 1))
  with pytest.raises(ValueError, match='rotation needs networks with 2 inputs'):
    _augment_one(
      jax.random.key(0),
      _draw(mlp),
      spec=mlp.spec,
      settings=augment.Augmentation(),
    )
  with pytest.raises(ValueError, match='must be of one network here, got a'):
    _augment(augment.Augmentation(), weights=_batch(2))
  linear = networks.Mlp((2, 1))
  with pytest.raises(ValueError, match='a chain of two or more linear layers'):
    _augment_one(
      jax.random.key(0),
      _draw(linear),
      spec=linear.spec,
      settings=augment.Augmentation(),
    )
