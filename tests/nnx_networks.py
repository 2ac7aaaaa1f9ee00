# SPDX-License-Identifier: Apache-2.0
"""The networks of `linen_networks`, or their like, in Flax NNX."""

from flax import nnx
import jax
import jax.numpy as jnp


class Mlp(nnx.Module):
  """A multi-layer perceptron with dropout."""

  def __init__(self, rngs):
    self.layers = nnx.List(
      [nnx.Linear(4, 6, rngs=rngs), nnx.Linear(6, 5, rngs=rngs)]
    )
    self.dropout = nnx.Dropout(0.5, rngs=rngs)
    self.head = nnx.Linear(5, 3, use_bias=False, rngs=rngs)

  def __call__(self, x):
    for layer in self.layers:
      x = self.dropout(nnx.gelu(layer(x)))
    return self.head(x)


class FlatCnn(nnx.Module):
  """A convolution, max pooling, and dense layers on the flat image."""

  def __init__(self, rngs):
    self.conv = nnx.Conv(2, 4, (3, 3), rngs=rngs)
    self.hidden = nnx.Linear(4 * 3 * 2, 5, rngs=rngs)
    self.head = nnx.Linear(5, 2, rngs=rngs)

  def __call__(self, x):
    x = nnx.max_pool(nnx.relu(self.conv(x)), (2, 2), (2, 2))
    return self.head(nnx.tanh(self.hidden(x.reshape(x.shape[0], -1))))


class PooledCnn(nnx.Module):
  """Convolutions and global average pooling."""

  def __init__(self, rngs):
    self.first = nnx.Conv(2, 4, (3, 3), rngs=rngs)
    self.second = nnx.Conv(4, 5, (3, 3), padding='VALID', rngs=rngs)
    self.head = nnx.Linear(5, 2, rngs=rngs)

  def __call__(self, x):
    x = nnx.silu(self.second(nnx.relu(self.first(x))))
    return self.head(jnp.mean(x, axis=(1, 2)))


class ResNet(nnx.Module):
  """A residual block with BatchNorm."""

  def __init__(self, rngs):
    self.stem = nnx.Conv(2, 4, (3, 3), rngs=rngs)
    self.first = nnx.Conv(4, 5, (3, 3), use_bias=False, rngs=rngs)
    self.first_norm = nnx.BatchNorm(5, rngs=rngs)
    self.second = nnx.Conv(5, 4, (3, 3), use_bias=False, rngs=rngs)
    self.second_norm = nnx.BatchNorm(4, rngs=rngs)
    self.head = nnx.Linear(4, 2, rngs=rngs)

  def __call__(self, x):
    x = nnx.relu(self.stem(x))
    y = nnx.relu(self.first_norm(self.first(x)))
    x = nnx.relu(x + self.second_norm(self.second(y)))
    return self.head(jnp.mean(x, axis=(1, 2)))


class NormNet(nnx.Module):
  """A dense layer, a norm, tanh, and a head."""

  def __init__(self, norm, rngs):
    self.first = nnx.Linear(4, 6, rngs=rngs)
    self.norm = norm(6, rngs=rngs)
    self.head = nnx.Linear(6, 2, rngs=rngs)

  def __call__(self, x):
    return self.head(nnx.tanh(self.norm(self.first(x))))


def group_norm(size, rngs):
  """GroupNorm of three groups."""
  return nnx.GroupNorm(size, num_groups=3, rngs=rngs)


class VisionTransformer(nnx.Module):
  """Patches, a position embedding, one pre-norm block, mean over tokens."""

  def __init__(self, rngs):
    self.patches = nnx.Conv(2, 6, (2, 2), strides=2, rngs=rngs)
    self.position = nnx.Param(jax.random.normal(rngs.params(), (1, 6, 6)))
    self.norms = nnx.List([nnx.LayerNorm(6, rngs=rngs) for _ in range(3)])
    self.heads = nnx.MultiHeadAttention(
      num_heads=2, in_features=6, decode=False, rngs=rngs
    )
    self.up = nnx.Linear(6, 5, rngs=rngs)
    self.down = nnx.Linear(5, 6, rngs=rngs)
    self.head = nnx.Linear(6, 2, rngs=rngs)

  def __call__(self, x):
    x = self.patches(x)
    x = x.reshape(x.shape[0], -1, x.shape[-1]) + self.position[...]
    x = x + self.heads(self.norms[0](x))
    x = x + self.down(nnx.gelu(self.up(self.norms[1](x))))
    return self.head(jnp.mean(self.norms[2](x), axis=1))


def make(kind, *arguments):
  """A module in the state in which it is used; its arrays are only shapes."""
  module = nnx.eval_shape(lambda: kind(*arguments, nnx.Rngs(0)))
  module.eval()
  return module
