# SPDX-License-Identifier: Apache-2.0
"""Makes a data set of INRs: a loop over chunks, one shard file each.

Of several processes (`ng_jax.processes`) each makes every so-many-th shard and
the first puts them together. A killed run continues at the missing shards. When
all are there they become a TFDS data set (array_record), a fast copy, and a
card; the card is written last and says that the set is finished. Nothing is
ever overwritten.

    <data_dir>/inr_<source>_<hash>/
      settings.json   settings and the images' fingerprint, written first
      shards/         while it is being made
      inr_set/1.0.0/  the TFDS data set
      arrays/         the same as safetensors
      README.md card.json
"""

from collections.abc import Callable
import json
import os
import pathlib
import time
from typing import Any

from absl import logging
import jax
import numpy as np
import tqdm

from ng_jax import processes
from ng_jax import specs
from ng_jax.data import card as card_lib
from ng_jax.data import claims
from ng_jax.data import fitting
from ng_jax.data import images as images_lib
from ng_jax.data import inr_settings
from ng_jax.data import jobs as jobs_lib
from ng_jax.data import shards
from ng_jax.data import tfds_folder

CARD, README = 'card.json', 'README.md'
SHARDS, ARRAYS, TFDS = 'shards', 'arrays', 'inr_set/1.0.0'
WEIGHTS = 'weights'
# What only a set that is being made needs; the middle one is TFDS's.
_UNFINISHED = (SHARDS, 'inr_set/*incomplete*', '*.tmp*', 'arrays/*.tmp*')
INTEGERS = ('label', 'image_index', 'view')


def make(
  settings: inr_settings.InrSettings,
  data_dir: str | os.PathLike[str],
  *,
  image_dir: str | None = None,
  name: str | None = None,
) -> pathlib.Path:
  """Makes a data set, or what is missing of it.

  Args:
    settings: of the data set.
    data_dir: where made sets are kept.
    image_dir: folder of the image files, see `images.read`.
    name: of the set's folder, instead of the hash of its settings.

  Returns:
    The folder. Logs how many shards were found and how many made. Jit: no.

  Raises:
    ValueError: a folder of that name with other settings or images; bad image
      files; fewer images than asked for; a fit that diverged.
  """
  folder = pathlib.Path(data_dir) / (name or settings.folder_name())
  claims.check(folder, settings)
  if (folder / CARD).exists():
    logging.info('Found the finished INR data set %s.', folder)
    tfds_folder.clean(folder, _UNFINISHED)
    return folder
  if settings.dtype == 'float64' and not jax.config.read('jax_enable_x64'):
    raise ValueError(
      "dtype 'float64' needs 64-bit types in JAX; set JAX_ENABLE_X64=1 or use "
      "dtype 'float32'."
    )
  source = images_lib.read(
    settings.source, image_dir=image_dir, split_seed=settings.split_seed
  )
  jobs = jobs_lib.choose(settings, source)
  description = claims.describe(
    source,
    num_train=settings.num_train + settings.num_validation,
    num_test=settings.num_test,
  )
  claims.claim(folder, settings, description)
  _make_shards(folder, settings, source, jobs)
  processes.wait(f'shards of {folder.name}')
  if processes.is_first():
    _assemble(folder, settings, jobs, description)
  processes.wait(f'made {folder.name}')
  return folder


def _make_shards(
  folder: pathlib.Path,
  settings: inr_settings.InrSettings,
  source: images_lib.Splits,
  jobs: jobs_lib.Jobs,
) -> None:
  """Fits the networks of every missing shard."""
  chunks = _chunks(settings, jobs)
  paths = _shard_paths(folder, settings, jobs)
  mine = range(processes.share().index, len(paths), processes.share().count)
  missing = [i for i in mine if not paths[i].exists()]
  keys = jobs_lib.initial_keys(settings, jobs)
  num_mine = sum(len(chunks[i]) for i in mine)
  num_missing = sum(len(chunks[i]) for i in missing)
  logging.info(
    'INR data set %s: %d of %d shards found, %d to make.',
    folder,
    len(mine) - len(missing),
    len(mine),
    len(missing),
  )
  with tqdm.tqdm(
    total=num_mine, initial=num_mine - num_missing, unit='INR', desc='fitting'
  ) as progress:

    def on_group(psnr: np.ndarray) -> None:
      progress.set_postfix(psnr=f'{np.median(psnr):.1f} dB', refresh=False)
      progress.update(len(psnr))

    for i in missing:
      start = time.perf_counter()
      arrays = _fit_chunk(settings, source, jobs, keys, chunks[i], on_group)
      seconds = (time.perf_counter() - start) / len(chunks[i])
      arrays['seconds'] = np.full(len(chunks[i]), seconds)
      shards.write(paths[i], arrays)


def _chunks(
  settings: inr_settings.InrSettings, jobs: jobs_lib.Jobs
) -> list[np.ndarray]:
  """Rows of the jobs of each shard."""
  starts = range(settings.chunk_size, len(jobs), settings.chunk_size)
  return np.split(np.arange(len(jobs)), list(starts))


def _shard_paths(
  folder: pathlib.Path,
  settings: inr_settings.InrSettings,
  jobs: jobs_lib.Jobs,
) -> list[pathlib.Path]:
  num_shards = len(_chunks(settings, jobs))
  return [
    folder / SHARDS / f'shard_{i:05d}_of_{num_shards:05d}.safetensors'
    for i in range(num_shards)
  ]


def _fit_chunk(
  settings: inr_settings.InrSettings,
  source: images_lib.Splits,
  jobs: jobs_lib.Jobs,
  keys: jax.Array,
  rows: np.ndarray,
  on_group: Callable[[np.ndarray], None],
) -> dict[str, np.ndarray]:
  """Fits the networks of one shard.

  Returns:
    Its arrays by name, each [num_rows, ...].
  """
  is_test = jobs.is_test[rows]
  image = np.concatenate(
    [
      source['train'].pixels[jobs.position[rows[~is_test]]],
      source['test'].pixels[jobs.position[rows[is_test]]],
    ]
  )
  network = settings.network(image.shape[-1])
  pixels = images_lib.scale(image, source['train'].max_value)
  weights, psnr = fitting.fit(
    network,
    keys[rows],
    pixels.reshape(len(rows), -1, image.shape[-1]),
    network.coordinates(image.shape[1:3]),
    num_steps=settings.num_steps,
    learning_rate=settings.learning_rate,
    keep_best=settings.keep == 'best',
    dtype=settings.dtype,
    on_group=on_group,
  )
  leaves = specs.leaf_arrays(weights)
  _check_finite(leaves, jobs.image_index[rows], settings)
  return {
    **{f'{WEIGHTS}/{path}': x for path, x in leaves.items()},
    'image': image,
    'psnr': psnr,
    **{name: getattr(jobs, name)[rows] for name in INTEGERS},
  }


def _check_finite(
  leaves: dict[str, np.ndarray],
  image_index: np.ndarray,
  settings: inr_settings.InrSettings,
) -> None:
  finite = np.ones(len(image_index), bool)
  for x in leaves.values():
    finite &= np.isfinite(x).reshape(len(x), -1).all(axis=1)
  if not finite.all():
    bad = image_index[~finite]
    raise ValueError(
      f'the fit of {len(bad):,} of {len(finite):,} networks diverged to NaN or '
      f'infinity (images {bad[:5].tolist()}) at '
      f'learning_rate={settings.learning_rate:g}; lower it, 1e-3 is usual.'
    )


def _assemble(
  folder: pathlib.Path,
  settings: inr_settings.InrSettings,
  jobs: jobs_lib.Jobs,
  description: dict[str, Any],
) -> None:
  """Turns the shards into the finished data set."""
  chunks = _chunks(settings, jobs)
  paths = _shard_paths(folder, settings, jobs)
  parts = [
    shards.read(path, num_rows=len(rows))
    for path, rows in zip(paths, chunks, strict=True)
  ]
  arrays = {
    name: np.concatenate([part[name] for part in parts]) for name in parts[0]
  }
  seconds = float(arrays.pop('seconds').sum())
  splits = {}
  for i, name in enumerate(jobs_lib.SPLITS):
    chosen = {key: x[jobs.split == i] for key, x in arrays.items()}
    shards.write(folder / ARRAYS / f'{name}.safetensors', chosen)
    splits[name] = specs.from_leaf_arrays(chosen)
  card = card_lib.make(
    settings,
    splits,
    spec=settings.network(description['shape'][-1]).spec,
    images=description,
    seconds=seconds,
  )
  _write_tfds(folder, splits, description)
  shards.write_text(folder / README, card_lib.to_markdown(card))
  shards.write_text(folder / CARD, json.dumps(card, indent=2) + '\n')
  tfds_folder.clean(folder, _UNFINISHED)
  logging.info(
    'Made the INR data set %s: median PSNR %.2f dB, %.1f INRs a second.',
    folder,
    card['psnr']['median'],
    card['fit']['networks_per_second'],
  )


def _write_tfds(
  folder: pathlib.Path,
  splits: dict[str, dict[str, Any]],
  description: dict[str, Any],
) -> None:
  from ng_jax.data.builders import inr_set

  builder = inr_set.InrSet(
    data_dir=str(folder),
    splits=splits,
    class_names=tuple(description['class_names']),
    description='SIRENs fitted to images; see README.md beside this folder.',
  )
  tfds_folder.prepare(builder)
