# SPDX-License-Identifier: Apache-2.0
"""Makes a CNN zoo: trains its units, one file each, and puts them together.

Several processes may make one zoo, each its own slice of the units; whoever
finds all units finished puts them together. Nothing is ever overwritten, and
there is nothing to lock: files appear whole, under their final name.

    <data_dir>/cnn_zoo_<source>_<hash>/
      settings.json   settings and the images' fingerprint, written first
      runs/           while it is being made
      cnn_set/1.0.0/  the TFDS data set
      README.md card.json   last
"""

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
from typing import Any

from absl import logging
import numpy as np
import tqdm

from ng_jax import processes
from ng_jax import specs
from ng_jax.data import claims
from ng_jax.data import images as images_lib
from ng_jax.data import shards
from ng_jax.data import tfds_folder
from ng_jax.data.cnn_zoo import card as card_lib
from ng_jax.data.cnn_zoo import pixels as pixels_lib
from ng_jax.data.cnn_zoo import runs as runs_lib
from ng_jax.data.cnn_zoo import settings as settings_lib
from ng_jax.data.cnn_zoo import training

CARD, README = 'card.json', 'README.md'
RUNS, SET = 'runs', 'cnn_set'
TFDS = f'{SET}/1.0.0'
# What only a zoo that is being made needs.
_UNFINISHED = (RUNS, f'.{SET}.*', '*.tmp*')


def make(
  settings: settings_lib.ZooSettings,
  data_dir: str | os.PathLike[str],
  *,
  image_dir: str | None = None,
  name: str | None = None,
  process_index: int | None = None,
  num_processes: int | None = None,
) -> pathlib.Path:
  """Makes a zoo, or what is missing of it.

  Args:
    settings: of the zoo.
    data_dir: where made sets are kept.
    image_dir: folder of the image files, see `images.read`.
    name: of the zoo's folder, instead of the hash of its settings.
    process_index: of this process, from 0; None as `processes.share` says.
    num_processes: that make this zoo together, each with a call of its own.

  Returns:
    The folder. It holds no card as long as other processes are at work. Logs
    how many units were found and how many made. Jit: no.

  Raises:
    ValueError: a folder of that name with other settings or images; bad image
      files; fewer images than asked for; a process that is none of them.
  """
  share = processes.share()
  process_index, num_processes = _own_share(process_index, num_processes)
  folder = pathlib.Path(data_dir) / (name or settings.folder_name())
  claims.check(folder, settings)
  if (folder / CARD).exists():
    logging.info('Found the finished CNN zoo %s.', folder)
    tfds_folder.clean(folder, _UNFINISHED)
    return folder
  source = images_lib.read(
    settings.source, image_dir=image_dir, split_seed=settings.split_seed
  )
  counts = pixels_lib.num_images(settings, source)
  chosen = pixels_lib.choose(settings, source)
  description = claims.describe(
    source, num_train=counts['train'], num_test=counts['test']
  )
  description['trained_shape'] = list(chosen.shape)
  description['num_used'] = counts
  description['engine'] = training.choose_engine(settings.engine)
  # Whoever goes on with a zoo goes on with the engine that it was begun with.
  description = claims.claim(folder, settings, description)
  runs = runs_lib.choose(
    settings,
    input_channels=chosen.shape[-1],
    num_classes=chosen.num_classes,
  )
  units = training.units(runs, description['engine'])
  paths = [folder / RUNS / f'unit_{u[0].number:06d}.safetensors' for u in units]
  mine = range(process_index, len(units), num_processes)
  _train(settings, units, paths, mine, chosen, description['engine'])
  processes.wait(f'units of {folder.name}')
  if share.index > 0:
    processes.wait(f'made {folder.name}')
    return folder
  missing = [path for path in paths if not path.exists()]
  if (folder / CARD).exists():
    return folder
  if missing:
    logging.info(
      '%d units of %s are with other processes; the last of them to finish '
      'makes the data set.',
      len(missing),
      folder,
    )
    return folder
  _assemble(folder, settings, runs, paths, description)
  processes.wait(f'made {folder.name}')
  return folder


def _own_share(
  process_index: int | None, num_processes: int | None
) -> tuple[int, int]:
  """What was asked for, or what the processes of this run say; checked."""
  if process_index is None or num_processes is None:
    share = processes.share()
    process_index, num_processes = share.index, share.count
  if not 0 <= process_index < num_processes:
    raise ValueError(
      'process_index must be between 0 and num_processes - 1, got '
      f'{process_index=} and {num_processes=}; number the processes from 0.'
    )
  return process_index, num_processes


def _train(
  settings: settings_lib.ZooSettings,
  units: Sequence[training.Unit],
  paths: Sequence[pathlib.Path],
  mine: range,
  chosen: pixels_lib.Chosen,
  engine: str,
) -> None:
  """Trains the units of this process that are missing."""
  missing = [i for i in mine if not paths[i].exists()]
  logging.info(
    'CNN zoo %s: %d of %d units found, %d to train (engine %r).',
    paths[0].parent.parent,
    len(mine) - len(missing),
    len(mine),
    len(missing),
    engine,
  )
  total = sum(
    len(units[i]) * len(settings.stored_epochs(units[i][0].num_epochs))
    for i in missing
  )
  with tqdm.tqdm(total=total, unit='checkpoint', desc='training') as progress:

    def on_checkpoint(accuracy: np.ndarray) -> None:
      progress.update(len(accuracy))
      if len(accuracy):
        progress.set_postfix(accuracy=f'{np.mean(accuracy):.2f}', refresh=False)

    for i in missing:
      training.train_unit(
        settings,
        units[i],
        chosen,
        paths[i],
        engine=engine,
        on_checkpoint=on_checkpoint,
      )


def _assemble(
  folder: pathlib.Path,
  settings: settings_lib.ZooSettings,
  runs: Sequence[runs_lib.Run],
  paths: Sequence[pathlib.Path],
  description: dict[str, Any],
) -> None:
  """Turns the units' files into the finished data set."""
  # Beside the place where it belongs, so that a rename makes it appear whole;
  # two processes that get here at once write the same.
  beside = folder / f'.{SET}.{os.getpid()}'
  try:
    numbers = [_numbers(shards.read(path, num_rows=None)) for path in paths]
    table = {
      key: np.concatenate([part[key] for part in numbers]) for key in numbers[0]
    }
    card = card_lib.make(settings, runs, table, images=description)
    _write_tfds(beside, paths, runs)
    with contextlib.suppress(OSError):  # Another process was faster.
      (beside / SET).rename(folder / SET)
    shards.write_text(folder / README, card_lib.to_markdown(card))
    shards.write_text(folder / CARD, json.dumps(card, indent=2) + '\n')
  except Exception:  # TFDS raises its own, when its files are gone.
    if (folder / CARD).exists():  # Another process has cleaned up already.
      return
    raise
  finally:
    shutil.rmtree(beside, ignore_errors=True)
  tfds_folder.clean(folder, _UNFINISHED)
  logging.info(
    'Made the CNN zoo %s: %d checkpoints, median accuracy %.3f.',
    folder,
    len(table['run']),
    card['accuracy']['median'],
  )


def _numbers(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """The columns that are no weights."""
  prefix = f'{training.WEIGHTS}/'
  return {k: x for k, x in arrays.items() if not k.startswith(prefix)}


def _write_tfds(
  folder: pathlib.Path,
  paths: Sequence[pathlib.Path],
  runs: Sequence[runs_lib.Run],
) -> None:
  from ng_jax.data.builders import cnn_set

  builder = cnn_set.CnnSet(
    data_dir=str(folder),
    splits={name: _examples(paths, runs, name) for name in runs_lib.SPLITS},
    description='Checkpoints of CNNs; see README.md beside this folder.',
  )
  tfds_folder.prepare(builder)


def _examples(
  paths: Sequence[pathlib.Path], runs: Sequence[runs_lib.Run], split: str
) -> Iterator[dict[str, Any]]:
  """Examples of a split: unit by unit, run by run, epoch by epoch."""
  prefix = f'{training.WEIGHTS}/'
  for path in paths:
    arrays = shards.read(path, num_rows=None)
    order = np.lexsort((arrays['epoch'], arrays['run']))
    for row in order:
      run = runs[arrays['run'][row]]
      if run.split != split:
        continue
      leaves = {
        k.removeprefix(prefix): x[row]
        for k, x in arrays.items()
        if k.startswith(prefix)
      }
      yield {
        'weights': join(run.network.spec, leaves),
        'architecture': json.dumps(dataclasses.asdict(run.network)),
        'run': run.number,
        'shape': run.shape,
        'epoch': int(arrays['epoch'][row]),
        'learning_rate': np.float32(run.learning_rate),
        'weight_decay': np.float32(run.weight_decay),
        **{
          name: arrays[name][row]
          for name in ('test_accuracy', 'standard_error', 'test_loss')
        },
      }


def join(spec: specs.NetworkSpec, leaves: dict[str, np.ndarray]) -> np.ndarray:
  """All weights of a network in one vector, in the order of the spec's leaves.

  Args:
    spec: of the network.
    leaves: {path: array}.

  Returns:
    [num_weights] float32. Jit: no.
  """
  parts = [leaves[leaf.path].ravel() for leaf in spec.leaves]
  return np.concatenate(parts).astype(np.float32)
