# SPDX-License-Identifier: Apache-2.0
"""Fits SIRENs to images and stores them as a data set.

python experiments/make_inr_dataset.py \
  --config=configs/make_inr_dataset/siren.py:digits

Interrupted, it goes on where it stopped. Fields are changed on the command
line, as in --config.num_views=2 --config.image_dir=<folder>.
"""

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from ng_jax import processes
from ng_jax.data import inr

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'File of the config, with :variant.', lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Where the data set is kept, instead of config.data_dir.'
)
_START = processes.define_flags()


def main(argv: list[str]) -> None:
  """Makes the data set, or what is missing of it."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  _START()
  logging.set_verbosity(logging.INFO)
  settings, folders = inr.split_config(_CONFIG.value)
  if _WORKDIR.value:
    folders['data_dir'] = _WORKDIR.value
  dataset = inr.load(inr.make(settings, **folders))
  psnr = dataset.card['psnr']['median']
  counts = dataset.card['num_networks']
  print(f'{dataset.path}: {counts}, median PSNR {psnr:.2f} dB')


if __name__ == '__main__':
  flags.mark_flag_as_required('config')
  app.run(main)
