# SPDX-License-Identifier: Apache-2.0
"""Trains, evaluates or predicts with a classifier of INRs.

python experiments/inr_classification.py \
  --config=configs/inr_classification/gnn.py:digits --workdir=runs/digits

Fields are changed on the command line, as in --config.batch_size=64.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # See devices.py.

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from ng_jax import processes
from ng_jax.train import classification
from ng_jax.train import devices
from ng_jax.train import logging as logging_lib

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'File of the config, with :variant.', lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder for checkpoints, metrics and pictures.'
)
_MODE = flags.DEFINE_enum(
  'mode',
  'train',
  ['train', 'evaluate', 'predict', 'robustness'],
  'Train (or go on), evaluate the best checkpoint, write predictions.csv, or '
  'classify permuted, pruned and rounded networks.',
)
_START = processes.define_flags()


def main(argv: list[str]) -> None:
  """Runs the mode that the flags ask for."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  _START()
  config, workdir = _CONFIG.value, _WORKDIR.value
  logging_lib.show_progress()
  if config.compilation_cache:
    devices.use_compilation_cache()
  logging.info('%s', devices.report())
  if _MODE.value == 'train':
    file = config_flags.get_config_filename(flags.FLAGS['config'])
    overrides = config_flags.get_override_values(flags.FLAGS['config'])
    metrics = classification.run(config, workdir, source=f'{file} {overrides}')
    print(f'test accuracy: {metrics["test_accuracy"]:.3f}')
  elif _MODE.value == 'predict':
    print(f'predictions: {classification.predict(config, workdir)}')
  else:
    measure = {
      'evaluate': classification.evaluate,
      'robustness': classification.measure_robustness,
    }[_MODE.value]
    for name, value in measure(config, workdir).items():
      print(f'{name}: {value:.6g}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main)
