# SPDX-License-Identifier: Apache-2.0
"""The command of a run, and the settings that it stands for."""

from collections.abc import Mapping, Sequence
import hashlib
import json
import pathlib
from typing import Any

import ml_collections

from ng_jax.results import config_files
from ng_jax.results import tables
from ng_jax.train import config as config_lib
from ng_jax.train import run_config

# Fields that say where things lie; in any part of a config.
PLACES = ('data_dir', 'image_dir', 'path', 'source_dir', 'split_file')
# Fields that do not change what a row is: its runs may differ in them.
_FREE = ('compilation_cache', 'num_devices', 'seed')


def resolve(
  table: tables.Table, row: tables.Row, root: pathlib.Path
) -> ml_collections.ConfigDict:
  """The config that the command of a row gives its binary.

  Args:
    table: of the row.
    row: of the table.
    root: of the repository, with configs/.

  Returns:
    The config of seed 0, with default places. Jit: no.

  Raises:
    ValueError: an unknown variant, or a field that the config does not have.
  """
  file, _, variant = row.config.partition(':')
  config = config_files.load(root / 'configs' / table.binary / file, variant)
  return config_files.change(config, (*table.overrides, *row.overrides))


def make_command(
  table: tables.Table,
  row: tables.Row,
  *,
  seed: int,
  workdir: str,
  places: Sequence[str] = (),
) -> list[str]:
  """Arguments of Python, from the root of the repository, that make a run.

  Args:
    table: of the row.
    row: of the table.
    seed: of the run.
    workdir: of the run.
    places: fields of `PLACES`, as 'data.image_dir=FOLDER'.

  Returns:
    ['experiments/<binary>.py', '--config=...', ...]. Jit: no.
  """
  return [
    f'experiments/{table.binary}.py',
    f'--config=configs/{table.binary}/{row.config}',
    *(f'--config.{text}' for text in (*table.overrides, *row.overrides)),
    f'--config.seed={seed}',
    *(f'--config.{place}' for place in places),
    f'--workdir={workdir}',
  ]


def find_places(
  config: Mapping[str, Any], given: Mapping[str, str]
) -> list[str]:
  """Fields of a config that say where things lie, with new values.

  Args:
    config: of a run.
    given: {'image_dir': folder, 'data_dir': folder}; for every such field of
      the config or its parts.

  Returns:
    As `make_command` takes them: 'data.image_dir=folder'. Jit: no.

  Raises:
    ValueError: a name that is not one of `PLACES`.
  """
  unknown = sorted(set(given) - set(PLACES))
  if unknown:
    raise ValueError(
      f'only places may differ between runs of a row, got {unknown}; expected '
      f'some of {sorted(PLACES)}. Other fields belong into the table.'
    )
  fields = config_lib.flatten(config_lib.to_json_types(config))
  return [
    f'{field}={given[_last(field)]}'
    for field in fields
    if _last(field) in given
  ]


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
  """The fields of a config that decide a result, besides the seed.

  Args:
    config: of a run, perhaps as config.json has it.

  Returns:
    {'outer.inner': value}, JSON types. Jit: no.
  """
  fields = config_lib.flatten(config_lib.to_json_types(config))
  return {
    field: value
    for field, value in fields.items()
    if field not in _FREE
    and _last(field) not in PLACES
    and not field.startswith('_')
  }


def fingerprint(config: Mapping[str, Any]) -> str:
  """Twelve letters that stand for the `settings` of a config. Jit: no."""
  text = json.dumps(settings(config), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def differences(
  made_with: Mapping[str, Any], wanted: Mapping[str, Any]
) -> list[str]:
  """Settings of a run that are not those of its row.

  Args:
    made_with: config of the run. Fields that it lacks, because ng_jax gained
      them later, count as their defaults, which keep what was before, if all
      runs on networks have them, and not at all otherwise.
    wanted: config of the row.

  Returns:
    'field: old value, not new value' for each. Jit: no.
  """
  old, new = settings(made_with), settings(wanted)
  later = settings(run_config.default_fields())
  old = {field: later[field] for field in later if field in new} | old
  return [
    f'{field}: {old[field]!r}, not {new.get(field, "(absent)")!r}'
    for field in sorted(old)
    if field not in new or old[field] != new[field]
  ]


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
  """A config as a record keeps it: without folders of a machine.

  Args:
    config: as config.json has it.

  Returns:
    JSON types, nested. Jit: no.
  """
  return {
    name: without_places(value) if isinstance(value, Mapping) else value
    for name, value in config.items()
    if name not in PLACES and not name.startswith('_')
  }


def _last(field: str) -> str:
  return field.rpartition('.')[2]
