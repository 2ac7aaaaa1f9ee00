# SPDX-License-Identifier: Apache-2.0
"""Peak memory of a training step, by XLA's own account; nothing is allocated.

Rows are `<model>_<nodes>_nodes_batch_<B>_microbatch_<m>`, with `_remat` where
the model rematerialises its blocks. The value is the memory of temporaries;
'per_graph_mib' is that over the graphs worked on at once, 'fixed_mib' the state
and the weights read.

python benchmarks/memory.py --json=FILE
"""

from collections.abc import Sequence

from absl import app
from absl import flags
import reporting
import training

from ng_jax import networks

_QUICK = flags.DEFINE_bool('quick', False, 'Two tiny rows, for tests.')
_BATCH = flags.DEFINE_integer('batch_size', 128, 'Networks of a batch.')

_SIREN = networks.Siren()
# The largest CNN of the Wild Park: 173 nodes.
_CNN = networks.Cnn((3, 32, 32, 32, 32, 32), (3,) * 5)
# Model, network, graphs worked on at once, rematerialised.
_ROWS = (
  ('ng_gnn', _SIREN, 128, False),
  ('ng_gnn', _SIREN, 8, False),
  ('ng_gnn', _SIREN, 8, True),
  ('ng_gnn', _CNN, 8, False),
  ('ng_gnn', _CNN, 8, True),
  ('ng_t', _SIREN, 8, False),
  ('ng_t', _SIREN, 8, True),
  ('ng_t', _CNN, 1, False),
  ('ng_t', _CNN, 8, False),
  ('ng_t', _CNN, 8, True),
  ('ng_t', _CNN, 16, True),
)
_TINY = (('ng_t', networks.Siren((2, 4, 4, 1)), 2, False),) + (
  ('ng_t', networks.Siren((2, 4, 4, 1)), 2, True),
)
_MIB = 2**20


def main(argv: Sequence[str]) -> None:
  """Compiles the step of each row and prints what it needs."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  batch_size = 4 if _QUICK.value else _BATCH.value
  for name, network, microbatch_size, remat in _TINY if _QUICK.value else _ROWS:
    step = training.make(
      name,
      network,
      batch_size=batch_size,
      microbatch_size=microbatch_size,
      remat=remat,
      **({'num_layers': 2} if _QUICK.value else {}),
    )
    found = step.compile().memory_analysis()
    fixed = found.argument_size_in_bytes + found.output_size_in_bytes
    reporting.emit(
      f'{name}_{network.spec.num_nodes}_nodes_batch_{batch_size}_microbatch_'
      f'{microbatch_size}{"_remat" if remat else ""}',
      found.temp_size_in_bytes / _MIB,
      'MiB',
      per_graph_mib=round(found.temp_size_in_bytes / _MIB / microbatch_size, 1),
      fixed_mib=round(fixed / _MIB, 1),
    )


if __name__ == '__main__':
  app.run(main)
