# SPDX-License-Identifier: Apache-2.0
"""The folder of a run: whether it can be written, and what it says if not."""

from collections.abc import Iterator
import contextlib
import errno
import os
import pathlib
import tempfile

from ng_jax import processes

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


@contextlib.contextmanager
def writing(workdir: str | pathlib.Path) -> Iterator[None]:
  """Makes the folder, tries it, and explains what cannot be written later.

  Args:
    workdir: of the run.

  Raises:
    ValueError: the folder cannot be made or written, or the disk is full.

  Jit: no.
  """
  workdir = pathlib.Path(workdir)
  try:
    if processes.is_first():
      workdir.mkdir(parents=True, exist_ok=True)
      with tempfile.TemporaryFile(dir=workdir) as file:
        file.write(b'.')
    yield
  except OSError as error:
    if error.errno not in (*_FULL, *_REFUSED, errno.EEXIST, errno.EIO):
      raise
    where = error.filename if isinstance(error.filename, str) else workdir
    raise ValueError(
      f'workdir must be a folder that can be written, with room, but {where} '
      f'cannot be ({os.strerror(error.errno)}); '
      + (
        'make room; the same command then goes on from the last checkpoint.'
        if error.errno in _FULL
        else 'choose another workdir, or change its permissions.'
      )
    ) from error
