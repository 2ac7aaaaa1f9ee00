# SPDX-License-Identifier: Apache-2.0
"""Trains, evaluates or uses an editor of INRs.

python experiments/inr_editing.py \
  --config=configs/inr_editing/gnn.py:digits --workdir=runs/digits

Fields are changed on the command line, as in --config.batch_size=64.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # See devices.py.

from absl import app

from ng_jax.train import command_line
from ng_jax.train import editing


def _summarize(metrics: dict[str, float]) -> str:
  errors = 100 * metrics['test_mse'], 100 * metrics['no_edit_mse']
  return 'test error x 100: {:.3f}, without an edit {:.3f}'.format(*errors)


main = command_line.define_main(
  run=editing.run,
  measures={'evaluate': ('measure it', editing.evaluate)},
  summarize=_summarize,
  writers={
    'edit': ('edited networks', editing.edit),
    'export': ('model', editing.export),
  },
)

if __name__ == '__main__':
  app.run(main)
