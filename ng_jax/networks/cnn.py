# SPDX-License-Identifier: Apache-2.0
"""Convolutional networks that are read: init, apply, activations, spec.

A chain of convolutions with residual connections between them, then one linear
layer, as in the CNN Wild Park and the Small CNN Zoo (paper, section 4.2). Each
convolution adds the residual on the channels that both layers have, then
applies its activation; the map is averaged over space or flattened before the
linear layer.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ng_jax import specs
from ng_jax.networks import architecture
from ng_jax.networks import mlp


@dataclasses.dataclass(frozen=True)
class Cnn(architecture.CnnArchitecture):
  """Convolutions, residual connections, one linear layer.

  Attributes: those of `CnnArchitecture`: channels, kernel_sizes,
    layer_activations, num_classes, residual, strides, paddings, reduction,
    map_size.
  """

  def init(self, key: jax.Array) -> specs.Weights:
    """Draws weights as PyTorch does: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    Args:
      key: typed PRNG key.

    Returns:
      {'conv_l': {'kernel': [height, width, in, out], 'bias': [out]}, 'linear':
      {'kernel': [in, num_classes], 'bias'}} float32; `in` of the linear layer
      is height * width * channels of the last map after 'flatten'. Jit: yes.
    """
    spec = self.spec
    arrays = {}
    for i, block in enumerate(spec.blocks):
      if block.type == 'skip':
        continue
      fan_in = spec.neuron_set(block.source).size * block.num_channels
      bound = fan_in**-0.5
      for j, leaf in enumerate(architecture.layer_leaves(block)):
        arrays[leaf.path] = jax.random.uniform(
          jax.random.fold_in(key, 2 * i + j),
          spec.leaf_shape(leaf),
          minval=-bound,
          maxval=bound,
        )
    return specs.from_leaf_arrays(arrays)

  def read_torch(
    self, kernels: Sequence[Any], biases: Sequence[Any]
  ) -> dict[str, Any]:
    """Reads PyTorch's arrays of the same network.

    Args:
      kernels: in layer order, [*batch, out, in, height, width] of the
        convolutions, then [*batch, num_classes, in] of the linear layer; after
        'flatten' its `in` runs over (channel, row, column), as in PyTorch.
      biases: in layer order, [*batch, out].

    Returns:
      Weights as `init` makes them. Jit: yes.

    Raises:
      ValueError: arrays that do not fit the network.
    """
    names = [f'conv_{i + 1}' for i in range(self.num_convolutions)]
    names.append('linear')
    if not len(kernels) == len(biases) == len(names):
      raise ValueError(
        f'kernels and biases must have one array per layer, {len(names)}, got '
        f'{len(kernels)} kernels and {len(biases)} biases.'
      )
    *convolutions, linear = map(jnp.asarray, kernels)
    moved = [jnp.moveaxis(k, (-4, -3), (-1, -2)) for k in convolutions]
    if self.reduction == 'flatten' and self.map_size:
      shape = (*linear.shape[:-1], self.channels[-1], *self.map_size)
      linear = jnp.moveaxis(linear.reshape(shape), -3, -1)
      linear = linear.reshape(*shape[:-3], -1)
    moved.append(jnp.swapaxes(linear, -1, -2))
    weights = {
      name: {'kernel': kernel, 'bias': jnp.asarray(bias)}
      for name, kernel, bias in zip(names, moved, biases, strict=True)
    }
    specs.check_weights(self.spec, weights)
    return weights

  def activations(
    self, weights: specs.Weights, x: jax.Array
  ) -> tuple[jax.Array, ...]:
    """Post-activation values of every neuron set, averaged over space.

    Args:
      weights: leaves [*batch, ...] float.
      x: [*batch or nothing, num_images, height, width, channels] float.

    Returns:
      One array [*batch, num_images, n_l] per neuron set; the first is the mean
      of `x` itself (without batch axes where x has none), the last the output.
      Jit: yes.
    """
    if weights['linear']['bias'].ndim > 1:
      in_axes = (0, 0 if x.ndim > 4 else None)
      inner = jax.vmap(self.activations, in_axes)(weights, x)
      own = inner[0] if x.ndim > 4 else jnp.mean(x, axis=(-3, -2))
      return (own, *inner[1:])
    maps = self.maps(weights, x)
    last = maps[-1]
    if self.reduction == 'flatten':
      flat = last.reshape(last.shape[0], -1)
    else:
      flat = jnp.mean(last, axis=(1, 2))
    logits = flat @ weights['linear']['kernel'] + weights['linear']['bias']
    return (*(jnp.mean(values, axis=(1, 2)) for values in maps), logits)

  def apply(self, weights: specs.Weights, x: jax.Array) -> jax.Array:
    """Output of the network.

    Args:
      weights: leaves [*batch, ...] float.
      x: [*batch or nothing, num_images, height, width, channels] float.

    Returns:
      [*batch, num_images, num_classes]. Jit: yes.
    """
    return self.activations(weights, x)[-1]

  def maps(self, weights: specs.Weights, x: jax.Array) -> list[jax.Array]:
    """The images and the activated map of every convolution.

    Args:
      weights: of one network.
      x: [num_images, height, width, channels] float.

    Returns:
      One array [num_images, height_l, width_l, n_l] per set but the outputs.
      Jit: yes.

    Raises:
      ValueError: an activation that cannot be run.
    """
    maps = [x]
    for i, name in enumerate(self.layer_activations):
      if name not in mlp.ACTIVATION_FUNCTIONS:
        raise ValueError(
          f'activation {name!r} of convolution {i} cannot be run; give one of '
          f'{sorted(mlp.ACTIVATION_FUNCTIONS)} in layer_activations.'
        )
      x = self.convolve(i, weights[f'conv_{i + 1}'], x)
      if self.residual[i] >= 0:
        added = maps[self.residual[i] + 1]
        shared = min(added.shape[-1], x.shape[-1])
        missing = [(0, 0)] * 3 + [(0, x.shape[-1] - shared)]
        x = x + jnp.pad(added[..., :shared], missing)
      x = mlp.ACTIVATION_FUNCTIONS[name](x)
      maps.append(x)
    return maps

  def convolve(
    self, i: int, layer: Mapping[str, jax.Array], x: jax.Array
  ) -> jax.Array:
    """Convolution number i and its bias; subclasses may compute it otherwise.

    Args:
      i: from 0.
      layer: {'kernel': [height, width, in, out], 'bias': [out]}.
      x: [num_images, height, width, in] float.

    Returns:
      [num_images, rows, columns, out], before residual and activation. Jit:
      yes, with i static.
    """
    convolved: jax.Array = jax.lax.conv_general_dilated(
      x,
      layer['kernel'],
      architecture.pair(self.strides[i]),
      [(p, p) for p in architecture.pair(self.paddings[i])],
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    return convolved + layer['bias']
