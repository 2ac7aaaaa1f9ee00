# SPDX-License-Identifier: Apache-2.0
"""SIRENs in NumPy, one network and one pixel at a time: slow and plain."""

import numpy as np


def render(network, weights, image_shape):
  """Pixels [rows, columns, channels] of one network, on the scale of images."""
  rows, columns = image_shape
  image = np.zeros((rows, columns, network.layer_sizes[-1]))
  for row in range(rows):
    for column in range(columns):
      # Coordinates are kept in float32.
      y = float(np.float32(-1 + 2 * row / (rows - 1)))
      x = float(np.float32(-1 + 2 * column / (columns - 1)))
      point = (x, y) if network.variant == 'dws' else (y, x)
      image[row, column] = apply(network, weights, point)
  return image


def apply(network, weights, point):
  """Pixel of one point: 0.5 + linear, or from [-1, 1] to [0, 1]."""
  values = np.array(point, np.float64)
  num_layers = len(network.layer_sizes) - 1
  for i in range(1, num_layers + 1):
    layer = weights[f'layer_{i}']
    values = values @ np.asarray(layer['kernel'], np.float64) + layer['bias']
    if i < num_layers:
      values = np.sin(network.w0 * values)
  return values + 0.5 if network.variant == 'dws' else (values + 1) / 2


def squared_errors(network, weights, target):
  """Mean over pixels and channels of each image, white being 1."""
  errors = []
  for number, image in enumerate(np.asarray(target, np.float64) / 255):
    one = {
      name: {kind: np.asarray(x)[number] for kind, x in layer.items()}
      for name, layer in weights.items()
    }
    drawn = render(network, one, image.shape[:2])
    errors.append(((drawn - image) ** 2).mean())
  return np.array(errors)
