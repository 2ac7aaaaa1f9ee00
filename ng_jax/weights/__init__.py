# SPDX-License-Identifier: Apache-2.0
"""Pure functions of (spec, weights): statistics, augmentation, folding."""

from ng_jax.weights.augment import Augmentation
from ng_jax.weights.fold import fold_batch_norm
from ng_jax.weights.statistics import Statistics
from ng_jax.weights.summary import tensor_statistics

__all__ = (
  'Augmentation',
  'Statistics',
  'fold_batch_norm',
  'tensor_statistics',
)
