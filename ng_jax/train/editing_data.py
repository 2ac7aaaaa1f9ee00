# SPDX-License-Identifier: Apache-2.0
"""Data of INR editing: networks and the edited images they should draw."""

from collections.abc import Mapping
import dataclasses

import ml_collections
import numpy as np

from ng_jax.data import image_edits
from ng_jax.data import inr
from ng_jax.train import inr_sources

OUT_OF_DOMAIN = 'out_of_domain'


@dataclasses.dataclass(frozen=True)
class EditingData:
  """What an editing run reads, on the host.

  Attributes:
    dataset: that the model is trained on.
    parts: its splits and, where asked for, 'out_of_domain'.
    targets: by split, [num_networks, rows, columns, channels] uint8, 255 is
      white.
  """

  dataset: inr.InrDataset
  parts: Mapping[str, inr.InrSplit]
  targets: Mapping[str, np.ndarray]


def load(
  config: ml_collections.ConfigDict, edit: image_edits.ImageEdit
) -> EditingData:
  """Makes or reads the networks, and edits their images.

  Args:
    config: with the fields of `editing_config.default_config`.
    edit: of the images.

  Returns:
    The data. Jit: no.

  Raises:
    ValueError: bad settings or files, a data set without images, an edit that
      changes their form, other networks or images out of the domain.
  """
  dataset = inr_sources.load(config.data)
  parts = dict(dataset.splits)
  targets = {
    name: edit_images(part, edit, max_value=dataset.max_value, split=name)
    for name, part in parts.items()
  }
  if config.out_of_domain.source or config.out_of_domain.path:
    other = inr_sources.load(out_of_domain_config(config))
    part = parts[OUT_OF_DOMAIN] = other.split('test')
    targets[OUT_OF_DOMAIN] = edit_images(
      part, edit, max_value=other.max_value, split=OUT_OF_DOMAIN
    )
    _check_alike(dataset, other, targets)
  return EditingData(dataset, parts, targets)


def edit_images(
  part: inr.InrSplit,
  edit: image_edits.ImageEdit,
  *,
  max_value: int,
  split: str,
) -> np.ndarray:
  """Makes the images that edited networks should draw.

  Args:
    part: networks with the images that they represent.
    edit: of the images.
    max_value: what is white in them.
    split: for messages.

  Returns:
    [num_networks, rows, columns, channels] uint8, 255 is white. Jit: no.

  Raises:
    ValueError: no images, or not one a network; an edit that changes shape or
      dtype.
  """
  images = part.images
  if images is None or np.ndim(images) != 4 or len(images) != len(part):
    raise ValueError(
      'editing needs the images that the networks represent, '
      f'[{len(part)}, rows, columns, channels] uint8, but the {split} split '
      f'has {"none" if images is None else np.shape(images)}; make the set '
      'with experiments/make_inr_dataset.py, which keeps them, or give the '
      'image_dir of a published one.'
    )
  # Views of one image come one after the other: edit it once.
  first = np.ones(len(images), bool)
  first[1:] = (images[1:] != images[:-1]).any(axis=(1, 2, 3))
  edited = image_edits.apply(edit, images[first], max_value=max_value)
  return edited[np.cumsum(first) - 1]


def out_of_domain_config(
  config: ml_collections.ConfigDict,
) -> ml_collections.ConfigDict:
  """The data config of the networks out of the domain.

  Args:
    config: of the run; its field out_of_domain names the source of the images
      or the kind and path of INRs that are read, and, where they are not 0,
      the sizes of the splits.

  Returns:
    config.data with these fields. Jit: no.
  """
  data = config.data.copy_and_resolve_references()
  for name, value in config.out_of_domain.items():
    if value or name in ('image_dir', 'path', 'split_file'):
      data[name] = value
  if not data.path:
    data.kind = 'made'
  return data


def _check_alike(
  dataset: inr.InrDataset,
  other: inr.InrDataset,
  targets: Mapping[str, np.ndarray],
) -> None:
  """Refuses networks or images that the model cannot be evaluated on."""
  shapes = [targets[name].shape[1:] for name in ('test', OUT_OF_DOMAIN)]
  if dataset.network != other.network or shapes[0] != shapes[1]:
    raise ValueError(
      'config.out_of_domain must give the same networks and shape of images as '
      f'config.data, got {other.network} for {shapes[1]} images, and '
      f'{dataset.network} for {shapes[0]}; choose another source, or leave '
      "out_of_domain.source=''."
    )
