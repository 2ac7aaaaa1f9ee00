# SPDX-License-Identifier: Apache-2.0
"""Random architectures of the CNN Wild Park (paper, section 4.2)."""

from collections.abc import Sequence

import numpy as np

from ng_jax.networks import cnn

_ACTIVATIONS = ('relu', 'gelu', 'tanh', 'sigmoid', 'leaky_relu', 'none')


def draw_cnn(
  rng: np.random.Generator,
  *,
  num_convolutions: Sequence[int] = (2, 3, 4, 5),
  channels: Sequence[int] = (4, 8, 16, 32),
  kernel_sizes: Sequence[int] = (3, 5, 7),
  layer_activations: Sequence[str] = _ACTIVATIONS,
  input_channels: int = 3,
  num_classes: int = 10,
) -> cnn.Cnn:
  """Draws an architecture, everything uniform and independent per layer.

  Convolution i takes its residual from one of -1 (none), 0, ..., i - 2. The
  reference draws from a global generator without a seed; here the generator is
  an argument.

  Args:
    rng: numpy generator; equal seeds give equal architectures.
    num_convolutions: choices of depth.
    channels: choices of width.
    kernel_sizes: odd choices; strides are 1 and paddings keep the size.
    layer_activations: choices of activation.
    input_channels: of the images.
    num_classes: outputs.

  Returns:
    A network of at most input_channels + max(num_convolutions) * max(channels)
    + num_classes nodes, 173 by default. Jit: no, host only.
  """
  num = int(rng.choice(num_convolutions))
  widths = rng.choice(channels, num)
  sizes = rng.choice(kernel_sizes, num)
  return cnn.Cnn(
    channels=(input_channels, *(int(width) for width in widths)),
    kernel_sizes=tuple(int(size) for size in sizes),
    layer_activations=tuple(
      str(name) for name in rng.choice(layer_activations, num)
    ),
    num_classes=num_classes,
    residual=tuple(int(rng.integers(-1, max(i - 1, 0))) for i in range(num)),
  )
