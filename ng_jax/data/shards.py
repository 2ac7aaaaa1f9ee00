# SPDX-License-Identifier: Apache-2.0
"""Pieces of a data set that is being made, so that a killed run can go on.

A shard is one safetensors file, written under a temporary name and renamed:
what has its final name is whole.
"""

from collections.abc import Mapping
import os
import pathlib

import numpy as np
import safetensors.numpy

from ng_jax.files import arrays as arrays_lib

Arrays = Mapping[str, np.ndarray]


def write(path: str | pathlib.Path, arrays: Arrays) -> None:
  """Writes arrays so that the file is either whole or not there.

  Args:
    path: of the file; its folder is made.
    arrays: {name: array}.

  Jit: no.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'{path.name}.tmp{os.getpid()}')
  contiguous = {name: np.ascontiguousarray(x) for name, x in arrays.items()}
  temporary.write_bytes(safetensors.numpy.save(contiguous))
  os.replace(temporary, path)


def write_text(path: str | pathlib.Path, text: str) -> None:
  """Writes a text so that the file is either whole or not there.

  Args:
    path: of the file.
    text: its content.

  Jit: no.
  """
  path = pathlib.Path(path)
  temporary = path.with_name(f'{path.name}.tmp{os.getpid()}')
  temporary.write_text(text, encoding='utf-8')
  os.replace(temporary, path)


def read(
  path: str | pathlib.Path, *, num_rows: int | None
) -> dict[str, np.ndarray]:
  """Reads what `write` wrote.

  Args:
    path: of the file.
    num_rows: length that every array must have; None where they differ.

  Returns:
    {name: array}. Jit: no.

  Raises:
    ValueError: the file is missing, damaged or of another length.
  """
  path = pathlib.Path(path)
  try:
    arrays = arrays_lib.read_safetensors(path)
    lengths = {len(x) for x in arrays.values()}
    if num_rows is not None and lengths != {num_rows}:
      raise ValueError(f'it holds {sorted(lengths)} rows')
  except (OSError, TypeError, ValueError) as error:
    what = 'networks' if num_rows is None else f'{num_rows:,} networks'
    raise ValueError(
      f'{path} must hold {what}, but cannot be read ({error}); '
      'delete it and run the same command again, which makes only what is '
      'missing.'
    ) from error
  return arrays
