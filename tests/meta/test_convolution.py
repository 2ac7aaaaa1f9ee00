# SPDX-License-Identifier: Apache-2.0
"""Tests of convolutions by patches against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax.meta import convolution

_ONE = ((1, 1), (1, 1))
_NONE = ((0, 0), (0, 0))
# Kernel, strides, paddings; the first two are those of the tasks.
_CASES = {
  'stride 2, VALID': ((3, 3), (2, 2), _NONE),
  'stride 1, SAME': ((3, 3), (1, 1), _ONE),
  '1x1': ((1, 1), (1, 1), _NONE),
  '5x5, SAME': ((5, 5), (1, 1), ((2, 2), (2, 2))),
  'uneven': ((2, 3), (1, 3), ((1, 0), (0, 2))),
  'patches of a ViT': ((4, 4), (4, 4), _NONE),
}


def _draw(size, dtype=np.float64):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 9, 8, 3))
  kernel = rng.normal(size=(*size, 3, 4))
  bias = rng.normal(size=4)
  return [array.astype(dtype) for array in (x, kernel, bias)]


def _loss(method, strides, paddings):
  def loss(x, kernel, bias):
    out = convolution.convolve(
      x, kernel, bias, strides=strides, paddings=paddings, method=method
    )
    return jnp.sum(jnp.sin(out)), out

  return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))


@pytest.mark.parametrize('case', _CASES)
def test_patches_equal_lax(case, x64):
  size, strides, paddings = _CASES[case]
  arrays = _draw(size)
  (_, expected), gradients = _loss('lax', strides, paddings)(*arrays)
  (_, found), found_gradients = _loss('patches', strides, paddings)(*arrays)
  assert found.shape == expected.shape
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
  for one, other in zip(found_gradients, gradients, strict=True):
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize('method', ['patches', 'lax'])
def test_a_batch_of_kernels_is_one_by_one(method, x64):
  x, kernel, bias = _draw((3, 3))
  kernels = np.stack([kernel, 2 * kernel[::-1]])

  def apply(kernel):
    return convolution.convolve(x, kernel, bias, paddings=_ONE, method=method)

  together = jax.jit(jax.vmap(apply))(kernels)
  one_by_one = np.stack([apply(kernel) for kernel in kernels])
  np.testing.assert_allclose(together, one_by_one, rtol=0, atol=1e-12)


def test_auto_follows_the_backend(monkeypatch):
  arrays = _draw((3, 3), np.float32)

  def primitives():
    jaxpr = jax.make_jaxpr(lambda *a: convolution.convolve(*a))(*arrays)
    return str(jaxpr)

  assert 'conv_general_dilated' not in primitives()
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert 'conv_general_dilated' in primitives()


def test_without_a_bias_nothing_is_added():
  x, kernel, bias = _draw((3, 3), np.float32)
  for method in ('patches', 'lax'):
    without = convolution.convolve(x, kernel, method=method)
    with_bias = convolution.convolve(x, kernel, bias, method=method)
    np.testing.assert_allclose(with_bias, without + bias, atol=1e-5)


def test_errors_name_the_rule():
  x, kernel, _ = _draw((3, 3), np.float32)
  with pytest.raises(ValueError, match="unknown convolution method 'fft'"):
    convolution.convolve(x, kernel, method='fft')
  with pytest.raises(ValueError, match='must read the 3 channels'):
    convolution.convolve(x, kernel[:, :, :2])
  with pytest.raises(ValueError, match='must fit in the padded image'):
    convolution.convolve(x[:, :2], kernel)
