# SPDX-License-Identifier: Apache-2.0
"""Convolutions that are fast inside a scan on CPUs: patches and one product.

XLA takes a slow path on CPUs for a convolution inside a loop, and for kernels
that `vmap` batches. There the patches of the image are laid out (one shifted
slice per kernel position, concatenated) and multiplied with the kernel.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ng_jax import numerics

Pair = tuple[int, int]
Paddings = tuple[Pair, Pair]


def convolve(
  x: jax.Array,
  kernel: jax.Array,
  bias: jax.Array | None = None,
  *,
  strides: Pair = (1, 1),
  paddings: Paddings = ((0, 0), (0, 0)),
  method: str = 'auto',
) -> jax.Array:
  """Cross-correlation of images with a kernel, and a bias.

  Args:
    x: [num_images, height, width, in] float.
    kernel: [kernel height, kernel width, in, out] float.
    bias: [out] float or None.
    strides: down and across.
    paddings: zeros (above, below), (left, right); none is 'VALID'.
    method: 'patches' (a product of patches and kernel), 'lax' (XLA's own
      convolution), or 'auto': patches where `jax.default_backend()` is 'cpu'
      when tracing, else lax. The values agree up to rounding; gradients of
      patches are reverse mode only, to any order.

  Returns:
    [num_images, (height + padding - kernel height) // stride + 1, likewise
    width, out]. Jit: yes, with strides, paddings and method static.

  Raises:
    ValueError: unknown method; a kernel of other inputs than x, or larger than
      the padded image.
  """
  if method not in METHODS:
    raise ValueError(
      f'unknown convolution method {method!r}; expected one of {METHODS}.'
    )
  if x.shape[-1] != kernel.shape[2]:
    raise ValueError(
      f'kernel must read the {x.shape[-1]} channels of x, got {kernel.shape}; '
      'its axes are (height, width, in, out).'
    )
  padded = [
    size + sum(padding)
    for size, padding in zip(x.shape[1:3], paddings, strict=True)
  ]
  if kernel.shape[0] > padded[0] or kernel.shape[1] > padded[1]:
    raise ValueError(
      f'kernel must fit in the padded image {tuple(padded)}, got '
      f'{kernel.shape[:2]}; use larger images or more padding.'
    )
  if method == 'auto':
    method = 'patches' if jax.default_backend() == 'cpu' else 'lax'
  product = _METHODS[method](x, kernel, strides, paddings)
  return product if bias is None else product + bias


def lay_patches(
  x: jax.Array, size: Pair, *, strides: Pair, paddings: Paddings
) -> jax.Array:
  """The patch of the image below every position of a kernel.

  Args:
    x: [num_images, height, width, in] float.
    size: (height, width) of the kernel.
    strides: down and across.
    paddings: zeros (above, below), (left, right).

  Returns:
    [num_images, rows, columns, kernel height * kernel width * in], in this
    order. Jit: yes, with all but x static.
  """
  x = jnp.pad(x, ((0, 0), *paddings, (0, 0)))
  rows, columns = (
    (length - extent) // stride * stride + 1
    for length, extent, stride in zip(x.shape[1:3], size, strides, strict=True)
  )
  shifted = [
    x[:, i : i + rows : strides[0], j : j + columns : strides[1]]
    for i in range(size[0])
    for j in range(size[1])
  ]
  return jnp.concatenate(shifted, axis=-1)


def _by_patches(
  x: jax.Array,
  kernel: jax.Array,
  strides: Pair,
  paddings: Paddings,
) -> jax.Array:
  size = (kernel.shape[0], kernel.shape[1])
  patches = lay_patches(x, size, strides=strides, paddings=paddings)
  return numerics.linear(patches, kernel.reshape(-1, kernel.shape[-1]))


def _by_lax(
  x: jax.Array,
  kernel: jax.Array,
  strides: Pair,
  paddings: Paddings,
) -> jax.Array:
  convolved: jax.Array = jax.lax.conv_general_dilated(
    x,
    kernel,
    strides,
    paddings,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )
  return convolved


_METHODS: dict[str, Callable[..., jax.Array]] = {
  'lax': _by_lax,
  'patches': _by_patches,
}
METHODS = ('auto', *_METHODS)
