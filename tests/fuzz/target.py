# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: a reader, and a small valid file to damage."""

from collections.abc import Callable
import dataclasses
import pathlib
from typing import Any

from tests.fuzz import mutations


@dataclasses.dataclass(frozen=True)
class Target:
  """A reader.

  Attributes:
    path: of the valid file, which is damaged.
    read: reads it.
    tokens: that damage it most.
    mutate: how it is damaged.
    packed: whether it is gzipped, so that what is inside is damaged too.
    names_file: whether messages name the file.
  """

  path: pathlib.Path
  read: Callable[[], Any]
  tokens: tuple[bytes, ...] = ()
  mutate: Callable[..., bytes] = mutations.mutate
  packed: bool = False
  names_file: bool = True


# Empty folder -> target.
Make = Callable[[pathlib.Path], Target]
