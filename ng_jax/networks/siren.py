# SPDX-License-Identifier: Apache-2.0
"""SIRENs, the implicit neural representations that are read.

Two variants are in use and differ in everything but the sine (spec 6.1, 6.2):

* 'dws' (Navon et al., 2023): pixels in [0, 1], 0.5 added to the output, points
  are (x, y), zero biases, the first layer initialised like the other sine
  layers.
* 'nfn' (Zhou et al., 2023): pixels in [-1, 1], no shift, points are (row,
  column), the first layer initialised with U(-1/fan_in, 1/fan_in), PyTorch
  biases.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import numerics
from ng_jax import specs

VARIANTS = ('dws', 'nfn')


@dataclasses.dataclass(frozen=True)
class Siren:
  """A sine network from pixel coordinates to pixel values.

  Attributes:
    layer_sizes: (coordinates, hidden widths..., channels).
    variant: 'dws' or 'nfn', see the module's docstring.
    w0: frequency of the sine, sin(w0 (x W + b)), in every hidden layer.
  """

  layer_sizes: tuple[int, ...] = (2, 32, 32, 1)
  variant: str = 'dws'
  w0: float = 30.0

  def __post_init__(self) -> None:
    if self.variant not in VARIANTS:
      raise ValueError(
        f'unknown SIREN variant {self.variant!r}; expected one of '
        f'{sorted(VARIANTS)}.'
      )

  @property
  def spec(self) -> specs.NetworkSpec:
    """Spec of the weights."""
    return specs.mlp(self.layer_sizes, 'sine')

  @property
  def output_shift(self) -> float:
    """What is added to the linear output: 0.5 for 'dws', 0 for 'nfn'."""
    return 0.5 if self.variant == 'dws' else 0.0

  def init(self, key: jax.Array) -> specs.Weights:
    """Draws the initial weights of the variant.

    Args:
      key: typed PRNG key.

    Returns:
      {'layer_l': {'kernel': [n_(l-1), n_l], 'bias': [n_l]}} float32. Jit: yes.
    """
    weights = {}
    last = len(self.layer_sizes) - 1
    for i in range(1, last + 1):
      fan_in, size = self.layer_sizes[i - 1 : i + 1]
      kernel_key, bias_key = jax.random.split(jax.random.fold_in(key, i))
      kernel_bound = math.sqrt(6.0 / fan_in) / self.w0
      bias_bound = fan_in**-0.5
      if self.variant == 'dws' and i < last:
        bias_bound = 0.0
      if self.variant == 'dws' and i == last:
        kernel_bound = fan_in**-0.5
      if self.variant == 'nfn' and i == 1:
        kernel_bound = 1.0 / fan_in
      weights[f'layer_{i}'] = {
        'kernel': jax.random.uniform(
          kernel_key, (fan_in, size), minval=-kernel_bound, maxval=kernel_bound
        ),
        'bias': jax.random.uniform(
          bias_key, (size,), minval=-bias_bound, maxval=bias_bound
        ),
      }
    return weights

  def activations(
    self, weights: specs.Weights, x: jax.Array
  ) -> tuple[jax.Array, ...]:
    """Values of every neuron set: the points, the sines, the shifted output.

    Args:
      weights: leaves [*batch, ...] float.
      x: [*batch or nothing, num_points, n_0] float, coordinates in [-1, 1].

    Returns:
      One array [*batch, num_points, n_l] per neuron set l = 0..L. Jit: yes.
    """
    values = [x]
    last = len(self.layer_sizes) - 1
    for i in range(1, last + 1):
      layer = weights[f'layer_{i}']
      x = x @ layer['kernel'] + layer['bias'][..., None, :]
      if i < last:
        x, _ = numerics.sin_cos(self.w0 * x)
      else:
        x = x + self.output_shift
      values.append(x)
    return tuple(values)

  def apply(self, weights: specs.Weights, x: jax.Array) -> jax.Array:
    """Pixel values at given points.

    Args:
      weights: leaves [*batch, ...] float.
      x: [*batch or nothing, num_points, n_0] float, coordinates in [-1, 1].

    Returns:
      [*batch, num_points, n_L], not clipped. Jit: yes.
    """
    return self.activations(weights, x)[-1]

  def coordinates(self, image_shape: tuple[int, int]) -> np.ndarray:
    """Points of the pixels of an image, in row-major order.

    Args:
      image_shape: (rows, columns).

    Returns:
      [rows * columns, 2] float32 in [-1, 1], corners included: (x, y) for
      'dws', (row, column) for 'nfn'. Jit: static.
    """
    rows, columns = image_shape
    row, column = np.meshgrid(
      np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing='ij'
    )
    pair = (column, row) if self.variant == 'dws' else (row, column)
    return np.stack([p.reshape(-1) for p in pair], axis=-1).astype(np.float32)

  def render(
    self, weights: specs.Weights, image_shape: tuple[int, int]
  ) -> jax.Array:
    """Draws the image that the weights represent.

    Args:
      weights: leaves [*batch, ...] float.
      image_shape: (rows, columns).

    Returns:
      [*batch, rows, columns, n_L] in the variant's pixel range, not clipped.
      Jit: yes, with the shape static.
    """
    pixels = self.apply(weights, jnp.asarray(self.coordinates(image_shape)))
    return pixels.reshape(*pixels.shape[:-2], *image_shape, pixels.shape[-1])

  def render_pixels(
    self, weights: specs.Weights, image_shape: tuple[int, int]
  ) -> jax.Array:
    """As `render`, on the scale where 0 is black and 1 is white.

    Args:
      weights: leaves [*batch, ...] float.
      image_shape: (rows, columns).

    Returns:
      [*batch, rows, columns, n_L], not clipped; 'nfn' draws in [-1, 1], which
      is mapped to [0, 1]. Jit: yes, with the shape static.
    """
    values = self.render(weights, image_shape)
    return values if self.variant == 'dws' else 0.5 * (values + 1.0)
