# SPDX-License-Identifier: Apache-2.0
"""Trains, evaluates or predicts with a predictor of the accuracy of CNNs.

python experiments/cnn_generalization.py \
  --config=configs/cnn_generalization/gnn.py:digits --workdir=runs/zoo_gnn

Fields are changed on the command line, as in --config.batch_size=64. A zoo of
one's own, a folder of .safetensors or .npz files, labels.csv and spec.json (see
`ng_jax.data.cnn_zoo.folder`), is read with

  --config.data.kind=folder --config.data.path=<folder>

and published ones with --config.data.kind=small_zoo or =wild_park.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # See devices.py.

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from ng_jax import processes
from ng_jax.train import devices
from ng_jax.train import generalization
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
  ['train', 'evaluate', 'predict'],
  'Train (or go on), evaluate the best checkpoint, or write predictions.csv.',
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
    metrics = generalization.run(config, workdir, source=f'{file} {overrides}')
    print(f'test tau: {metrics["test_tau"]:.3f}, R2: {metrics["test_r2"]:.3f}')
  elif _MODE.value == 'evaluate':
    for name, value in generalization.evaluate(config, workdir).items():
      print(f'{name}: {value:.6g}')
  else:
    print(f'predictions: {generalization.predict(config, workdir)}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main)
