# SPDX-License-Identifier: Apache-2.0
"""What all published sets of INRs have in common: a list of their files."""

from collections.abc import Iterable, Mapping
import dataclasses
import hashlib
import json
import pathlib

from ng_jax import networks
from ng_jax.data import jobs
from ng_jax.files import limits

SPLITS = jobs.SPLITS
NUM_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class InrFile:
  """One file of a published set.

  Attributes:
    path: relative to the folder of the listing, with forward slashes.
    label: -1 where only the file itself knows it.
    image_split: 'train' or 'test', whose image it is in the source; 'all' where
      the images of both are numbered one after the other.
    image_index: number of that image.
  """

  path: str
  label: int
  image_split: str
  image_index: int


@dataclasses.dataclass(frozen=True)
class Listing:
  """All files of a published set.

  Attributes:
    folder: that the paths are relative to.
    network: the SIREN whose weights they are, as published.
    splits: {'train', 'validation', 'test'}, files in order.
  """

  folder: pathlib.Path
  network: networks.Siren
  splits: Mapping[str, tuple[InrFile, ...]]

  def __post_init__(self) -> None:
    files = [file for split in self.splits.values() for file in split]
    self._check_given(files)
    self._check_once(files)
    wrong = [f for f in files if not -1 <= f.label < NUM_CLASSES]
    if wrong:
      raise ValueError(
        f'labels must be below {NUM_CLASSES}, but {wrong[0].path} of '
        f'{self.folder} has {wrong[0].label}; the splits belong to another set.'
      )

  def _check_given(self, files: Iterable[InrFile]) -> None:
    count, missing = limits.listed(
      limits.missing_files(self.folder, (file.path for file in files))
    )
    if count:
      raise ValueError(
        f'the splits name {count:,} files that are not in {self.folder}:'
        f'{missing}\nFetch them, or give the folder that the paths of the '
        'splits begin in.'
      )
    empty = [name for name in SPLITS if not self.splits[name]]
    if empty:
      raise ValueError(
        f'every split of {self.folder} must have files, but {empty} have none; '
        'give other splits.'
      )

  def _check_once(self, files: Iterable[InrFile]) -> None:
    seen: set[str] = set()
    doubled = []
    for file in files:
      if file.path in seen:
        doubled.append(file.path)
      seen.add(file.path)
    if doubled:
      count, lines = limits.listed(doubled)
      raise ValueError(
        f'every file must be in one split, once, but {count:,} of '
        f'{self.folder} are named again:{lines}\nGive splits that share no '
        'network.'
      )

  def fingerprint(self) -> str:
    """SHA-256 of splits, paths and labels, in hexadecimal. Jit: no."""
    table = {
      name: [dataclasses.astuple(file) for file in self.splits[name]]
      for name in SPLITS
    }
    return hashlib.sha256(json.dumps(table).encode()).hexdigest()
