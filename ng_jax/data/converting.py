# SPDX-License-Identifier: Apache-2.0
"""Turns data sets of others into TFDS data sets, one shard after another.

    <data_dir>/converted_<source>_<hash>/
      settings.json    what is converted, written first
      shards/          while it is being converted; becomes
      <name>/1.0.0/    the TFDS data set
      README.md card.json   last

Only the networks of one shard are in memory at once. A shard appears whole,
under its final name, so a killed run goes on at the first missing one and gives
the same files to the byte. Of several processes (`ng_jax.processes`) each
writes every so-many-th shard, and the first alone writes the rest.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import dataclasses
import json
import os
import pathlib
from typing import Any

from absl import logging
import tqdm

from ng_jax import processes
from ng_jax.data import claims
from ng_jax.data import making
from ng_jax.data import published
from ng_jax.data import shards
from ng_jax.data import tfds_folder

SHARDS = 'shards'
_VERSION = '1.0.0'


@dataclasses.dataclass(frozen=True)
class Plan:
  """What is converted, and how.

  Attributes:
    name: of the TFDS data set, 'inr_set' or 'cnn_set'.
    splits: {'train', 'validation', 'test'}, what stands for a network, in
      order.
    read: gives the examples of some of these.
    features: of TFDS, of an example.
    card: what card.json says besides the settings and numbers.
    title: of the README.
    usage: how the set is read, for the README.
  """

  name: str
  splits: Mapping[str, Sequence[Any]]
  read: Callable[[Sequence[Any]], Iterable[dict[str, Any]]]
  features: Any
  card: Mapping[str, Any]
  title: str
  usage: str


@dataclasses.dataclass(frozen=True)
class _Shard:
  """A file of the data set, and the part of the split that it holds."""

  path: pathlib.Path
  split: str
  start: int
  stop: int

  def __len__(self) -> int:
    return self.stop - self.start


def convert(
  settings: published.PublishedSettings,
  plan: Plan,
  data_dir: str | os.PathLike[str],
  *,
  name: str | None = None,
) -> pathlib.Path:
  """Converts a data set, or what is missing of it.

  Args:
    settings: with the fingerprint of what is converted.
    plan: of the conversion.
    data_dir: where data sets are kept.
    name: of the set's folder, instead of the hash of its settings.

  Returns:
    The folder. Logs how many shards were found and how many are to be made.
    Jit: no.

  Raises:
    ValueError: a folder of that name with other settings, and what `plan.read`
      raises.
  """
  folder = pathlib.Path(data_dir) / (name or settings.folder_name())
  claims.check(folder, settings)
  if (folder / making.CARD).exists():
    logging.info('Found the finished data set %s.', folder)
    return folder
  claims.claim(folder, settings, {'sha256': {}})
  files = list(_shards(folder / SHARDS, plan, settings.chunk_size))
  is_written = (folder / plan.name / _VERSION).exists()
  if not is_written:
    share = processes.share()
    _write_shards(folder, plan, files[share.index :: share.count])
  processes.wait(f'shards of {folder.name}')
  if processes.is_first():
    if not is_written:
      _assemble(folder, plan, files)
    _describe(folder, plan, settings)
  processes.wait(f'converted {folder.name}')
  return folder


def _assemble(
  folder: pathlib.Path, plan: Plan, files: Sequence[_Shard]
) -> None:
  """Makes a TFDS data set of the shards."""
  lengths: dict[str, list[int]] = {split: [] for split in plan.splits}
  for file in files:
    lengths[file.split].append(len(file))
  tfds_folder.write_metadata(
    folder / SHARDS,
    name=plan.name,
    features=plan.features,
    shard_lengths=lengths,
    description=f'{plan.title}; see README.md beside this folder.',
  )
  finished = folder / plan.name / _VERSION
  finished.parent.mkdir(exist_ok=True)
  (folder / SHARDS).rename(finished)


def _describe(
  folder: pathlib.Path, plan: Plan, settings: published.PublishedSettings
) -> None:
  """Writes what says that the set is finished."""
  tfds_folder.clean(folder, ('*.tmp*',))
  counts = {split: len(items) for split, items in plan.splits.items()}
  card = {
    published.CARD_ENTRY: settings.to_dict(),
    'num_networks': counts,
    **plan.card,
  }
  shards.write_text(folder / making.README, _readme(plan, card))
  shards.write_text(folder / making.CARD, json.dumps(card, indent=2) + '\n')


def _shards(
  folder: pathlib.Path, plan: Plan, chunk_size: int
) -> Iterator[_Shard]:
  for split, items in plan.splits.items():
    starts = range(0, len(items), chunk_size)
    for i, start in enumerate(starts):
      path = folder / tfds_folder.shard_name(plan.name, split, i, len(starts))
      stop = min(start + chunk_size, len(items))
      yield _Shard(path, split, start, stop)


def _write_shards(
  folder: pathlib.Path, plan: Plan, files: Sequence[_Shard]
) -> None:
  """Reads and writes what is missing."""
  missing = [file for file in files if not file.path.exists()]
  logging.info(
    'Converting to %s: %d of %d shards found, %d to make.',
    folder,
    len(files) - len(missing),
    len(files),
    len(missing),
  )
  total = sum(map(len, files))
  with tqdm.tqdm(
    total=total,
    initial=total - sum(map(len, missing)),
    unit='network',
    desc='converting',
  ) as progress:
    for file in missing:
      items = plan.splits[file.split][file.start : file.stop]
      tfds_folder.write_shard(
        file.path, plan.features, _watched(plan.read(items), progress)
      )


def _watched(
  examples: Iterable[dict[str, Any]], progress: Any
) -> Iterator[dict[str, Any]]:
  for example in examples:
    yield example
    progress.update()


def _readme(plan: Plan, card: Mapping[str, Any]) -> str:
  settings = card[published.CARD_ENTRY]
  lines = [
    f'# {plan.title}',
    '',
    'Converted by ng_jax; the networks are those of the publishers, value by '
    'value.',
    '',
    '| split | networks |',
    '| --- | --- |',
    *(f'| {name} | {n:,} |' for name, n in card['num_networks'].items()),
    '',
    '| setting | value |',
    '| --- | --- |',
    *(f'| {name} | {value} |' for name, value in settings.items()),
    '',
    '## Reading it',
    '',
    f"{plan.usage}, or with TFDS alone `tfds.builder_from_directory('<folder>/"
    f"{plan.name}/{_VERSION}').as_data_source('train')`.",
    '',
  ]
  return '\n'.join(lines)
