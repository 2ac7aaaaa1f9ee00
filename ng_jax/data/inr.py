# SPDX-License-Identifier: Apache-2.0
"""Data sets of implicit neural representations: make them, load them.

    settings = inr.InrSettings(source='digits', ...)
    dataset = inr.make_or_load(settings, data_dir='data')
    dataset.split('train').weights  # {'layer_1': {'kernel': [num, 2, 16], ...

A data set lies in a folder named by a hash of its settings and is made once.
`ng_jax.data.making` does that; this module is what everything else uses.
"""

from collections.abc import Mapping
import dataclasses
import functools
import os
import pathlib
from typing import Any

import numpy as np

from ng_jax import networks
from ng_jax import specs
from ng_jax.data import inr_settings
from ng_jax.data import jobs
from ng_jax.data import making
from ng_jax.data import published
from ng_jax.data import settings as settings_lib
from ng_jax.data import shards
from ng_jax.data import tfds_folder
from ng_jax.files import texts
from ng_jax.specs import bounds

InrSettings = inr_settings.InrSettings
settings_from_dict = inr_settings.from_dict
make = making.make

SPLITS = jobs.SPLITS


@dataclasses.dataclass(frozen=True)
class InrSplit:
  """Networks of one split, in the order of their images, then views.

  Attributes:
    weights: nested, leaves [num_networks, ...] float, numpy.
    labels: [num_networks] int32.
    images: [num_networks, rows, columns, channels] uint8; divide by the data
      set's `max_value` for the pixels that were fitted. None where a published
      set was read without them.
    image_index: [num_networks] int32, number of the image in the source's
      split (validation images are training images of the source).
    view: [num_networks] int32, which of the fits of that image.
    psnr: [num_networks] float32, in dB; None without images.
  """

  weights: dict[str, Any]
  labels: np.ndarray
  images: np.ndarray | None
  image_index: np.ndarray
  view: np.ndarray
  psnr: np.ndarray | None

  def __len__(self) -> int:
    return len(self.labels)


@dataclasses.dataclass(frozen=True)
class InrDataset:
  """A data set of INRs.

  Attributes:
    path: its folder.
    settings: that it was made with, `InrSettings`, or converted with.
    card: contents of card.json, {} for a published set that was not converted.
    network: the SIREN whose weights they are.
    splits: {'train', 'validation', 'test'}.
    class_names: of the labels.
    max_value: of `InrSplit.images`, what is white.
  """

  path: pathlib.Path
  settings: settings_lib.Settings
  card: dict[str, Any]
  network: networks.Siren
  splits: dict[str, InrSplit]
  class_names: tuple[str, ...]
  max_value: int

  def split(self, name: str) -> InrSplit:
    """Returns a split by name; ValueError lists the known ones. Jit: no."""
    if name not in self.splits:
      raise ValueError(
        f'unknown split {name!r}; expected one of {sorted(self.splits)}.'
      )
    return self.splits[name]


def split_config(
  config: Mapping[str, Any],
) -> tuple[InrSettings, dict[str, str]]:
  """Takes the data part of a config apart.

  Args:
    config: fields of `InrSettings`, and of the folders 'data_dir', 'image_dir'
      and perhaps 'name'.

  Returns:
    The settings, and the folders as arguments of `make` and `make_or_load`.
    Jit: no.

  Raises:
    ValueError: an unknown field, or a bad value.
  """
  return settings_lib.split_config(InrSettings, config)


def make_or_load(
  settings: InrSettings,
  data_dir: str | os.PathLike[str],
  *,
  image_dir: str | None = None,
  name: str | None = None,
) -> InrDataset:
  """Returns the data set of these settings; makes it where it is missing.

  Args:
    settings: of the data set.
    data_dir: where made sets are kept.
    image_dir: folder of the image files; not needed when the set is there.
    name: of the set's folder, instead of the hash of its settings.

  Returns:
    The data set. Jit: no.

  Raises:
    ValueError: as `make` and `load`.
  """
  return load(make(settings, data_dir, image_dir=image_dir, name=name))


def load(path: str | os.PathLike[str]) -> InrDataset:
  """Reads a data set that is finished.

  Args:
    path: its folder, as `make` returns it.

  Returns:
    The data set, on the host. Jit: no.

  Raises:
    ValueError: no data set there, an unfinished one, or damaged files.
  """
  path = pathlib.Path(path)
  fields = _read_card(path)
  spec, counts = fields['network'].spec, fields['card']['num_networks']
  splits = {}
  for name in SPLITS:
    file = path / making.ARRAYS / f'{name}.safetensors'
    if file.exists():
      arrays = shards.read(file, num_rows=counts[name])
    else:
      arrays = _read_tfds(path, name)
    try:
      splits[name] = _to_split(spec, arrays)
    except (KeyError, ValueError) as error:
      raise ValueError(
        f'the split {name!r} of {path} must hold the networks of its '
        f'{making.CARD}, but does not ({error}); delete {path} and make the '
        'set again.'
      ) from error
  return InrDataset(path=path, splits=splits, **fields)


def _read_card(path: pathlib.Path) -> dict[str, Any]:
  """Fields of the data set that its card tells."""
  try:
    card = texts.read_json(path / making.CARD)
    settings, network = _made_with(card)
    return {
      'card': {**card, 'num_networks': _read_counts(card)},
      'settings': settings,
      'network': network,
      'class_names': tuple(map(str, card['images']['class_names'])),
      'max_value': int(card['images']['max_value']),
    }
  except Exception as error:  # A damaged card can raise nearly anything.
    raise ValueError(
      f'{path} must hold a finished INR data set, but its {making.CARD} cannot '
      f'be read ({error!r}); make the set again with the same settings, which '
      'continues where it stopped.'
    ) from error


def _read_counts(card: dict[str, Any]) -> dict[str, int]:
  return {name: int(card['num_networks'][name]) for name in SPLITS}


def _to_split(
  spec: specs.NetworkSpec, arrays: dict[str, np.ndarray]
) -> InrSplit:
  prefix = making.WEIGHTS + '/'
  weights = specs.from_leaf_arrays(
    {
      path.removeprefix(prefix): x
      for path, x in arrays.items()
      if path.startswith(prefix)
    }
  )
  specs.check_weights(spec, weights)
  return InrSplit(
    weights=weights,
    labels=arrays['label'],
    images=arrays.get('image'),
    image_index=arrays['image_index'],
    view=arrays['view'],
    psnr=arrays.get('psnr'),
  )


def _made_with(
  card: dict[str, Any],
) -> tuple[settings_lib.Settings, networks.Siren]:
  """The settings and the network of a set that was made, or converted."""
  converted = published.from_card(card)
  if converted is not None:
    fields = card['network']
    sizes = tuple(fields['layer_sizes'])
    network = networks.Siren(sizes, fields['variant'], fields['w0'])
    bounds.check_spec(network.spec)
    return converted, network
  settings = inr_settings.from_dict(card['settings'])
  network = settings.network(card['images']['shape'][-1])
  bounds.check_spec(network.spec)
  return settings, network


def _read_tfds(path: pathlib.Path, split: str) -> dict[str, np.ndarray]:
  """Reads a split from array_record, about 3,000 networks a second."""
  examples = tfds_folder.read(path / making.TFDS, split, folder=path)
  flat = [specs.leaf_arrays(example) for example in examples]
  stack = functools.partial(np.stack, axis=0)
  arrays = {
    name: stack([example[name] for example in flat]) for name in flat[0]
  }
  return {
    name: x.astype(np.int32) if name in making.INTEGERS else x
    for name, x in arrays.items()
  }
