# SPDX-License-Identifier: Apache-2.0
"""Published sets of INRs as data sets: read at once, or planned to convert."""

from collections.abc import Iterator, Sequence
import dataclasses
import hashlib
import os
import pathlib
from typing import Any

import jax
import numpy as np
import tqdm

from ng_jax import specs
from ng_jax.data import converting
from ng_jax.data import images as images_lib
from ng_jax.data import inr
from ng_jax.data import published
from ng_jax.data.inr_files import kinds
from ng_jax.data.inr_files import listing as listing_lib
from ng_jax.data.inr_files import reading

# Files that are read between two steps of the bar.
_CHUNK_SIZE = 256


def read(
  settings: published.PublishedSettings,
  source_dir: str | os.PathLike[str],
  *,
  image_dir: str | None = None,
  split_file: str = '',
) -> inr.InrDataset:
  """Reads a published set into memory.

  Args:
    settings: whose source is one of `kinds.KINDS`.
    source_dir: folder of the set.
    image_dir: folder of the image files, see `images.read`; without it the set
      has neither images nor PSNR, and cannot be edited.
    split_file: of the splits; '' for the publishers' name in the folder.

  Returns:
    The data set. Jit: no.

  Raises:
    ValueError: bad splits; missing files, all of which are listed; a file that
      is damaged, no network of this set, or more than tensors; images of
      another set.
    ImportError: without torch.
  """
  kind, folder = _kind(settings), pathlib.Path(source_dir)
  listing = kind.list_files(settings, folder, split_file)
  images = _read_images(kind, image_dir)
  total = sum(map(len, listing.splits.values()))
  with tqdm.tqdm(total=total, unit='file', desc='reading') as progress:
    splits = {
      name: _read_split(listing, files, images, progress)
      for name, files in listing.splits.items()
    }
  return inr.InrDataset(
    path=folder,
    settings=settings,
    card={},
    network=listing.network,
    splits=splits,
    class_names=images_lib.CLASS_NAMES[kind.images],
    max_value=images['train'].max_value if images else 255,
  )


def plan(
  settings: published.PublishedSettings,
  source_dir: str | os.PathLike[str],
  *,
  image_dir: str | None = None,
  split_file: str = '',
) -> tuple[published.PublishedSettings, converting.Plan]:
  """Plans the conversion of a published set.

  Args: as `read`.

  Returns:
    The settings with their fingerprint, and the plan. Jit: no.

  Raises:
    ValueError: as `read`; files are opened later.
  """
  from ng_jax.data.builders import inr_set

  kind, folder = _kind(settings), pathlib.Path(source_dir)
  listing = kind.list_files(settings, folder, split_file)
  images = _read_images(kind, image_dir)
  spec, class_names = listing.network.spec, images_lib.CLASS_NAMES[kind.images]
  shape = images['train'].pixels.shape[1:] if images else None
  features = inr_set.features(
    {leaf.path: (spec.leaf_shape(leaf), np.float32) for leaf in spec.leaves},
    image_shape=shape,
    class_names=class_names,
  )
  card = {
    'network': dataclasses.asdict(listing.network),
    'images': {
      'shape': shape and list(shape),
      'max_value': images['train'].max_value if images else 255,
      'class_names': list(class_names),
    },
  }
  filled = dataclasses.replace(
    settings, fingerprint=_fingerprint(listing, images)
  )
  return filled, converting.Plan(
    name='inr_set',
    splits=listing.splits,
    read=lambda files: _examples(listing, files, images),
    features=features,
    card=card,
    title=f'Published INRs of {kind.images} ({settings.source})',
    usage='`ng_jax.data.inr.load(folder)`',
  )


def _kind(settings: published.PublishedSettings) -> kinds.Kind:
  settings.check_choice('source', kinds.KINDS)
  return kinds.KINDS[settings.source]


def _read_images(
  kind: kinds.Kind, image_dir: str | None
) -> images_lib.Splits | None:
  if not image_dir:
    return None
  return images_lib.read(kind.images, image_dir=image_dir)


def _fingerprint(
  listing: listing_lib.Listing, images: images_lib.Splits | None
) -> str:
  parts = [listing.fingerprint()]
  if images:
    parts += [images[name].fingerprint() for name in ('train', 'test')]
  return hashlib.sha256(' '.join(parts).encode()).hexdigest()


def _read_split(
  listing: listing_lib.Listing,
  files: Sequence[listing_lib.InrFile],
  images: images_lib.Splits | None,
  progress: Any,
) -> inr.InrSplit:
  chunks = []
  for start in range(0, len(files), _CHUNK_SIZE):
    chosen = files[start : start + _CHUNK_SIZE]
    chunks.append(reading.read_chunk(listing, chosen, images))
    progress.update(len(chosen))
  arrays = jax.tree.map(lambda *leaves: np.concatenate(leaves), *chunks)
  return inr.InrSplit(
    weights=arrays['weights'],
    labels=arrays['label'],
    images=arrays.get('image'),
    image_index=arrays['image_index'],
    view=arrays['view'],
    psnr=arrays.get('psnr'),
  )


def _examples(
  listing: listing_lib.Listing,
  files: Sequence[listing_lib.InrFile],
  images: images_lib.Splits | None,
) -> Iterator[dict[str, Any]]:
  """Examples of a shard, as the features of `inr_set` have them."""
  arrays = reading.read_chunk(listing, files, images)
  leaves = specs.leaf_arrays(arrays.pop('weights'))
  for i in range(len(files)):
    weights = specs.from_leaf_arrays({path: x[i] for path, x in leaves.items()})
    rest = {name: x[i] for name, x in arrays.items()}
    yield {'weights': weights, **rest, 'label': int(arrays['label'][i])}
