# SPDX-License-Identifier: Apache-2.0
"""Reads config files with a variant, and sets fields as a command line does."""

import ast
from collections.abc import Sequence
import importlib.util
import pathlib
from typing import Any

import ml_collections


def load(path: pathlib.Path, variant: str) -> ml_collections.ConfigDict:
  """Calls the `get_config` of a file.

  Args:
    path: of the file.
    variant: its argument.

  Returns:
    The config. Jit: no.

  Raises:
    ValueError: a missing file, or a variant that it refuses.
  """
  if not path.exists():
    known = sorted(other.stem for other in path.parent.glob('*.py'))
    raise ValueError(
      f'unknown config {path.stem!r}; {path.parent.name} has {known}.'
    )
  found: Any = importlib.util.spec_from_file_location(
    f'config_{path.parent.name}_{path.stem}', path
  )
  module = importlib.util.module_from_spec(found)
  found.loader.exec_module(module)
  config: ml_collections.ConfigDict = module.get_config(variant)
  return config


def change(
  config: ml_collections.ConfigDict, overrides: Sequence[str]
) -> ml_collections.ConfigDict:
  """Sets fields, later ones over earlier ones.

  Args:
    config: that has the fields; changed here.
    overrides: 'outer.inner=value', the value a Python literal or a text.

  Returns:
    The same config. Jit: no.

  Raises:
    ValueError: a field that the config does not have, or a value of another
      type.
  """
  for text in overrides:
    field, _, value = text.partition('=')
    *outer, inner = field.split('.')
    try:
      part = config
      for name in outer:
        part = part[name]
      part[inner]  # Raises where there is no such field.
      part[inner] = _parse(value)
    except (KeyError, TypeError) as error:
      raise ValueError(
        f'overrides must be <field>=<value> with fields of the config, got '
        f'{text!r}: {error}'
      ) from error
  return config


def _parse(text: str) -> Any:
  try:
    return ast.literal_eval(text)
  except (SyntaxError, ValueError):
    return text
