# SPDX-License-Identifier: Apache-2.0
"""Checks, records and comparisons of configs.

A config is an `ml_collections.ConfigDict`. A run has a default config that
lists every field; a config may change values and nothing else.
"""

from collections.abc import Mapping, Sequence
import difflib
import json
import pathlib
from typing import Any

import ml_collections

# Fields that may change when a run is resumed: they say how long to train,
# where things lie, on what to run and what to evaluate on in the end, not what
# is learned. A field stands for all those inside it.
FREE_ON_RESUME = (
  'num_epochs',
  'num_steps',
  'num_devices',
  'compilation_cache',
  'data.data_dir',
  'data.image_dir',
  'evaluation',
  'out_of_domain',
)


def check_fields(
  config: Mapping[str, Any], default: Mapping[str, Any], *, prefix: str = ''
) -> None:
  """Refuses fields that the default does not have, and missing ones.

  Args:
    config: to be checked, nested.
    default: with every known field.
    prefix: names of the enclosing fields, for messages.

  Raises:
    ValueError: a field is unknown or missing.
  """
  for name in config:
    if name not in default:
      raise ValueError(
        f'unknown config field {prefix + name!r}{did_you_mean(name, default)}'
        f'; known fields here: {sorted(default)}.'
      )
  for name, value in default.items():
    if name not in config:
      raise ValueError(
        f'config field {prefix + name!r} is missing; start from the default '
        f'config, where it is {value!r}.'
      )
    if isinstance(value, Mapping | ml_collections.ConfigDict):
      check_fields(config[name], value, prefix=f'{prefix}{name}.')


def did_you_mean(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
  """Returns a hint such as "; did you mean 'gnn'?", or nothing."""
  close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
  return f'; did you mean {close[0]!r}?' if close else ''


def choose_variant(variant: str, variants: Mapping[str, Any]) -> list[str]:
  """Splits 'base+modifier+modifier' and refuses unknown parts.

  Args:
    variant: as given after the colon of --config.
    variants: known names; base variants and modifiers alike.

  Returns:
    The parts in order.

  Raises:
    ValueError: a part is unknown or given twice.
  """
  parts = variant.split('+')
  for part in parts:
    if part not in variants:
      raise ValueError(
        f'unknown variant {part!r}{did_you_mean(part, variants)}; known are '
        f"{sorted(variants)}, joined by '+', a base variant first."
      )
  if len(set(parts)) < len(parts):
    raise ValueError(f'variant {variant!r} names a part twice; drop one.')
  return parts


def to_json_types(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the config as JSON has it: dicts, lists, numbers, strings."""
  if isinstance(config, ml_collections.ConfigDict):
    config = config.to_dict()
  return json.loads(json.dumps(config))


def write(
  config: Mapping[str, Any], path: str | pathlib.Path, *, source: str = ''
) -> None:
  """Writes the resolved config as JSON.

  Args:
    config: of the run.
    path: of the file.
    source: how the config was asked for (file, variant and overrides); kept
      under '_source'.
  """
  record = {'_source': source, **to_json_types(config)}
  text = json.dumps(record, indent=2) + '\n'
  pathlib.Path(path).write_text(text, encoding='utf-8')


def flatten(config: Mapping[str, Any], *, prefix: str = '') -> dict[str, Any]:
  """Returns {'outer.inner': value} of a nested config."""
  flat = {}
  for name, value in config.items():
    if isinstance(value, Mapping):
      flat.update(flatten(value, prefix=f'{prefix}{name}.'))
    else:
      flat[prefix + name] = value
  return flat


def check_unchanged(
  config: Mapping[str, Any],
  saved: Mapping[str, Any],
  *,
  defaults: Mapping[str, Any],
  workdir: str,
) -> None:
  """Refuses to resume a run with another config than it was started with.

  Args:
    config: of this run.
    saved: of the checkpoint, JSON types. Fields that it lacks, because ng_jax
      gained them later, count as their defaults, which keep what was before.
    defaults: of the fields.
    workdir: for the message.

  Raises:
    ValueError: fields other than `FREE_ON_RESUME` differ; lists them.
  """
  new, old = flatten(to_json_types(config)), flatten(saved)
  old = flatten(to_json_types(defaults)) | old
  lines = [
    f'{name}: {old.get(name, "(absent)")!r} in the checkpoint, '
    f'{new.get(name, "(absent)")!r} now'
    for name in sorted({*new, *old})
    if new.get(name) != old.get(name)
    and not {name, name.split('.')[0]} & set(FREE_ON_RESUME)
  ]
  if lines:
    raise ValueError(
      f'{workdir} holds a run with another config:\n  '
      + '\n  '.join(lines)
      + '\nGive these fields their old values to continue it (only '
      f'{", ".join(FREE_ON_RESUME)} may change), or choose another workdir.'
    )
