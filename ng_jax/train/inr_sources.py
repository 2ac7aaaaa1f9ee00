# SPDX-License-Identifier: Apache-2.0
"""Where the INRs of an experiment come from, by name."""

import dataclasses
import pathlib

import ml_collections

from ng_jax.data import inr
from ng_jax.data import inr_files
from ng_jax.data import published

_PLACES = {'kind': 'made', 'path': '', 'split_file': ''}


def default_fields() -> dict[str, object]:
  """Fields of config.data.

  Returns:
    {field: default}: kind, 'made' or a published set, a key of
    `inr_files.KINDS`; path, of the folder that is read: published files, or,
    for 'made', a made or converted set, which needs none of the settings;
    split_file, of published files, where it lies elsewhere; fields of
    `inr.InrSettings`; data_dir, where made sets are kept; image_dir, where the
    publishers' image files are. Jit: no.
  """
  return {
    **_PLACES,
    **dataclasses.asdict(inr.InrSettings()),
    'data_dir': 'data',
    'image_dir': '',
  }


def load(data: ml_collections.ConfigDict) -> inr.InrDataset:
  """Makes the INR data set that a config asks for, or reads it.

  Args:
    data: with the fields of `default_fields`.

  Returns:
    The data set. Jit: no.

  Raises:
    ValueError: unknown kind, no path, bad settings or files.
  """
  known = ['made', *sorted(inr_files.KINDS)]
  if data.kind not in known:
    raise ValueError(
      f'unknown kind of data {data.kind!r}; expected one of {known}.'
    )
  if data.kind != 'made':
    return _read_published(data)
  if data.path:
    return inr.load(data.path)
  fields = {k: v for k, v in data.to_dict().items() if k not in _PLACES}
  settings, folders = inr.split_config(fields)
  return inr.make_or_load(
    settings,
    folders['data_dir'],
    image_dir=folders['image_dir'] or None,
  )


def title(data: ml_collections.ConfigDict) -> str:
  """What figures call the data. Jit: no."""
  if data.kind != 'made':
    return data.kind
  return pathlib.Path(data.path).name if data.path else data.source


def _read_published(data: ml_collections.ConfigDict) -> inr.InrDataset:
  if not data.path:
    raise ValueError(
      f'config.data.path must name the files of kind {data.kind!r}, got '
      "nothing; give it, or use kind 'made'."
    )
  return inr_files.read(
    published.PublishedSettings(source=data.kind),
    data.path,
    image_dir=data.image_dir or None,
    split_file=data.split_file,
  )
