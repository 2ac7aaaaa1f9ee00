# SPDX-License-Identifier: Apache-2.0
"""Flax modules that optimizers are tried on: an MLP, normalised CNNs, a ViT."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax.layers import linear
from ng_jax.meta import convolution

_NORMS = ('group', 'layer')
_NUM_GROUPS = 8
# As PyTorch has it.
_EPSILON = 1e-5


class Mlp(nn.Module):
  """An MLP of images with ReLU and Flax's own initialisers.

  Attributes:
    sizes: of the layers, the number of classes last.
  """

  sizes: tuple[int, ...]

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Applies the network.

    Args:
      x: [num_images, rows, columns, channels] float.

    Returns:
      [num_images, num_classes]. Jit: yes.
    """
    x = x.reshape(x.shape[0], -1)
    for i, size in enumerate(self.sizes):
      x = nn.Dense(size, name=f'dense_{i + 1}')(x if i == 0 else nn.relu(x))
    return x


class Convolution(nn.Module):
  """A convolution with bias, initialised as PyTorch does.

  Attributes:
    features: channels of the result.
    size: height and width of the kernel.
    stride: down and across.
    padding: zeros on each side.
    method: see `convolution.convolve`.
  """

  features: int
  size: int
  stride: int = 1
  padding: int = 0
  method: str = 'auto'

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Applies the layer.

    Args:
      x: [num_images, height, width, in] float.

    Returns:
      [num_images, rows, columns, features]. Jit: yes.
    """
    shape = (self.size, self.size, x.shape[-1], self.features)
    draw = linear.torch_uniform(self.size * self.size * x.shape[-1])
    return convolution.convolve(
      x,
      self.param('kernel', draw, shape),
      self.param('bias', draw, shape[-1:]),
      strides=(self.stride, self.stride),
      paddings=((self.padding, self.padding),) * 2,
      method=self.method,
    )


class NormalisedCnn(nn.Module):
  """`optimizees.small_cnn` with a normalisation between convolution and ReLU.

  Attributes:
    hidden: channels of each convolution.
    norm: 'group' (8 groups) or 'layer' (over the channels of each pixel).
    num_classes: of the labels.
    method: see `convolution.convolve`.
  """

  hidden: tuple[int, ...]
  norm: str
  num_classes: int = 10
  method: str = 'auto'

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Applies the network.

    Args:
      x: [num_images, rows, columns, channels] float.

    Returns:
      [num_images, num_classes]. Jit: yes.

    Raises:
      ValueError: unknown norm.
    """
    if self.norm not in _NORMS:
      raise ValueError(
        f'unknown norm {self.norm!r}; expected one of {list(_NORMS)}.'
      )
    for i, features in enumerate(self.hidden):
      layer = Convolution(
        features,
        3,
        stride=1 if i else 2,
        padding=1 if i else 0,
        method=self.method,
        name=f'conv_{i + 1}',
      )
      x = nn.relu(self._normalise(layer(x), f'norm_{i + 1}'))
    return linear.Linear(self.num_classes, name='linear')(
      jnp.mean(x, axis=(1, 2))
    )

  def _normalise(self, x: jax.Array, name: str) -> jax.Array:
    if self.norm == 'group':
      return nn.GroupNorm(_NUM_GROUPS, epsilon=_EPSILON, name=name)(x)
    return nn.LayerNorm(epsilon=_EPSILON, name=name)(x)


class VisionTransformer(nn.Module):
  """A small ViT: patches, learned positions, pre-norm blocks, mean over tokens.

  Attributes:
    patch_size: rows and columns of a patch; must divide the image.
    hidden_size: width of a token.
    num_layers: blocks.
    num_heads: of the attention.
    mlp_size: hidden width of the MLP of a block.
    num_classes: of the labels.
    method: of the projection of the patches, see `convolution.convolve`.
  """

  patch_size: int = 4
  hidden_size: int = 64
  num_layers: int = 2
  num_heads: int = 4
  mlp_size: int = 128
  num_classes: int = 10
  method: str = 'auto'

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Applies the network.

    Args:
      x: [num_images, rows, columns, channels] float.

    Returns:
      [num_images, num_classes]. Jit: yes.

    Raises:
      ValueError: patches that do not divide the image.
    """
    if any(size % self.patch_size for size in x.shape[1:3]):
      raise ValueError(
        f'patch_size must divide the image, {x.shape[1]} x {x.shape[2]}, got '
        f'{self.patch_size}; use 2 for images of 14 x 14.'
      )
    x = Convolution(
      self.hidden_size,
      self.patch_size,
      stride=self.patch_size,
      method=self.method,
      name='patches',
    )(x)
    x = x.reshape(x.shape[0], -1, x.shape[-1])
    normal = nn.initializers.normal(0.02)
    x = x + self.param('positions', normal, x.shape[1:])
    for i in range(self.num_layers):
      y = self._normalise(x, f'norm_{i + 1}_attention')
      heads = nn.MultiHeadDotProductAttention(
        self.num_heads, name=f'attention_{i + 1}'
      )
      x = x + heads(y, y)
      y = self._normalise(x, f'norm_{i + 1}_mlp')
      y = nn.gelu(
        nn.Dense(self.mlp_size, name=f'mlp_{i + 1}_in')(y), approximate=False
      )
      x = x + nn.Dense(self.hidden_size, name=f'mlp_{i + 1}_out')(y)
    x = jnp.mean(self._normalise(x, 'norm_out'), axis=1)
    return nn.Dense(self.num_classes, name='linear')(x)

  def _normalise(self, x: jax.Array, name: str) -> jax.Array:
    return nn.LayerNorm(epsilon=_EPSILON, name=name)(x)
