# SPDX-License-Identifier: Apache-2.0
"""Whose a folder is: the settings and images that a data set began with.

A folder is claimed by writing settings.json before anything else. Later runs
continue only with the same settings and the same images.
"""

import json
import pathlib
from typing import Any

from ng_jax import processes
from ng_jax.data import images as images_lib
from ng_jax.data import settings as settings_lib
from ng_jax.data import shards

SETTINGS = 'settings.json'


def check(folder: pathlib.Path, settings: settings_lib.Settings) -> None:
  """Refuses a folder that belongs to something else.

  Args:
    folder: of the data set.
    settings: asked for.

  Raises:
    ValueError: the folder has other contents, or a set with other settings.

  Jit: no.
  """
  # Another process may be about to write its settings.
  if not folder.exists() or all('.tmp' in p.name for p in folder.iterdir()):
    return
  try:
    found = json.loads((folder / SETTINGS).read_text(encoding='utf-8'))
    old = found['settings']
  except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
    raise ValueError(
      f'{folder} must be new, empty, or {settings.title}, but its '
      f'{SETTINGS} cannot be read ({error!r}); choose another name or '
      'data_dir. Nothing was changed.'
    ) from error
  new = settings.to_dict()
  if old != new:
    lines = [
      f'{key}: {old.get(key)!r} there, {new.get(key)!r} asked for'
      for key in sorted({*old, *new})
      if old.get(key) != new.get(key)
    ]
    raise ValueError(
      f'{folder} holds {settings.title} with other settings:\n  '
      + '\n  '.join(lines)
      + '\nGive these settings, or choose another name or data_dir. Nothing '
      'was changed.'
    )


def describe(
  source: images_lib.Splits, *, num_train: int, num_test: int
) -> dict[str, Any]:
  """What the card says of the images.

  Args:
    source: the images.
    num_train: of its training images that are used.
    num_test: of its test images that are used.

  Returns:
    JSON types: shape, max_value, class_names, sha256, notes. Jit: no.
  """
  train, test = source['train'], source['test']
  notes = sorted({i.note for i in (train, test) if i.note})
  for images, used in ((train, num_train), (test, num_test)):
    if used < len(images.labels):
      notes.append(f'{used:,} of {len(images.labels):,} {images.split} images')
  return {
    'shape': list(train.pixels.shape[1:]),
    'max_value': train.max_value,
    'class_names': list(train.class_names),
    'sha256': {'train': train.fingerprint(), 'test': test.fingerprint()},
    'notes': notes,
  }


def claim(
  folder: pathlib.Path,
  settings: settings_lib.Settings,
  description: dict[str, Any],
) -> dict[str, Any]:
  """Writes the settings, or checks that the images are those of the start.

  Args:
    folder: of the data set, checked.
    settings: of the data set.
    description: of the images, from `describe`, and anything else that is
      decided when a data set is begun.

  Returns:
    The description that the data set was begun with. Jit: no.

  Raises:
    ValueError: the folder was begun with other images.
  """
  path = folder / SETTINGS
  mine = False
  if processes.is_first():
    folder.mkdir(parents=True, exist_ok=True)
    mine = not path.exists()
    if mine:
      content = {'settings': settings.to_dict(), 'images': description}
      shards.write_text(path, json.dumps(content, indent=2) + '\n')
  processes.wait(f'claimed {folder.name}')
  if not mine:
    found = json.loads(path.read_text(encoding='utf-8'))
    if found.get('images', {}).get('sha256') != description['sha256']:
      raise ValueError(
        f'{folder} was begun with other images than image_dir holds now (their '
        'SHA-256 differ); give the former image_dir, or delete the folder to '
        'begin again. Nothing was changed.'
      )
    begun: dict[str, Any] = found['images']
    return begun
  return description
