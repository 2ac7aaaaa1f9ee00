# SPDX-License-Identifier: Apache-2.0
"""How many networks a device works on at once when a config leaves it open."""

from collections.abc import Sequence

from flax import linen as nn
import jax

from ng_jax import graphs
from ng_jax.models import gnn
from ng_jax.models import transformer

# Edges of NG-GNN, or pairs of nodes of NG-T, whose features stay in the cache
# of a CPU core: 4 and 1 SIRENs of sizes (2, 32, 32, 1), the fastest numbers
# in benchmarks/peers.py.
_IN_CACHE = 4_500


def choose_size(
  microbatch_size: int,
  model: nn.Module,
  topology: graphs.Topology,
  devices: Sequence[jax.Device],
) -> int:
  """Takes what the config says, or what is fastest on these devices.

  Args:
    microbatch_size: of the config; 0 leaves the choice to this function.
    model: that reads the networks.
    topology: of the networks, the same for all.
    devices: that work on them.

  Returns:
    Networks that are worked on at once, 0 for all of a batch: on accelerators,
    and for models whose results depend on it (batch norms). Jit: no.
  """
  if microbatch_size or devices[0].platform != 'cpu':
    return microbatch_size
  if getattr(model, 'pooled_norm', False):
    return 0
  if isinstance(model, gnn.GNNBackbone) and model.norm_mode != 'batch':
    size = topology.num_edges
  elif isinstance(model, transformer.TransformerBackbone):
    size = topology.num_nodes**2
  else:
    return 0
  return max(1, _IN_CACHE // size)
