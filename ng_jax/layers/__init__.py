# SPDX-License-Identifier: Apache-2.0
"""Layers of the models that read graphs."""

from ng_jax.layers.attention import RelationalAttention
from ng_jax.layers.attention import RelationalBlock
from ng_jax.layers.embed import Embedded
from ng_jax.layers.embed import FeatureProjection
from ng_jax.layers.embed import GraphEmbedding
from ng_jax.layers.features import FeatureHead
from ng_jax.layers.generator import ProbeGenerator
from ng_jax.layers.heads import pool_dense
from ng_jax.layers.heads import pool_edges
from ng_jax.layers.heads import pool_nodes
from ng_jax.layers.heads import Readout
from ng_jax.layers.identity import ActivationEmbedding
from ng_jax.layers.identity import PlaceEmbedding
from ng_jax.layers.identity import PositionEmbedding
from ng_jax.layers.linear import Deferred
from ng_jax.layers.linear import Linear
from ng_jax.layers.linear import multiplied_out
from ng_jax.layers.linear import SplitLinear
from ng_jax.layers.message import aggregate_pna
from ng_jax.layers.message import EdgeUpdate
from ng_jax.layers.message import GraphNorm
from ng_jax.layers.message import PNAConv
from ng_jax.layers.nfn import HNPLinear
from ng_jax.layers.nfn import NPLinear
from ng_jax.layers.nfn_embed import WeightSpaceEmbedding
from ng_jax.layers.nfn_pool import pool_hnp
from ng_jax.layers.nfn_pool import pool_np
from ng_jax.layers.probe import ProbeFeatures
from ng_jax.layers.weight_space import WeightSpace

__all__ = (
  'ActivationEmbedding',
  'Deferred',
  'EdgeUpdate',
  'Embedded',
  'FeatureHead',
  'FeatureProjection',
  'GraphEmbedding',
  'GraphNorm',
  'HNPLinear',
  'Linear',
  'NPLinear',
  'PNAConv',
  'PlaceEmbedding',
  'PositionEmbedding',
  'ProbeFeatures',
  'ProbeGenerator',
  'Readout',
  'RelationalAttention',
  'RelationalBlock',
  'SplitLinear',
  'WeightSpace',
  'WeightSpaceEmbedding',
  'aggregate_pna',
  'multiplied_out',
  'pool_dense',
  'pool_edges',
  'pool_hnp',
  'pool_nodes',
  'pool_np',
)
