# SPDX-License-Identifier: Apache-2.0
"""Runs recorded cases of the official PyTorch code with our models.

python experiments/official_parity.py --dtype=float64 --out_dir=parity \
  tests/golden/inr_gnn_base.npz tests/golden/edit_rt_rev.npz

Each case becomes <out_dir>/<case>.npz with its outputs under the official names
and, in float32, with the gradients of mean(outputs^2) for every official
parameter. Reference outputs that a file may hold are not looked at.
"""

import sys

from absl import app
from absl import flags
import jax

from ng_jax.models.official import reruns

_DTYPE = flags.DEFINE_enum(
  'dtype', 'float64', ['float64', 'float32'], 'Of the computation.'
)
_OUT_DIR = flags.DEFINE_string('out_dir', None, 'Folder of the results.')


def main(argv: list[str]) -> None:
  """Runs the cases and names those that cannot be built."""
  if len(argv) < 2:
    raise app.UsageError('name at least one recording, CASE.npz')
  jax.config.update('jax_enable_x64', _DTYPE.value == 'float64')
  problems = reruns.rerun_files(argv[1:], _OUT_DIR.value, dtype=_DTYPE.value)
  if problems:
    print(f'cannot be built: {", ".join(problems)}', file=sys.stderr)
    sys.exit(1)


if __name__ == '__main__':
  flags.mark_flag_as_required('out_dir')
  app.run(main)
