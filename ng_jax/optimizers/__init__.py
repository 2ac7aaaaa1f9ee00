# SPDX-License-Identifier: Apache-2.0
"""Optimizers that are learned, as optax transformations."""

from ng_jax.optimizers.base import LearnedOptimizer
from ng_jax.optimizers.registry import create
from ng_jax.optimizers.registry import OPTIMIZERS

__all__ = (
  'OPTIMIZERS',
  'LearnedOptimizer',
  'create',
)
