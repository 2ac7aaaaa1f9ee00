# SPDX-License-Identifier: Apache-2.0
"""Variants of the configs of tables."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar('T')


def choose(variant: str, known: Mapping[str, T]) -> T:
  """What a variant stands for.

  Args:
    variant: as given after the colon of --config.
    known: by name.

  Returns:
    The one that was asked for. Jit: no.

  Raises:
    ValueError: unknown variant; the known ones are listed.
  """
  if variant not in known:
    raise ValueError(
      f'unknown variant {variant!r}; expected one of {sorted(known)}.'
    )
  return known[variant]
