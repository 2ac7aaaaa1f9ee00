# SPDX-License-Identifier: Apache-2.0
"""Meta-trains an optimizer, selects on a hold-out and measures on test images.

python experiments/learned_optimizer.py \
  --config=configs/learned_optimizer/ff.py:two_cores --workdir=runs/ff \
  --config.data.image_dir=FOLDER

Fields are changed on the command line, as in --config.num_steps=500. The theta
that is best on the hold-out is kept in <workdir>/theta.safetensors; load it
with ng_jax.optimizers.load. With --mode=evaluate it is measured on other tasks:

  --mode=evaluate --config.evaluation.tasks="('cifar10_cnn',)"
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # See devices.py.

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from ng_jax.train import devices
from ng_jax.train import learned_optimizer
from ng_jax.train import logging as logging_lib

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'File of the config, with :variant.', lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder for checkpoints, metrics and records.'
)
_MODE = flags.DEFINE_enum(
  'mode',
  'train',
  ['train', 'evaluate'],
  'Meta-train (or go on), or measure the best checkpoint.',
)


def main(argv: list[str]) -> None:
  """Runs the mode that the flags ask for."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  config, workdir = _CONFIG.value, _WORKDIR.value
  logging_lib.show_progress()
  if config.compilation_cache:
    devices.use_compilation_cache()
  logging.info('%s', devices.report())
  if _MODE.value == 'train':
    file = config_flags.get_config_filename(flags.FLAGS['config'])
    overrides = config_flags.get_override_values(flags.FLAGS['config'])
    metrics = learned_optimizer.run(
      config, workdir, source=f'{file} {overrides}'
    )
    print(f'test accuracy: {metrics["test_accuracy"]:.3f}')
  else:
    for name, value in learned_optimizer.evaluate(config, workdir).items():
      print(f'{name}: {value:.6g}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main)
