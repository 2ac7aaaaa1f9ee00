# SPDX-License-Identifier: Apache-2.0
"""Small Flax Linen networks, as users write them."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class Mlp(nn.Module):
  """A multi-layer perceptron of two activation functions."""

  @nn.compact
  def __call__(self, x):
    x = nn.gelu(nn.Dense(6)(x), approximate=False)
    x = nn.silu(nn.Dense(5, use_bias=False)(x))
    return nn.Dense(3)(x)


class FlatCnn(nn.Module):
  """Convolutions, max pooling, and a dense layer on the flat image."""

  @nn.compact
  def __call__(self, x):
    x = nn.leaky_relu(nn.Conv(4, (3, 2), strides=2)(x))
    x = nn.max_pool(x, (2, 2), (1, 1), padding='SAME')
    x = nn.elu(nn.Conv(3, (1, 1))(x))
    x = x.reshape(x.shape[0], -1)
    return nn.Dense(2)(nn.tanh(nn.Dense(5)(x)))


class PooledCnn(nn.Module):
  """Convolutions of grey images, and global average pooling."""

  @nn.compact
  def __call__(self, x):
    x = nn.relu(nn.Conv(4, (3, 3), padding='CIRCULAR')(x))
    x = nn.avg_pool(x, (2, 2), (2, 2))
    x = nn.softplus(nn.Conv(5, (3, 3))(x))
    return nn.Dense(2)(jnp.mean(x, axis=(1, 2)))


class ResNet(nn.Module):
  """Residual blocks with BatchNorm; the second one projects its input."""

  @nn.compact
  def __call__(self, x, *, train):
    def norm(x):
      return nn.BatchNorm(use_running_average=not train)(x)

    x = nn.relu(norm(nn.Conv(4, (3, 3), use_bias=False)(x)))
    for size in (4, 6):
      y = nn.relu(norm(nn.Conv(5, (3, 3), use_bias=False)(x)))
      y = norm(nn.Conv(size, (3, 3), use_bias=False)(y))
      if x.shape != y.shape:
        x = norm(nn.Conv(size, (1, 1), use_bias=False)(x))
      x = nn.relu(x + y)
    return nn.Dense(2)(jnp.mean(x, axis=(1, 2)))


class GroupNormNet(nn.Module):
  """A pre-activation residual block with GroupNorm."""

  @nn.compact
  def __call__(self, x):
    x = nn.Conv(6, (3, 3))(x)
    y = nn.relu(nn.GroupNorm(num_groups=3)(x))
    x = x + nn.Conv(6, (3, 3))(y)
    x = nn.relu(nn.GroupNorm(num_groups=None, group_size=2)(x))
    return nn.Dense(2)(jnp.max(x, axis=(1, 2)))


class NormedInput(nn.Module):
  """LayerNorm of the inputs, and InstanceNorm."""

  @nn.compact
  def __call__(self, x):
    x = nn.Conv(4, (3, 3))(nn.LayerNorm()(x))
    x = nn.relu(nn.InstanceNorm()(x))
    return nn.Dense(2)(jnp.mean(x, axis=(1, 2)))


class LayerNormNet(nn.Module):
  """Residual blocks with LayerNorm before, and after without parameters."""

  @nn.compact
  def __call__(self, x):
    x = nn.Dense(6)(x)
    y = nn.LayerNorm()(x)
    x = x + nn.Dense(6)(nn.sigmoid(nn.Dense(5)(y)))
    x = nn.LayerNorm(use_bias=False, use_scale=False)(x)
    return nn.Dense(2)(nn.RMSNorm()(x))


class VisionTransformer(nn.Module):
  """Patches, position embeddings, pre-norm blocks; class token or mean."""

  class_token: bool

  @nn.compact
  def __call__(self, x):
    x = nn.Conv(6, (2, 2), strides=2)(x)
    x = x.reshape(x.shape[0], -1, x.shape[-1])
    normal = nn.initializers.normal()
    if self.class_token:
      token = self.param('token', normal, (1, 1, 6))
      token = jnp.broadcast_to(token, (x.shape[0], 1, 6))
      x = jnp.concatenate([token, x], axis=1)
    x = x + self.param('position', normal, x.shape[1:])
    y = nn.LayerNorm()(x)
    x = x + nn.MultiHeadDotProductAttention(num_heads=2, name='heads')(y, y)
    y = nn.LayerNorm()(x)
    x = x + nn.Dense(6)(nn.gelu(nn.Dense(5)(y)))
    x = nn.LayerNorm()(x)
    x = x[:, 0] if self.class_token else jnp.mean(x, axis=1)
    return nn.Dense(2)(x)


def init(module, x, **options):
  """Variables of a module, all zero; nothing is compiled."""
  shapes = jax.eval_shape(
    lambda key, x: module.init(key, x, **options), jax.random.key(0), x
  )
  return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
