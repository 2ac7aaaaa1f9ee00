# SPDX-License-Identifier: Apache-2.0
"""Layers of the models that read graphs."""

from ng_jax.layers.attention import RelationalAttention
from ng_jax.layers.attention import RelationalBlock
from ng_jax.layers.embed import FeatureProjection
from ng_jax.layers.embed import GraphEmbedding
from ng_jax.layers.heads import pool_edges
from ng_jax.layers.heads import pool_nodes
from ng_jax.layers.heads import Readout
from ng_jax.layers.identity import ActivationEmbedding
from ng_jax.layers.identity import PlaceEmbedding
from ng_jax.layers.identity import PositionEmbedding
from ng_jax.layers.linear import Linear
from ng_jax.layers.linear import SplitLinear
from ng_jax.layers.message import aggregate_pna
from ng_jax.layers.message import EdgeUpdate
from ng_jax.layers.message import GraphNorm
from ng_jax.layers.message import PNAConv
from ng_jax.layers.probe import ProbeFeatures

__all__ = (
  'ActivationEmbedding',
  'EdgeUpdate',
  'FeatureProjection',
  'GraphEmbedding',
  'GraphNorm',
  'Linear',
  'PNAConv',
  'PlaceEmbedding',
  'PositionEmbedding',
  'ProbeFeatures',
  'Readout',
  'RelationalAttention',
  'RelationalBlock',
  'SplitLinear',
  'aggregate_pna',
  'pool_edges',
  'pool_nodes',
)
