# SPDX-License-Identifier: Apache-2.0
"""Networks that are trained by optimizers: hashable, with init, apply and spec.

Their weights are the params tree that an optimizer sees, and the leaf paths of
their specs are those of that tree. Kernels are [height, width, in, out].
"""

from collections.abc import Mapping
import dataclasses
import functools
from typing import Any, Protocol

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import networks
from ng_jax import specs
from ng_jax.meta import convolution
from ng_jax.networks import architecture


class Network(Protocol):
  """What a task needs of a network; it is hashable as well."""

  @property
  def spec(self) -> specs.NetworkSpec | None:
    """Spec of the weights, or None where there is none."""

  def init(self, key: jax.Array) -> specs.Weights:
    """Draws weights. Jit: yes."""

  def apply(self, weights: specs.Weights, x: jax.Array) -> jax.Array:
    """[num_images, rows, columns, channels] to logits. Jit: yes."""


@dataclasses.dataclass(frozen=True)
class Cnn(networks.Cnn):
  """`networks.Cnn` with convolutions that are fast inside a scan.

  Attributes: those of `networks.Cnn`, and
    method: of the convolutions, see `convolution.convolve`.
  """

  method: str = 'auto'

  def convolve(
    self, i: int, layer: Mapping[str, jax.Array], x: jax.Array
  ) -> jax.Array:
    """As `networks.Cnn.convolve`, by the method. Jit: yes, with i static."""
    down, across = architecture.pair(self.paddings[i])
    return convolution.convolve(
      x,
      layer['kernel'],
      layer['bias'],
      strides=architecture.pair(self.strides[i]),
      paddings=((down, down), (across, across)),
      method=self.method,
    )


@dataclasses.dataclass(frozen=True)
class Mlp(networks.Mlp):
  """`networks.Mlp` of images, whose pixels are (row, column, channel)."""

  def apply(self, weights: specs.Weights, x: jax.Array) -> jax.Array:
    """Output of the network.

    Args:
      weights: of one network.
      x: [num_images, rows, columns, channels] float.

    Returns:
      [num_images, num_classes]. Jit: yes.
    """
    return super().apply(weights, x.reshape(x.shape[0], -1))


def small_cnn(
  num_channels: int,
  hidden: tuple[int, ...],
  *,
  num_classes: int = 10,
  method: str = 'auto',
) -> Cnn:
  """The CNN of the tasks: 3 x 3 kernels, ReLU, mean over space, linear layer.

  The first convolution has stride 2 and no padding, the others keep the size.

  Args:
    num_channels: of the images.
    hidden: channels of each convolution; (16, 32, 32) on Fashion-MNIST and
      (32, 64, 64) on CIFAR-10 in the paper, 14,378 and 56,970 weights.
    num_classes: of the labels.
    method: see `convolution.convolve`.

  Returns:
    The network. Jit: static.
  """
  num_others = len(hidden) - 1
  return Cnn(
    channels=(num_channels, *hidden),
    kernel_sizes=(3,) * len(hidden),
    num_classes=num_classes,
    strides=(2, *(1,) * num_others),
    paddings=(0, *(1,) * num_others),
    method=method,
  )


@dataclasses.dataclass(frozen=True)
class LinenNetwork:
  """A Flax Linen module with one collection, its parameters.

  Attributes:
    module: a hashable module, [num_images, *input_shape] to logits. Where it
      has a field `method`, its spec is inferred with method='lax'.
    input_shape: (rows, columns, channels).
  """

  module: nn.Module
  input_shape: tuple[int, ...]

  @property
  def spec(self) -> specs.NetworkSpec:
    """Spec of the weights, inferred once."""
    return _infer(self.module, self.input_shape)

  def init(self, key: jax.Array) -> specs.Weights:
    """Draws weights as the module does.

    Args:
      key: typed PRNG key.

    Returns:
      The parameters, float32. Jit: yes.
    """
    example = jnp.zeros((1, *self.input_shape))
    weights: specs.Weights = self.module.init(key, example)['params']
    return weights

  def apply(self, weights: specs.Weights, x: jax.Array) -> jax.Array:
    """Output of the network.

    Args:
      weights: of one network.
      x: [num_images, *input_shape] float.

    Returns:
      [num_images, num_classes]. Jit: yes.
    """
    logits: Any = self.module.apply({'params': weights}, x)
    return logits


@functools.cache
def _infer(
  module: nn.Module, input_shape: tuple[int, ...]
) -> specs.NetworkSpec:
  """Reads the module in the form that inference knows: lax convolutions."""
  if hasattr(module, 'method'):
    module = module.clone(method='lax')
  example = np.zeros((1, *input_shape), np.float32)
  shapes = jax.eval_shape(module.init, jax.random.key(0), example)
  zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
  return specs.infer(module, zeros, example)


def count_weights(network: Network) -> int:
  """Number of scalars that an optimizer updates.

  Args:
    network: of a task.

  Returns:
    Sum of the leaf sizes. Jit: static, nothing is computed.
  """
  shapes: Any = jax.eval_shape(network.init, jax.random.key(0))
  return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))
