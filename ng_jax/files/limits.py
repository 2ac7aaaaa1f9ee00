# SPDX-License-Identifier: Apache-2.0
"""How much a file may unpack to, and where a name in a file may lead."""

from collections.abc import Iterable, Iterator
import itertools
import os
import pathlib

# Of the eight times and 64 MiB that a reader may take; the rest is for what it
# makes of the arrays.
_TIMES, _BYTES = 3, 24 * 2**20
# Characters of a name, names of a list, and characters of an error that a
# message repeats.
_MAX_SHOWN, _MAX_LISTED, _MAX_TOLD = 200, 1_000, 1_000
# Of the same allowance, what a line of a table becomes.
_LINE = 300


def check_unpacked(path: pathlib.Path, size: float) -> None:
  """Refuses a compressed file that unpacks to far more than its size.

  Args:
    path: of the file.
    size: of its unpacked contents, in bytes.

  Raises:
    ValueError: more than three times the size of the file plus 24 MiB. Jit: no.
  """
  largest = _TIMES * path.stat().st_size + _BYTES
  if size > largest:
    raise ValueError(
      f'{path} unpacks to {size:,.0f} bytes or more, beyond {largest:,}, which '
      'are allowed for its size; if it can be trusted, write it again without '
      'compression (np.savez, gunzip).'
    )


def check_lines(path: pathlib.Path, num_lines: int) -> None:
  """Refuses a table with far more lines than its size makes likely.

  Args:
    path: of the file.
    num_lines: that were read.

  Raises:
    ValueError: they may take more memory than is allowed. Jit: no.
  """
  check_unpacked(path, _LINE * num_lines)


def inside(folder: pathlib.Path, name: str) -> pathlib.Path:
  """The path of a file that a table or a list in a folder names.

  Args:
    folder: of the data set.
    name: relative to it.

  Returns:
    folder / name. Jit: no.

  Raises:
    ValueError: the name leads out of the folder.
  """
  if not isinstance(name, str):
    raise ValueError(f'the name of a file must be a text, got {name!r}.')
  path = pathlib.PurePosixPath(name.replace('\\', '/'))
  drive = pathlib.PureWindowsPath(name).drive
  leads_out = path.is_absolute() or '..' in path.parts or drive
  if leads_out or not name or '\0' in name:
    raise ValueError(
      f'{shown(name)!r} must be the name of a file inside {folder}, but leads '
      'elsewhere; put the file into the folder and name it relative to it.'
    )
  return folder / name


def missing_files(folder: pathlib.Path, names: Iterable[str]) -> Iterator[str]:
  """Names of a table that stand for no file in its folder.

  Args:
    folder: of the data set.
    names: relative to it.

  Yields:
    Those without a file, among them names that no file can have. Jit: no.

  Raises:
    ValueError: a name leads out of the folder, by itself or by symbolic links.
  """
  root = os.path.realpath(folder)
  return (name for name in names if not _is_file(folder, root, name))


def _is_file(folder: pathlib.Path, root: str, name: str) -> bool:
  path = inside(folder, name)
  try:
    real = os.path.realpath(path, strict=True)
    there = os.path.isfile(real)
  except (OSError, UnicodeError):  # Too long, a loop of links, no such text.
    return False
  if there and os.path.commonpath([root, real]) != root:
    raise ValueError(
      f'{shown(name)!r} must be a file inside {folder}, but is a link that '
      'leads elsewhere; put the file itself there.'
    )
  return there


def listed(names: Iterable[str]) -> tuple[int, str]:
  """Counts names and lists them for a message.

  Args:
    names: any number of them.

  Returns:
    The number, and lines with the first thousand. Jit: no.
  """
  names = iter(names)
  first = list(map(shown, itertools.islice(names, _MAX_LISTED)))
  num_more = sum(1 for _ in names)
  lines = [*first, f'... and {num_more:,} more'] if num_more else first
  return len(first) + num_more, ''.join(f'\n  {line}' for line in lines)


def shown(name: str) -> str:
  """A name as messages show it: without control characters, cut. Jit: no."""
  return _cut(name if name.isprintable() else ascii(name)[1:-1], _MAX_SHOWN)


def told(error: Exception) -> str:
  """An error as messages repeat it: what it quotes is cut. Jit: no."""
  if isinstance(error, UnicodeError):  # Its repr has the whole text in it.
    return f'{type(error).__name__}: {error}'
  return _cut(repr(error), _MAX_TOLD)


def _cut(text: str, length: int) -> str:
  if len(text) <= length:
    return text
  return f'{text[:length]}... ({len(text):,} characters)'
