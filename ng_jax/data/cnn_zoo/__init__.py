# SPDX-License-Identifier: Apache-2.0
"""CNN zoos: convolutional networks trained on images, with their accuracies.

    settings = cnn_zoo.ZooSettings(source='digits', ...)
    zoo = cnn_zoo.make_or_load(settings, data_dir='data')
    zoo.splits['train'].accuracy  # [num_checkpoints]

A zoo lies in a folder named by a hash of its settings and is made once.
"""

from ng_jax.data.cnn_zoo.loading import CnnZoo
from ng_jax.data.cnn_zoo.loading import load
from ng_jax.data.cnn_zoo.loading import make_or_load
from ng_jax.data.cnn_zoo.loading import read_card
from ng_jax.data.cnn_zoo.loading import ZooSplit
from ng_jax.data.cnn_zoo.making import make
from ng_jax.data.cnn_zoo.settings import ZooSettings

__all__ = (
  'CnnZoo',
  'ZooSettings',
  'ZooSplit',
  'load',
  'make',
  'make_or_load',
  'read_card',
)
