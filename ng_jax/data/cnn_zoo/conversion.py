# SPDX-License-Identifier: Apache-2.0
"""Plans the conversion of published zoos to our TFDS data set."""

from collections.abc import Iterator, Sequence
import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

import numpy as np

from ng_jax import networks
from ng_jax import specs
from ng_jax.data import converting
from ng_jax.data import published
from ng_jax.data.cnn_zoo import making
from ng_jax.data.cnn_zoo import small_zoo
from ng_jax.data.cnn_zoo import wild_park

_NUMBERS = ('run', 'epoch', 'test_accuracy')


def plan_small_zoo(
  settings: published.PublishedSettings,
  source_dir: str | os.PathLike[str],
  *,
  split_file: str = '',
) -> tuple[published.PublishedSettings, converting.Plan]:
  """Plans the conversion of CIFAR10-GS, its final checkpoints.

  Args:
    settings: of the conversion.
    source_dir: see `small_zoo.read`.
    split_file: see `small_zoo.read`.

  Returns:
    The settings with their fingerprint, and the plan. Jit: no.

  Raises:
    ValueError: as `small_zoo.read`.
  """
  zoo = small_zoo.open_zoo(
    pathlib.Path(source_dir),
    split_file=split_file,
    final_step=settings.final_step,
  )

  def examples(rows: Sequence[int]) -> Iterator[dict[str, Any]]:
    for row in rows:
      yield _example(
        zoo.network,
        zoo.weights(row),
        name=small_zoo.row_name(row),
        run=int(row),
        epoch=settings.final_step,
        test_accuracy=np.float32(zoo.accuracy[row]),
      )

  table = {
    name: [(int(row), float(zoo.accuracy[row])) for row in rows]
    for name, rows in zoo.rows.items()
  }
  return _plan(
    settings,
    table,
    splits={name: rows.tolist() for name, rows in zoo.rows.items()},
    read=examples,
    title='CIFAR10-GS Small CNN Zoo, final checkpoints',
  )


def plan_wild_park(
  settings: published.PublishedSettings,
  source_dir: str | os.PathLike[str],
) -> tuple[published.PublishedSettings, converting.Plan]:
  """Plans the conversion of the CNN Wild Park.

  Args:
    settings: of the conversion.
    source_dir: see `wild_park.read`.

  Returns:
    The settings with their fingerprint, and the plan. Jit: no.

  Raises:
    ValueError: as `wild_park.list_checkpoints`; files are opened later.
  """
  folder = pathlib.Path(source_dir)
  splits = wild_park.list_checkpoints(folder)

  def examples(
    members: Sequence[wild_park.Checkpoint],
  ) -> Iterator[dict[str, Any]]:
    for member in members:
      network, weights = wild_park.read_checkpoint(folder / member.path)
      yield _example(
        network,
        weights,
        name=member.path,
        run=member.run,
        epoch=member.step,
        test_accuracy=np.float32(member.accuracy),
      )

  table = {
    name: [dataclasses.astuple(member) for member in members]
    for name, members in splits.items()
  }
  return _plan(
    settings, table, splits=splits, read=examples, title='CNN Wild Park'
  )


def _plan(
  settings: published.PublishedSettings,
  table: dict[str, list[Any]],
  **parts: Any,
) -> tuple[published.PublishedSettings, converting.Plan]:
  from ng_jax.data.builders import cnn_set

  digest = hashlib.sha256(json.dumps(table).encode()).hexdigest()
  plan = converting.Plan(
    name=making.SET,
    features=cnn_set.features(_NUMBERS, texts=('name',)),
    card={},
    usage='`ng_jax.data.cnn_zoo.load(folder)`',
    **parts,
  )
  return dataclasses.replace(settings, fingerprint=digest), plan


def _example(
  network: networks.Cnn, weights: specs.Weights, **fields: Any
) -> dict[str, Any]:
  return {
    'weights': making.join(network.spec, specs.leaf_arrays(weights)),
    'architecture': json.dumps(dataclasses.asdict(network)),
    **fields,
  }
