# SPDX-License-Identifier: Apache-2.0
"""What the binaries of experiments have in common: flags, modes, what they say.

A binary names the functions of its experiment; flags are defined when it is
imported and read nowhere else.
"""

from collections.abc import Callable, Mapping
import pathlib
from typing import Any

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from ng_jax import processes
from ng_jax.train import devices
from ng_jax.train import logging as logging_lib

# So that --help of a binary shows the flags that are defined here for it.
flags.disclaim_key_flags()

Metrics = dict[str, float]
Measure = Callable[[Any, str], Metrics]  # (config, workdir) -> metrics.
# (config, workdir) -> the file or folder that was written.
Writer = Callable[[Any, str], pathlib.Path]


def define_main(
  *,
  run: Callable[..., Metrics],
  measures: Mapping[str, tuple[str, Measure]],
  summarize: Callable[[Metrics], str],
  writers: Mapping[str, tuple[str, Writer]],
) -> Callable[[list[str]], None]:
  """Defines --config, --workdir, --mode and the flags of `processes`.

  For binaries; called once, when they are imported.

  Args:
    run: the mode 'train', (config, workdir, *, source) -> metrics.
    measures: modes that print numbers: {mode: (what is done, function)}.
    summarize: the line that is printed after training, from the metrics.
    writers: modes that write: {mode: (what is written, function)}.

  Returns:
    The main function of the binary, for `app.run`. Jit: no.
  """
  config = config_flags.DEFINE_config_file(
    'config', None, 'File of the config, with :variant.', lock_config=True
  )
  workdir = flags.DEFINE_string(
    'workdir', None, 'Folder for checkpoints, metrics and pictures.'
  )
  others = [f'{what} ({name})' for name, (what, _) in measures.items()]
  others += [f'write {what} ({name})' for name, (what, _) in writers.items()]
  mode = flags.DEFINE_enum(
    'mode',
    'train',
    ['train', *measures, *writers],
    'Train or go on (train), or with the best checkpoint: '
    f'{", ".join(others)}.',
  )
  start = processes.define_flags()
  flags.mark_flags_as_required(['config', 'workdir'])

  def main(argv: list[str]) -> None:
    """Runs the mode that the flags ask for."""
    if len(argv) > 1:
      raise app.UsageError(f'unexpected arguments: {argv[1:]}')
    start()
    place = str(workdir.value)
    logging_lib.show_progress()
    if config.value.compilation_cache:
      devices.use_compilation_cache()
    logging.info('%s', devices.report())
    if mode.value == 'train':
      print(summarize(run(config.value, place, source=_source())))
    elif mode.value in measures:
      _, measure = measures[str(mode.value)]
      for name, value in measure(config.value, place).items():
        print(f'{name}: {value:.6g}')
    else:
      what, write = writers[str(mode.value)]
      print(f'{what}: {write(config.value, place)}')

  return main


def _source() -> str:
  """How the config was asked for: its file, the variant and the overrides."""
  flag = flags.FLAGS['config']
  file = config_flags.get_config_filename(flag)
  return f'{file} {config_flags.get_override_values(flag)}'
