# SPDX-License-Identifier: Apache-2.0
"""Weights to graphs and back.

One vocabulary of sizes holds everywhere: `num_graphs`, `num_nodes` and
`num_edges` (of one graph), `num_layers`, `node_size` and `edge_size` (widths of
features inside a model).
"""

from ng_jax.graphs.activation_fields import add_activations
from ng_jax.graphs.activation_fields import add_probe_inputs
from ng_jax.graphs.activations import check_activations
from ng_jax.graphs.activations import check_network
from ng_jax.graphs.activations import compute_activations
from ng_jax.graphs.activations import match_dtype
from ng_jax.graphs.activations import node_activations
from ng_jax.graphs.activations import run_probes
from ng_jax.graphs.batching import concatenate
from ng_jax.graphs.batching import stack
from ng_jax.graphs.budgets import Budget
from ng_jax.graphs.budgets import choose_buckets
from ng_jax.graphs.budgets import choose_budget
from ng_jax.graphs.budgets import pack
from ng_jax.graphs.choosing import choose_concatenation
from ng_jax.graphs.choosing import choose_stacks
from ng_jax.graphs.connectivity import connect
from ng_jax.graphs.connectivity import Connectivity
from ng_jax.graphs.connectivity import EdgeGroups
from ng_jax.graphs.encoding import decode
from ng_jax.graphs.encoding import EdgeBlocks
from ng_jax.graphs.encoding import encode
from ng_jax.graphs.encoding import flatten
from ng_jax.graphs.encoding import join_edges
from ng_jax.graphs.encoding import split_edges
from ng_jax.graphs.loading import Batch
from ng_jax.graphs.loading import Loader
from ng_jax.graphs.packing import Bucket
from ng_jax.graphs.packing import Concatenation
from ng_jax.graphs.packing import Packing
from ng_jax.graphs.packing import Stacks
from ng_jax.graphs.structure import Topology
from ng_jax.graphs.structure import topology

__all__ = (
  'Batch',
  'Bucket',
  'Budget',
  'Concatenation',
  'Connectivity',
  'EdgeBlocks',
  'EdgeGroups',
  'Loader',
  'Packing',
  'Stacks',
  'Topology',
  'add_activations',
  'add_probe_inputs',
  'check_activations',
  'check_network',
  'choose_buckets',
  'choose_budget',
  'choose_concatenation',
  'choose_stacks',
  'compute_activations',
  'concatenate',
  'connect',
  'decode',
  'encode',
  'flatten',
  'join_edges',
  'match_dtype',
  'node_activations',
  'pack',
  'run_probes',
  'split_edges',
  'stack',
  'topology',
)
