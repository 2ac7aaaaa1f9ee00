# SPDX-License-Identifier: Apache-2.0
"""Runs a whole table of results within a budget, and writes it.

python experiments/results.py --minutes=60 --workdir=runs/results \
  --config=configs/results/inr_classification_mnist.py:two_cores \
  --image_dir=FOLDER

The next call goes on. --mode=cost prints commands and minutes, --mode=collect
keeps the record of a run that exists (--rows and --run), --mode=write makes the
tables of RESULTS.md and the plots from the records of docs/results.
"""

import json
import os
import pathlib
import signal
import sys

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # See devices.py.

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from ng_jax import results
from ng_jax.results import command_line
from ng_jax.train import logging as logging_lib

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_MODES = ('run', 'cost', 'collect', 'write')
_CONFIG = config_flags.DEFINE_config_file('config', None, 'Table, :variant.')
_MODE = flags.DEFINE_enum('mode', 'run', _MODES, 'What to do.')
_WORKDIR = flags.DEFINE_string('workdir', 'runs/results', 'Folder of the runs.')
_STORE = flags.DEFINE_string('store', '', 'Folder of the records.')
_REPORT = flags.DEFINE_string('report', '', 'Text that --mode=write completes.')
_MINUTES = flags.DEFINE_float('minutes', 60.0, 'Budget of this call.')
_ROWS = flags.DEFINE_list('rows', [], 'Only these rows.')
_IMAGE_DIR = flags.DEFINE_string('image_dir', '', "Publishers' image files.")
_PATH = flags.DEFINE_string('path', '', 'Folder of published networks.')
_DATA_DIR = flags.DEFINE_string('data_dir', 'data', 'Folder of made data.')
_RUN = flags.DEFINE_string('run', None, '--mode=collect: workdir of the run.')
_FACTS = flags.DEFINE_string(
  'facts', '{}', '--mode=collect: JSON of what the workdir does not say.'
)


def main(argv: list[str]) -> None:
  """Does what the mode says."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  logging_lib.show_progress()
  signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
  call = command_line.Call(
    root=_ROOT,
    runs=_WORKDIR.value,
    store=_STORE.value,
    data_dir=_DATA_DIR.value,
    image_dir=_IMAGE_DIR.value,
    path=_PATH.value,
  )
  if _MODE.value == 'write':
    print('\n'.join(call.write(_REPORT.value)))
    return
  if _CONFIG.value is None:
    raise app.UsageError(f'--mode={_MODE.value} needs --config.')
  table = results.from_config(_CONFIG.value)
  if _MODE.value == 'cost':
    print('\n'.join(call.list_costs(table, _ROWS.value)))
  elif _MODE.value == 'collect':
    facts = json.loads(_FACTS.value)
    print(call.collect(table, _ROWS.value, _RUN.value, facts))
  else:
    report = call.run(table, _ROWS.value, _MINUTES.value)
    logging.info('%s', report)
    sys.exit(1 if report.failed else 0)


if __name__ == '__main__':
  app.run(main)
