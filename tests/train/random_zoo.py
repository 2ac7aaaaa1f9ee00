# SPDX-License-Identifier: Apache-2.0
"""A zoo of untrained CNNs whose 'accuracy' is a function of their weights."""

import dataclasses
import pathlib

import jax
import numpy as np

from ng_jax import networks
from ng_jax.data import cnn_zoo
from ng_jax.data.cnn_zoo import loading

_SIZES = {'train': 12, 'validation': 5, 'test': 7}
_SHAPES = (
  networks.Cnn((1, 2, 3), (3, 3), ('relu', 'tanh'), num_classes=3),
  networks.Cnn((1, 4, 2), (1, 3), ('none', 'relu'), num_classes=3),
  networks.Cnn(
    (1, 2, 2, 3),
    (3, 1, 3),
    ('tanh', 'relu', 'gelu'),
    num_classes=3,
    residual=(-1, -1, 0),
  ),
)


def make(*, num_shapes=3, flip_activations=False, flip_every=1):
  """Makes the zoo; its networks depend on their number alone.

  With flip_activations, every so many have other activations.
  """
  splits, number = {}, 0
  for name, size in _SIZES.items():
    found = [_draw(number + i, num_shapes) for i in range(size)]
    if flip_activations:
      found = [
        (_flip(network) if i % flip_every == 0 else network, weights)
        for i, (network, weights) in enumerate(found)
      ]
    targets = [1 / (1 + np.exp(-3 * _slope(w))) for _, w in found]
    numbers = np.arange(number, number + size, dtype=np.int32)
    splits[name] = loading.ZooSplit(
      network_specs=tuple(network.spec for network, _ in found),
      weights=tuple(weights for _, weights in found),
      accuracy=np.array(targets, np.float32),
      run=numbers,
      epoch=np.zeros(size, np.int32),
      names=tuple(f'network {i}' for i in numbers),
    )
    number += size
  return cnn_zoo.CnnZoo('random', splits, {}, pathlib.Path('random'))


def _draw(number, num_shapes):
  network = _SHAPES[number % num_shapes]
  return network, jax.tree.map(np.asarray, network.init(jax.random.key(number)))


def _flip(network):
  names = {'relu': 'tanh', 'tanh': 'relu', 'none': 'gelu', 'gelu': 'none'}
  return dataclasses.replace(
    network,
    layer_activations=tuple(names[n] for n in network.layer_activations),
  )


def _slope(weights):
  return float(np.mean(weights['linear']['bias'])) * 5
