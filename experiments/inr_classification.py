# SPDX-License-Identifier: Apache-2.0
"""Trains, evaluates or predicts with a classifier of INRs.

python experiments/inr_classification.py \
  --config=configs/inr_classification/gnn.py:digits --workdir=runs/digits

Fields are changed on the command line, as in --config.batch_size=64.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # See devices.py.

from absl import app

from ng_jax.train import classification
from ng_jax.train import command_line


def _summarize(metrics: dict[str, float]) -> str:
  return f'test accuracy: {metrics["test_accuracy"]:.3f}'


main = command_line.define_main(
  run=classification.run,
  measures={
    'evaluate': ('measure it', classification.evaluate),
    'robustness': (
      'classify permuted, pruned and rounded networks',
      classification.measure_robustness,
    ),
  },
  summarize=_summarize,
  writers={
    'predict': ('predictions', classification.predict),
    'export': ('model', classification.export),
  },
)

if __name__ == '__main__':
  app.run(main)
