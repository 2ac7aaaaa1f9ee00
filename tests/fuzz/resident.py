# SPDX-License-Identifier: Apache-2.0
"""The most memory that this process had at a time, since a beginning.

Where the system does not tell (it does on Linux), it seems to be none.
"""

import pathlib

_FOLDER = pathlib.Path('/proc/self')
# Of proc(5): the peak begins anew.
_RESET = '5'


def begin() -> int:
  """Forgets the peak; returns the bytes of now."""
  try:
    (_FOLDER / 'clear_refs').write_text(_RESET)
  except OSError:
    return 0
  return _read('VmRSS')


def peak() -> int:
  """Most bytes since `begin`."""
  return _read('VmHWM')


def _read(name: str) -> int:
  try:
    lines = (_FOLDER / 'status').read_text().splitlines()
  except OSError:
    return 0
  fields = dict(line.split(':', 1) for line in lines if ':' in line)
  return 1024 * int(fields[name].split()[0])
