# SPDX-License-Identifier: Apache-2.0
"""Reads JSON and CSV files, plain or gzipped, within limits."""

from collections.abc import Iterator
import csv
import gzip
import io
import json
import os
import pathlib
from typing import Any
import zlib

# Bytes of memory that an opening bracket or brace and a comma may stand for.
_BRACKET, _BRACE, _COMMA = 72, 240, 64
_TIMES, _BYTES = 6, 48 * 2**20
_MAX_LINE = 2**20


def read_json(path: str | os.PathLike[str]) -> Any:
  """Reads a JSON file.

  Args:
    path: of the file, UTF-8.

  Returns:
    Its content. Jit: no.

  Raises:
    OSError: no such file.
    ValueError: no JSON, or one that takes far more memory than its size or
      nests too deeply.
  """
  return parse_json(pathlib.Path(path).read_bytes())


def parse_json(content: bytes | str) -> Any:
  """Parses JSON.

  Args:
    content: the text.

  Returns:
    Its content. Jit: no.

  Raises:
    ValueError: see `read_json`.
  """
  if isinstance(content, str):
    content = content.encode('utf-8', 'surrogatepass')
  needed = (
    _BRACKET * content.count(b'[')
    + _BRACE * content.count(b'{')
    + _COMMA * content.count(b',')
  )
  if needed > _TIMES * len(content) + _BYTES:
    raise ValueError('it has too many brackets and commas for its size')
  try:
    return json.loads(content)
  except RecursionError as error:
    raise ValueError('it nests too deeply') from error
  except UnicodeDecodeError as error:  # Would repeat the whole content.
    raise ValueError(f'it is no text: {error}') from None


def read_lines(path: str | os.PathLike[str]) -> Iterator[str]:
  """Reads the lines of a text one after the other.

  Args:
    path: of the file, UTF-8, gunzipped where its name ends in '.gz'.

  Yields:
    Lines with their ends. Jit: no.

  Raises:
    OSError: no such file.
    ValueError: a damaged file, or a line of more than 1 MiB.
  """
  path = pathlib.Path(path)
  opened = gzip.open(path, 'rb') if path.suffix == '.gz' else path.open('rb')
  try:
    with opened as file:
      text = io.TextIOWrapper(file, encoding='utf-8', newline='')
      while line := text.readline(_MAX_LINE):
        if len(line) == _MAX_LINE:
          raise ValueError(f'a line is longer than {_MAX_LINE:,} characters')
        yield line
  except (EOFError, zlib.error) as error:
    raise ValueError(f'it is damaged: {error}') from error


def read_table(
  path: str | os.PathLike[str],
) -> Iterator[dict[str, str]]:
  """Reads the lines of a CSV file one after the other.

  Args:
    path: of the file, UTF-8, gunzipped where its name ends in '.gz'. The first
      line names the columns.

  Yields:
    {column: text}; a line that is too short lacks its last columns. Jit: no.

  Raises:
    OSError: no such file.
    ValueError: a damaged file, or a line of more than 1 MiB.
  """
  try:
    lines = csv.reader(read_lines(path))
    names = next(lines, [])
    for line in lines:
      if line:  # As csv.DictReader leaves out empty lines.
        yield dict(zip(names, line, strict=False))
  except csv.Error as error:
    raise ValueError(f'it is damaged: {error}') from error
