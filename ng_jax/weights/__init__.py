# SPDX-License-Identifier: Apache-2.0
"""Pure functions of (spec, weights): statistics and augmentation."""

from ng_jax.weights.augment import Augmentation
from ng_jax.weights.statistics import Statistics
from ng_jax.weights.summary import tensor_statistics

__all__ = ('Augmentation', 'Statistics', 'tensor_statistics')
