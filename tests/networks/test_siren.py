# SPDX-License-Identifier: Apache-2.0
"""Tests of SIRENs against the reference's renderings and by their own rules."""

import pathlib

import jax
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import specs

_GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden'


@pytest.fixture(scope='module')
def golden():
  with np.load(_GOLDEN / 'unit_siren.npz') as file:
    return {name: file[name] for name in file.files}


def _batch(golden):
  return {
    f'layer_{i + 1}': {
      'kernel': golden[f'in/batch/weights_{i}'][..., 0],
      'bias': golden[f'in/batch/biases_{i}'][..., 0],
    }
    for i in range(3)
  }


def test_activations_equal_the_reference(golden):
  siren = networks.Siren((2, 6, 6, 1))
  weights = {
    f'layer_{i + 1}': {
      'kernel': golden[f'param/seq.{i}.weight'].T,
      'bias': golden[f'param/seq.{i}.bias'],
    }
    for i in range(3)
  }
  values = jax.jit(siren.activations)(weights, golden['in/coords'])
  for i, value in enumerate(values):
    np.testing.assert_allclose(
      value, golden[f'out/per_layer_{i}'], rtol=0, atol=1e-6
    )


def test_renderings_equal_the_reference(golden):
  weights = _batch(golden)
  # The reference counts 5 x 7 pixels in x and y: seven rows of five columns.
  dws = networks.Siren((2, 6, 6, 1)).render(weights, (7, 5))
  assert dws.shape == (2, 7, 5, 1)
  np.testing.assert_allclose(
    dws.reshape(2, 35, 1), golden['out/batch_siren'], rtol=0, atol=1e-6
  )
  nfn = networks.Siren((2, 6, 6, 1), variant='nfn').render(weights, (6, 6))
  np.testing.assert_allclose(
    nfn.reshape(2, 36, 1), golden['out/nfn_batch_siren_6x6'], rtol=0, atol=1e-6
  )


def test_coordinates_equal_the_reference(golden):
  dws, nfn = networks.Siren(), networks.Siren(variant='nfn')
  for shape, name in [((7, 5), '5x7'), ((28, 28), '28x28')]:
    np.testing.assert_allclose(
      dws.coordinates(shape), golden[f'out/coordinates_{name}'][0], atol=1e-6
    )
  np.testing.assert_allclose(
    nfn.coordinates((6, 6)), golden['out/nfn_mgrid_6'], atol=1e-6
  )
  assert dws.coordinates((5, 7)).dtype == np.float32


def test_known_pixels(x64):
  # W[o, i] = c sin(1 + k + 1.3 o + 0.5 i), b[o] = 0.02 cos(k + o).
  sizes = (2, 32, 32, 1)
  weights = {}
  for k, c in enumerate((0.05, 0.015, 0.1)):
    i, o = np.meshgrid(
      np.arange(sizes[k]), np.arange(sizes[k + 1]), indexing='ij'
    )
    weights[f'layer_{k + 1}'] = {
      'kernel': c * np.sin(1 + k + 1.3 * o + 0.5 * i),
      'bias': 0.02 * np.cos(k + np.arange(sizes[k + 1])),
    }
  image = networks.Siren(sizes).render(weights, (28, 28))[..., 0]
  found = [image[0, 0], image[0, 27], image[27, 0], image[13, 14], image.mean()]
  np.testing.assert_allclose(
    found, [0.511324, 0.518715, 0.520725, 0.519681, 0.518128], atol=6e-7
  )


def test_rows_run_down_and_columns_right():
  # A SIREN that shows its first coordinate, by a nearly linear sine.
  weights = {
    'layer_1': {'kernel': np.float32([[1e-4], [0.0]]), 'bias': np.zeros(1)},
    'layer_2': {'kernel': np.float32([[1.0]]), 'bias': np.zeros(1)},
  }
  x_image = networks.Siren((2, 1, 1)).render(weights, (3, 4))[..., 0]
  row_image = networks.Siren((2, 1, 1), variant='nfn').render(weights, (3, 4))
  assert np.all(np.diff(x_image, axis=1) > 0)
  assert np.allclose(np.diff(x_image, axis=0), 0)
  assert np.all(np.diff(row_image[..., 0], axis=0) > 0)
  assert np.allclose(np.diff(row_image[..., 0], axis=1), 0)


@pytest.mark.parametrize(
  ('variant', 'kernel_bounds', 'bias_bounds'),
  [
    # dws: sqrt(6 / fan_in) / 30 in sine layers, zero biases there.
    (
      'dws',
      (3**0.5 / 30, (6 / 32) ** 0.5 / 30, 32**-0.5),
      (0.0, 0.0, 32**-0.5),
    ),
    (
      'nfn',
      (0.5, (6 / 32) ** 0.5 / 30, (6 / 32) ** 0.5 / 30),
      (2**-0.5, 32**-0.5, 32**-0.5),
    ),
  ],
)
def test_initial_weights_fill_their_range(variant, kernel_bounds, bias_bounds):
  siren = networks.Siren(variant=variant)
  init = jax.jit(jax.vmap(siren.init))
  weights = init(jax.random.split(jax.random.key(0), 50))
  assert specs.check_weights(siren.spec, weights) == (50,)
  for i in range(3):
    layer = weights[f'layer_{i + 1}']
    for values, bound in (
      (layer['kernel'], kernel_bounds[i]),
      (layer['bias'], bias_bounds[i]),
    ):
      largest = np.max(np.abs(values))
      assert 0.95 * bound <= largest <= bound


def test_weights_of_a_batch_render_one_by_one(golden):
  siren = networks.Siren((2, 6, 6, 1))
  weights = _batch(golden)
  both = siren.render(weights, (4, 3))
  second = siren.render(jax.tree.map(lambda x: x[1], weights), (4, 3))
  np.testing.assert_allclose(both[1], second, atol=1e-6)


def test_pixels_of_both_variants_lie_on_the_scale_of_images(golden):
  weights = _batch(golden)
  drawn = {}
  for variant in ('dws', 'nfn'):
    siren = networks.Siren((2, 6, 6, 1), variant)
    raw = siren.render(weights, (4, 3))
    drawn[variant] = raw, siren.render_pixels(weights, (4, 3))
  np.testing.assert_array_equal(*drawn['dws'])
  raw, pixels = drawn['nfn']
  np.testing.assert_allclose(2 * pixels - 1, raw, atol=1e-6)


def test_an_unknown_variant_lists_the_known_ones():
  with pytest.raises(
    ValueError, match=r"unknown SIREN variant 'xyz'; .*\['dws', 'nfn'\]"
  ):
    networks.Siren(variant='xyz')
