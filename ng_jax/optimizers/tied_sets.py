# SPDX-License-Identifier: Apache-2.0
"""Neuron sets that move together, as one."""

from collections.abc import Sequence

from ng_jax import specs


def merge(
  spec: specs.NetworkSpec, types: Sequence[str] = specs.BLOCK_TYPES
) -> dict[str, str]:
  """Makes sets one that diagonal blocks tie neuron by neuron.

  Ties between sets of different sizes are left out.

  Args:
    spec: of the network.
    types: of the blocks that count.

  Returns:
    {neuron set: the one that stands for it}. Jit: static.
  """
  sets = {s.name: s for s in spec.neuron_sets}
  root = {name: name for name in sets}
  for block in spec.blocks:
    same = sets[block.source].size == sets[block.target].size
    if block.kind == 'diagonal' and block.type in types and same:
      kept, merged = root[block.source], root[block.target]
      root = {n: kept if r == merged else r for n, r in root.items()}
  return root
