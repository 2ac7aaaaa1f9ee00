# SPDX-License-Identifier: Apache-2.0
"""Estimators of the gradient of a meta-loss, behind one interface."""

from ng_jax.meta.estimators.base import Estimator
from ng_jax.meta.estimators.full_es import FullEs
from ng_jax.meta.estimators.greedy import Greedy
from ng_jax.meta.estimators.greedy import GreedyWindows
from ng_jax.meta.estimators.pes import Pes
from ng_jax.meta.estimators.registry import create
from ng_jax.meta.estimators.registry import names
from ng_jax.meta.estimators.registry import options
from ng_jax.meta.estimators.truncated_backprop import TruncatedBackprop
from ng_jax.meta.estimators.truncated_es import TruncatedEs

__all__ = [
  'create',
  'Estimator',
  'FullEs',
  'Greedy',
  'GreedyWindows',
  'names',
  'options',
  'Pes',
  'TruncatedBackprop',
  'TruncatedEs',
]
