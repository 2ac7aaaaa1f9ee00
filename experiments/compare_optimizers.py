# SPDX-License-Identifier: Apache-2.0
"""Compares trained optimizers with Adam, on tasks by name.

python experiments/compare_optimizers.py --workdir=runs/unseen \
  --config=configs/compare_optimizers/shipped.py:unseen \
  --config.data.image_dir=FOLDER

What is measured lies in <workdir>/records.jsonl, a line for an optimizer and a
task, and is not measured again; tables.md and pictures/ are made of it. With
--mode=report they are made without measuring, also of records of other runs:

  --mode=report --records=runs/adam/records.jsonl,runs/ff/records.jsonl
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # See devices.py.

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from ng_jax import processes
from ng_jax.train import devices
from ng_jax.train import logging as logging_lib
from ng_jax.train import optimizer_comparison

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'File of the config, with :variant.', lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder for records, tables and pictures.'
)
_MODE = flags.DEFINE_enum(
  'mode',
  'compare',
  ['compare', 'report'],
  'Measure what is missing and report, or only report (without a config).',
)
_RECORDS = flags.DEFINE_list(
  'records', [], 'With --mode=report: files of records besides.'
)
_START = processes.define_flags()


def main(argv: list[str]) -> None:
  """Runs the mode that the flags ask for."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  share = _START(independent=True)
  logging_lib.show_progress()
  if _MODE.value == 'report':
    paths = optimizer_comparison.report(_WORKDIR.value, _RECORDS.value)
  else:
    config = _CONFIG.value
    if config is None:
      raise app.UsageError('--config is needed with --mode=compare.')
    if config.compilation_cache:
      devices.use_compilation_cache()
    logging.info('%s', devices.report())
    file = config_flags.get_config_filename(flags.FLAGS['config'])
    overrides = config_flags.get_override_values(flags.FLAGS['config'])
    paths = optimizer_comparison.run(
      config, _WORKDIR.value, source=f'{file} {overrides}', share=share
    )
  for path in paths:
    print(f'report: {path}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['workdir'])
  app.run(main)
