# SPDX-License-Identifier: Apache-2.0
"""Converts a published data set of networks to ours.

python experiments/convert_dataset.py \
  --config=configs/convert_dataset/published.py:wild_park \
  --config.source_dir=<folder of the published files>

Interrupted, it goes on where it stopped. Several processes convert one set with
--coordinator_address, --num_processes and --process_index.
"""

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from ng_jax import processes
from ng_jax.data import conversion
from ng_jax.data import published
from ng_jax.data import settings as settings_lib

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'File of the config, with :variant.', lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Where the data set is kept, instead of config.data_dir.'
)
_START = processes.define_flags()


def main(argv: list[str]) -> None:
  """Converts, or what is missing of it; says what is wrong."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  _START()
  logging.set_verbosity(logging.INFO)
  settings, folders = settings_lib.split_config(
    published.PublishedSettings, _CONFIG.value
  )
  if _WORKDIR.value:
    folders['data_dir'] = _WORKDIR.value
  try:
    path = conversion.convert(settings, **folders)
  except (ImportError, ValueError) as error:
    raise SystemExit(f'not converted: {error}') from error
  print(f'converted: {path}')


if __name__ == '__main__':
  flags.mark_flag_as_required('config')
  app.run(main)
