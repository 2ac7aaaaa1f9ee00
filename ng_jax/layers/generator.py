# SPDX-License-Identifier: Apache-2.0
"""A deep linear generator of probe inputs (Kahana et al., 2025, ProbeGen).

Every probe has a learned code; what turns codes into inputs is shared by all
probes and linear (no activations between its layers), so it only shapes how
probes are learned together. Images end in a tanh.
"""

from collections.abc import Sequence
import math

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax.layers import linear


class ConvTranspose(nn.Module):
  """Transposed convolution of images as PyTorch's ConvTranspose2d.

  Weights and biases are drawn from U(-1/sqrt(fan), 1/sqrt(fan)) with fan =
  features * kernel area: PyTorch stores the kernel as [in, out, height, width]
  and takes the second axis for the fan-in, here the number of *outputs*.

  Attributes:
    features: output channels.
    kernel_size: (height, width).
    stride: of both axes.
    padding: rows and columns cut off at each border.
  """

  features: int
  kernel_size: tuple[int, int]
  stride: int = 1
  padding: int = 0

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Applies the layer.

    Args:
      x: [num, height, width, channels] float.

    Returns:
      [num, (height - 1) stride + kernel - 2 padding, ..., features]. Jit: yes.
    """
    draw = linear.torch_uniform(self.features * math.prod(self.kernel_size))
    kernel = self.param(
      'kernel', draw, (*self.kernel_size, x.shape[-1], self.features)
    )
    bias = self.param('bias', draw, (self.features,))
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias)
    return bias + jax.lax.conv_transpose(
      x,
      kernel,
      (self.stride, self.stride),
      [(k - 1 - self.padding,) * 2 for k in self.kernel_size],
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


class ProbeGenerator(nn.Module):
  """Probe inputs from learned codes.

  Attributes:
    num_probes: number of codes, drawn from N(0, 1).
    input_shape: of one input. Three axes (height, width, channels) are an
      image, made by transposed convolutions from a map of one eighth of its
      size (rounded up, then cropped; 32 x 32 is made as published). Anything
      else is made by two linear layers.
    code_size: width of a code.
    width: channels of the last hidden map.
    num_layers: of the generator of images, 6, or 5 without a 3 x 3 layer at
      half the size.
  """

  num_probes: int
  input_shape: tuple[int, ...]
  code_size: int = 32
  width: int = 16
  num_layers: int = 6

  @nn.compact
  def __call__(self) -> jax.Array:
    """Makes the inputs.

    Returns:
      [num_probes, *input_shape] float32, images in (-1, 1). Jit: yes.

    Raises:
      ValueError: another number of layers.
    """
    codes = self.param(
      'codes', nn.initializers.normal(1.0), (self.num_probes, self.code_size)
    )
    if len(self.input_shape) == 3:
      return jnp.tanh(self._image(codes))
    hidden = linear.Linear(self.code_size, name='layer_0')(codes)
    values = linear.Linear(math.prod(self.input_shape), name='layer_1')(hidden)
    return values.reshape(self.num_probes, *self.input_shape)

  def _image(self, codes: jax.Array) -> jax.Array:
    *size, channels = self.input_shape
    x = codes[:, None, None]
    for i, (features, kernel, stride, padding) in enumerate(
      self._plan(size, channels)
    ):
      x = ConvTranspose(features, kernel, stride, padding, name=f'layer_{i}')(x)
    top, left = ((x.shape[i + 1] - n) // 2 for i, n in enumerate(size))
    return x[:, top : top + size[0], left : left + size[1]]

  def _plan(
    self, size: Sequence[int], channels: int
  ) -> list[tuple[int, tuple[int, int], int, int]]:
    """(features, kernel, stride, padding) of every layer."""
    if self.num_layers not in (5, 6):
      raise ValueError(
        'generator_layers must be 5 or 6, the two published generators of '
        f'images, got {self.num_layers}.'
      )
    start = (-(-size[0] // 8), -(-size[1] // 8))
    w = self.width
    middle = [(2 * w, (3, 3), 1, 1)] if self.num_layers == 6 else []
    return [
      (8 * w, start, 1, 0),
      (4 * w, (4, 4), 2, 1),
      (2 * w, (4, 4), 2, 1),
      *middle,
      (w, (4, 4), 2, 1),
      (channels, (3, 3), 1, 1),
    ]
