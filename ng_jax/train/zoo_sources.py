# SPDX-License-Identifier: Apache-2.0
"""Where the networks of CNN generalization come from, by name."""

from collections.abc import Callable
import dataclasses

import ml_collections

from ng_jax.data import cnn_zoo
from ng_jax.data import combined
from ng_jax.data import settings as settings_lib
from ng_jax.data.cnn_zoo import folder
from ng_jax.data.cnn_zoo import small_zoo
from ng_jax.data.cnn_zoo import wild_park

# What is read, and how; the other fields are of a zoo that is made.
_PLACES: dict[str, object] = {
  'kind': 'made',
  'path': '',
  'split_file': '',
  'module': '',
  'input_shape': (),
}


def default_fields() -> dict[str, object]:
  """Fields of config.data.

  Returns:
    {field: default}: kind, a key of `KINDS`; path, of the zoo that is read;
    split_file, see `cnn_zoo.small_zoo`; module and input_shape, in place of
    spec.json, see `cnn_zoo.folder`; fields of `cnn_zoo.ZooSettings`,
    data_dir and image_dir, for kind 'made'. Jit: no.
  """
  return {
    **_PLACES,
    **dataclasses.asdict(cnn_zoo.ZooSettings()),
    'data_dir': 'data',
    'image_dir': '',
  }


def load(data: ml_collections.ConfigDict) -> cnn_zoo.CnnZoo:
  """Makes the zoo that a config asks for, or reads it.

  Args:
    data: with the fields of `default_fields`.

  Returns:
    The zoo. Jit: no.

  Raises:
    ValueError: unknown kind, no path, a module for another kind, bad settings
      or files.
  """
  if data.kind not in KINDS:
    raise ValueError(
      f'unknown kind of data {data.kind!r}; expected one of {sorted(KINDS)}.'
    )
  if data.kind != 'made' and not data.path:
    raise ValueError(
      f'config.data.path must name the zoo of kind {data.kind!r}, got nothing; '
      "give it, or use kind 'made'."
    )
  if data.kind != 'folder' and (data.module or data.input_shape):
    raise ValueError(
      "config.data.module and input_shape are of kind 'folder', got "
      f'{data.module!r} and {data.input_shape} with kind {data.kind!r}; leave '
      'them empty.'
    )
  return KINDS[data.kind](data)


def _make(data: ml_collections.ConfigDict) -> cnn_zoo.CnnZoo:
  fields = {k: v for k, v in data.to_dict().items() if k not in _PLACES}
  settings, folders = settings_lib.split_config(cnn_zoo.ZooSettings, fields)
  if data.path:
    return cnn_zoo.load(data.path)
  return cnn_zoo.make_or_load(
    settings, folders['data_dir'], image_dir=folders['image_dir'] or None
  )


KINDS: dict[str, Callable[[ml_collections.ConfigDict], cnn_zoo.CnnZoo]] = {
  'combined': lambda data: combined.read(data.path),
  'folder': lambda data: folder.read(
    data.path, module=data.module, input_shape=tuple(data.input_shape)
  ),
  'made': _make,
  'small_zoo': lambda data: small_zoo.read(
    data.path, split_file=data.split_file
  ),
  'wild_park': lambda data: wild_park.read(data.path),
}
