# SPDX-License-Identifier: Apache-2.0
"""What a training step computes, sends and keeps, without running it.

Rows are the operations of a step per network, by XLA's account of the program
before it is optimised. 'gradient_mib' is what devices add up once a step,
'state_mib' what each of them keeps, 'network_kib' a network of the data set.
docs/scaling.md works with these numbers.

python benchmarks/step_costs.py --json=FILE
"""

from collections.abc import Sequence

from absl import app
from absl import flags
import jax
import reporting
import training

from ng_jax import networks

_QUICK = flags.DEFINE_bool('quick', False, 'One tiny row, for tests.')

_SIREN = networks.Siren()
_CNN = networks.Cnn((3, 32, 32, 32, 32, 32), (3,) * 5)
# Model, network, options.
_ROWS = (
  ('ng_gnn', _SIREN, {'hidden_size': 32}),
  ('ng_gnn', _SIREN, {'hidden_size': 64}),
  ('ng_t', _SIREN, {}),
  ('ng_gnn', _CNN, {'hidden_size': 64}),
  ('ng_t', _CNN, {}),
)
_TINY = (('ng_t', networks.Siren((2, 4, 4, 1)), {'num_layers': 2}),)
_BATCH = 8


def num_bytes(tree: object) -> int:
  """Bytes of the arrays of a tree, keys of PRNGs apart."""
  leaves = [
    leaf
    for leaf in jax.tree.leaves(tree)
    if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
  ]
  return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def main(argv: Sequence[str]) -> None:
  """Traces the step of each row and prints what it needs."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  for name, network, options in _TINY if _QUICK.value else _ROWS:
    step = training.make(
      name, network, batch_size=_BATCH, microbatch_size=_BATCH, **options
    )
    state = jax.eval_shape(step.init, step.data)
    lowered = jax.jit(step.step).lower(state, step.data, step.index)
    width = f'_{options["hidden_size"]}' if 'hidden_size' in options else ''
    reporting.emit(
      f'{name}{width}_{network.spec.num_nodes}_nodes',
      lowered.cost_analysis()['flops'] / _BATCH / 1e6,
      'million operations a network',
      parameters=num_bytes(state.params) // 4,
      gradient_mib=round(num_bytes(state.params) / 2**20, 3),
      state_mib=round(num_bytes(state) / 2**20, 2),
      network_kib=round(num_bytes(step.data) / _BATCH / 2**10, 1),
    )


if __name__ == '__main__':
  app.run(main)
