# SPDX-License-Identifier: Apache-2.0
"""How much a file may unpack to, and where a name in a file may lead."""

import pathlib

# Of the eight times and 64 MiB that a reader may take; the rest is for what it
# makes of the arrays.
_TIMES, _BYTES = 3, 24 * 2**20


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
      f'{name!r} must be the name of a file inside {folder}, but leads '
      'elsewhere; put the file into the folder and name it relative to it.'
    )
  return folder / name
