# SPDX-License-Identifier: Apache-2.0
"""Converts the published data sets, by name.

settings = published.PublishedSettings(source='wild_park')
folder = conversion.convert(settings, 'data', source_dir='cnn_wild_park')
cnn_zoo.load(folder)
"""

import os
import pathlib

from ng_jax.data import converting
from ng_jax.data import inr_files
from ng_jax.data import published
from ng_jax.data.cnn_zoo import conversion as zoo_conversion

ZOOS = ('small_zoo', 'wild_park')
KINDS = (*sorted(inr_files.KINDS), *ZOOS)


def convert(
  settings: published.PublishedSettings,
  data_dir: str | os.PathLike[str],
  *,
  source_dir: str | os.PathLike[str],
  image_dir: str | None = None,
  split_file: str = '',
  name: str | None = None,
) -> pathlib.Path:
  """Converts a published data set, or what is missing of it.

  Args:
    settings: of the conversion; the source is one of `KINDS`.
    data_dir: where data sets are kept.
    source_dir: folder of the published files.
    image_dir: of the images that INRs represent, see `images.read`; without it
      the set has no images.
    split_file: of the splits; '' for what the publishers call it.
    name: of the set's folder, instead of the hash of its settings.

  Returns:
    The folder. Jit: no.

  Raises:
    ValueError: an unknown source, no source_dir, bad files, a folder of that
      name with other settings.
    ImportError: without torch, where torch files are read.
  """
  settings.check_choice('source', KINDS)
  if not source_dir:
    raise ValueError(
      f'source_dir must name the folder of the published set '
      f'{settings.source!r}, got nothing; give --config.source_dir.'
    )
  if settings.source in inr_files.KINDS:
    filled, plan = inr_files.plan(
      settings, source_dir, image_dir=image_dir, split_file=split_file
    )
  elif settings.source == 'small_zoo':
    filled, plan = zoo_conversion.plan_small_zoo(
      settings, source_dir, split_file=split_file
    )
  else:
    filled, plan = zoo_conversion.plan_wild_park(settings, source_dir)
  return converting.convert(filled, plan, data_dir, name=name)
