# SPDX-License-Identifier: Apache-2.0
"""Trains CNNs of many architectures and stores them as a data set.

python experiments/make_cnn_zoo.py \
  --config=configs/make_cnn_zoo/wild_park.py:digits

Interrupted, it goes on where it stopped. Several processes make one zoo with
--num_processes and --process_index. Fields are changed on the command line, as
in --config.num_shapes=10 --config.image_dir=<folder>.
"""

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from ng_jax import processes
from ng_jax.data import cnn_zoo
from ng_jax.data import settings as settings_lib

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'File of the config, with :variant.', lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Where the zoo is kept, instead of config.data_dir.'
)
_START = processes.define_flags()


def main(argv: list[str]) -> None:
  """Makes the zoo, or what is missing of it."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  share = _START(independent=True)
  logging.set_verbosity(logging.INFO)
  settings, folders = settings_lib.split_config(
    cnn_zoo.ZooSettings, _CONFIG.value
  )
  if _WORKDIR.value:
    folders['data_dir'] = _WORKDIR.value
  path = cnn_zoo.make(
    settings,
    **folders,
    process_index=share.index,
    num_processes=share.count,
  )
  card = cnn_zoo.read_card(path)
  if card is None:
    print(f'{path}: waiting for the other processes')
  else:
    accuracy = card['accuracy']['median']
    counts = card['num_checkpoints']
    print(f'{path}: {counts}, median accuracy {accuracy:.3f}')


if __name__ == '__main__':
  flags.mark_flag_as_required('config')
  app.run(main)
