# SPDX-License-Identifier: Apache-2.0
"""Which networks a data set consists of: images of each split, their views."""

import dataclasses

import jax
import numpy as np

from ng_jax.data import images as images_lib
from ng_jax.data import inr_settings

SPLITS = ('train', 'validation', 'test')

# Numbers that the key of the initial weights is folded with.
_ORIGINS = {'train': 0, 'test': 1}
_SHARED = 2


@dataclasses.dataclass(frozen=True)
class Jobs:
  """The networks of a data set, in order; all arrays [num_networks].

  Attributes:
    split: index into `SPLITS`.
    is_test: whether the image is one of the source's test images.
    position: of the image among those as read.
    image_index: int32, number of the image in the source's split.
    label: int32.
    view: int32, which fit of that image.
  """

  split: np.ndarray
  is_test: np.ndarray
  position: np.ndarray
  image_index: np.ndarray
  label: np.ndarray
  view: np.ndarray

  def __len__(self) -> int:
    return len(self.split)


def choose(
  settings: inr_settings.InrSettings, source: images_lib.Splits
) -> Jobs:
  """Draws the images of each split and lists the fits.

  Args:
    settings: of the data set.
    source: the images.

  Returns:
    The jobs: split by split, image by image, view by view. Jit: no.

  Raises:
    ValueError: the source has fewer images than asked for.
  """
  wanted = {
    'train': settings.num_train + settings.num_validation,
    'test': settings.num_test,
  }
  drawn = {}
  for name, count in wanted.items():
    available = len(source[name].labels)
    if available < count:
      fields = {
        'train': 'num_train + num_validation',
        'test': 'num_test',
      }[name]
      raise ValueError(
        f'{fields} must be at most the {available:,} {name} images of '
        f'{settings.source!r}, got {count:,}; ask for fewer.'
      )
    generator = np.random.default_rng([settings.split_seed, _ORIGINS[name]])
    drawn[name] = generator.permutation(available)[:count]
  # Validation first, so that it stays the same whatever the size of train.
  validation, train = np.split(drawn['train'], [settings.num_validation])
  positions = [np.sort(p) for p in (train, validation, drawn['test'])]
  num_views = settings.num_views
  split = np.repeat(np.arange(3), [num_views * len(p) for p in positions])
  is_test = split == SPLITS.index('test')
  position = np.concatenate([np.repeat(p, num_views) for p in positions])

  def gather(field: str) -> np.ndarray:
    train, test = (getattr(source[name], field) for name in _ORIGINS)
    return np.concatenate([train[position[~is_test]], test[position[is_test]]])

  return Jobs(
    split=split,
    is_test=is_test,
    position=position,
    image_index=gather('index').astype(np.int32),
    label=gather('labels').astype(np.int32),
    view=np.tile(np.arange(num_views, dtype=np.int32), len(split) // num_views),
  )


def initial_keys(settings: inr_settings.InrSettings, jobs: Jobs) -> jax.Array:
  """Keys of the initial weights.

  They depend on seed, image and view alone, so that an image gets the same
  network whatever else is in the set.

  Args:
    settings: seed and init decide.
    jobs: the networks.

  Returns:
    [num_networks] typed PRNG keys. Jit: no.
  """
  root = jax.random.key(settings.seed)
  fold, fold_all = jax.random.fold_in, jax.vmap(jax.random.fold_in)
  if settings.init == 'shared':
    return jax.vmap(fold, (None, 0))(fold(root, _SHARED), jobs.view)
  origin = np.where(jobs.is_test, _ORIGINS['test'], _ORIGINS['train'])
  keys = jax.vmap(fold, (None, 0))(root, origin.astype(np.int32))
  return fold_all(fold_all(keys, jobs.image_index), jobs.view)
