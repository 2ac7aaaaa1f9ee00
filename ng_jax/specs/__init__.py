# SPDX-License-Identifier: Apache-2.0
"""What an input network is: `NetworkSpec`, its symmetry, its weights."""

from ng_jax.specs.chain import mlp
from ng_jax.specs.inference import infer
from ng_jax.specs.parts import ACTIVATIONS
from ng_jax.specs.parts import Block
from ng_jax.specs.parts import BLOCK_TYPES
from ng_jax.specs.parts import Leaf
from ng_jax.specs.parts import NeuronSet
from ng_jax.specs.sequential import sequential
from ng_jax.specs.spec import NetworkSpec
from ng_jax.specs.symmetry import draw_permutation
from ng_jax.specs.symmetry import permute
from ng_jax.specs.weights import check_weights
from ng_jax.specs.weights import from_leaf_arrays
from ng_jax.specs.weights import leaf_arrays
from ng_jax.specs.weights import map_leaves
from ng_jax.specs.weights import num_batch_axes
from ng_jax.specs.weights import Weights

__all__ = (
  'ACTIVATIONS',
  'BLOCK_TYPES',
  'Block',
  'Leaf',
  'NetworkSpec',
  'NeuronSet',
  'Weights',
  'check_weights',
  'draw_permutation',
  'from_leaf_arrays',
  'infer',
  'leaf_arrays',
  'map_leaves',
  'mlp',
  'num_batch_axes',
  'permute',
  'sequential',
)
