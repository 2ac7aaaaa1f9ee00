# SPDX-License-Identifier: Apache-2.0
"""Tests the fit of SIRENs: its gradient, its quality, its independence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import networks
from ng_jax.data import fitting
from ng_jax.data import images

_SIREN = networks.Siren((2, 8, 8, 1))
_SHAPE = (6, 6)
_SETTINGS = {'num_steps': 20, 'learning_rate': 1e-3}


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
  """Lets the tests share what is compiled."""
  monkeypatch.setattr(fitting, 'group_size', lambda *unused: 4)


def _problem(num_images, network=_SIREN, shape=_SHAPE):
  keys = jax.random.split(jax.random.key(0), num_images)
  channels = network.layer_sizes[-1]
  pixels = np.random.default_rng(0).random(
    (num_images, shape[0] * shape[1], channels)
  )
  return keys, pixels.astype(np.float32), network.coordinates(shape)


@pytest.mark.parametrize('variant', ['dws', 'nfn'])
def test_gradient_is_that_of_the_network(x64, variant):
  network = networks.Siren((2, 5, 4, 3), variant)
  keys, pixels, points = _problem(3, network)
  weights = jax.tree.map(
    lambda x: x.astype(jnp.float64), jax.jit(jax.vmap(network.init))(keys)
  )
  pixels = jnp.asarray(pixels, jnp.float64)

  def loss(weights):
    return jnp.mean((network.apply(weights, points) - pixels) ** 2, (1, 2))

  error, gradient = jax.jit(fitting._error_and_gradient, static_argnums=0)(
    network, weights, jnp.asarray(points.T), jnp.swapaxes(pixels, 1, 2)
  )
  np.testing.assert_allclose(error, jax.jit(loss)(weights), rtol=1e-10)
  expected = jax.jit(jax.grad(lambda w: loss(w).sum()))(weights)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13),
    gradient,
    expected,
  )


def test_digits_reach_35_db(monkeypatch):
  monkeypatch.setattr(fitting, 'group_size', lambda *unused: 64)
  digits = images.read('digits')['train']
  network = networks.Siren((2, 16, 16, 1))
  pixels = images.scale(digits.pixels[:128], 16).reshape(128, 64, 1)
  keys = jax.random.split(jax.random.key(0), 128)
  weights, psnr = fitting.fit(
    network,
    keys,
    pixels,
    network.coordinates((8, 8)),
    num_steps=400,
    learning_rate=1e-3,
  )
  assert np.median(psnr) > 35
  rendered = network.apply(weights, jnp.asarray(network.coordinates((8, 8))))
  error = np.mean((np.asarray(rendered) - pixels) ** 2, axis=(1, 2))
  np.testing.assert_allclose(psnr, -10 * np.log10(error), rtol=1e-4)


def test_nfn_psnr_is_that_of_pixels_in_the_unit_interval():
  network = networks.Siren((2, 8, 8, 3), 'nfn')
  keys, pixels, points = _problem(4, network)
  weights, psnr = fitting.fit(network, keys, pixels, points, **_SETTINGS)
  rendered = (np.asarray(network.apply(weights, jnp.asarray(points))) + 1) / 2
  error = np.mean((rendered - pixels) ** 2, axis=(1, 2))
  np.testing.assert_allclose(psnr, -10 * np.log10(error), atol=1e-4)


def test_chunks_change_nothing():
  # To the bit on one kind of device, because groups always have one size.
  keys, pixels, points = _problem(11)
  whole, psnr = fitting.fit(_SIREN, keys, pixels, points, **_SETTINGS)
  part, part_psnr = fitting.fit(
    _SIREN, keys[3:9], pixels[3:9], points, **_SETTINGS
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a[3:9], b), whole, part
  )
  np.testing.assert_array_equal(psnr[3:9], part_psnr)


def test_group_size_changes_little(monkeypatch):
  keys, pixels, points = _problem(4)
  found = []
  for size in (1, 4):
    monkeypatch.setattr(fitting, 'group_size', lambda *unused, n=size: n)
    found.append(fitting.fit(_SIREN, keys, pixels, points, **_SETTINGS)[0])
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), *found)


def test_reports_every_group():
  keys, pixels, points = _problem(11)
  reported = []
  _, psnr = fitting.fit(
    _SIREN, keys, pixels, points, on_group=reported.append, **_SETTINGS
  )
  assert [len(x) for x in reported] == [4, 4, 3]
  np.testing.assert_array_equal(np.concatenate(reported), psnr)


def test_best_is_never_worse_than_last():
  keys, pixels, points = _problem(4)
  settings = {'num_steps': 60, 'learning_rate': 0.03}
  _, last = fitting.fit(_SIREN, keys, pixels, points, **settings)
  weights, best = fitting.fit(
    _SIREN, keys, pixels, points, keep_best=True, **settings
  )
  assert (best >= last - 1e-4).all() and (best > last + 0.01).any()
  rendered = np.asarray(_SIREN.apply(weights, jnp.asarray(points)))
  error = np.mean((rendered - pixels) ** 2, axis=(1, 2))
  np.testing.assert_allclose(best, -10 * np.log10(error), atol=1e-3)


def test_fits_in_float64(x64):
  keys, pixels, points = _problem(2)
  weights, _ = fitting.fit(
    _SIREN, keys, pixels, points, dtype='float64', **_SETTINGS
  )
  assert weights['layer_1']['kernel'].dtype == np.float64


def test_groups_are_small_on_a_cpu(monkeypatch):
  monkeypatch.undo()
  assert fitting.group_size(networks.Siren(), 784) == 5
  assert fitting.group_size(networks.Siren((2, 16, 16, 1)), 64) == 128
  assert fitting.group_size(networks.Siren((2, 512, 512, 3)), 10**6) == 1


def test_psnr():
  np.testing.assert_allclose(fitting.psnr(jnp.array([1.0, 0.01])), [0, 20])
  assert np.isfinite(fitting.psnr(jnp.array(0.0)))


def test_refuses_images_that_do_not_fit():
  keys, pixels, points = _problem(3)
  for wrong in (pixels[:2], pixels[:, :5], np.repeat(pixels, 3, axis=2)):
    with pytest.raises(
      ValueError, match=r'one key an image, one .* \(3, 36, 1\), got'
    ):
      fitting.fit(_SIREN, keys, wrong, points, **_SETTINGS)
