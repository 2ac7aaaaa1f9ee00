# SPDX-License-Identifier: Apache-2.0
"""Networks that read networks."""

from ng_jax.models.editing import apply_update
from ng_jax.models.editing import GNNEditor
from ng_jax.models.editing import TransformerEditor
from ng_jax.models.gnn import NeuralGraphGNN
from ng_jax.models.registry import create
from ng_jax.models.registry import MODELS
from ng_jax.models.transformer import NeuralGraphTransformer

__all__ = (
  'GNNEditor',
  'MODELS',
  'NeuralGraphGNN',
  'NeuralGraphTransformer',
  'TransformerEditor',
  'apply_update',
  'create',
)
