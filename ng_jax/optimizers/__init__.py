# SPDX-License-Identifier: Apache-2.0
"""Optimizers that are learned, as optax transformations."""

from ng_jax.optimizers.base import LearnedOptimizer
from ng_jax.optimizers.registry import create
from ng_jax.optimizers.registry import OPTIMIZERS
from ng_jax.optimizers.saving import load
from ng_jax.optimizers.saving import read
from ng_jax.optimizers.saving import save
from ng_jax.optimizers.saving import Trained
from ng_jax.optimizers.saving import trained_names

__all__ = (
  'OPTIMIZERS',
  'LearnedOptimizer',
  'Trained',
  'create',
  'load',
  'read',
  'save',
  'trained_names',
)
