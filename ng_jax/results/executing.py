# SPDX-License-Identifier: Apache-2.0
"""Starts the command of a run, and stops it when its time is over."""

from collections.abc import Callable, Sequence
import fcntl
import os
import pathlib
import subprocess
import sys

from ng_jax.train import preemption

LOG = 'output.log'
_LOCK = 'running.lock'
# A run saves within a step or an evaluation, and leaves.
_GRACE_SECONDS = 300.0
STOPPED = preemption.EXIT_CODE
BUSY = -1000

# (arguments of Python, workdir, seconds) -> exit code, STOPPED after the
# seconds, BUSY where another process is at this run.
Execute = Callable[[Sequence[str], pathlib.Path, float], int]


def execute(
  arguments: Sequence[str],
  workdir: pathlib.Path,
  seconds: float,
  *,
  root: pathlib.Path,
) -> int:
  """Runs a command until it ends or its time is over.

  The command holds a lock on its workdir for as long as it lives, also when
  the process that started it is killed, so that no other one interferes.

  Args:
    arguments: of Python.
    workdir: of the run; gets output.log, to which every call adds.
    seconds: after which it gets SIGTERM, upon which runs save and leave.
    root: of the repository, where it is run.

  Returns:
    Its exit code; `STOPPED` where it was stopped, `BUSY` where another process
    has the workdir. Jit: no.
  """
  workdir.mkdir(parents=True, exist_ok=True)
  with (workdir / _LOCK).open('a') as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      return BUSY
    with (workdir / LOG).open('ab') as log:
      process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=root,
        env={**os.environ, 'PYTHONPATH': _search_path(root)},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        pass_fds=(lock.fileno(),),
        start_new_session=True,  # Ctrl-C reaches this process alone.
      )
    return _wait(process, seconds)


def last_lines(workdir: pathlib.Path, number: int = 5) -> str:
  """The end of what a run said. Jit: no."""
  path = workdir / LOG
  if not path.exists():
    return ''
  lines = path.read_text(encoding='utf-8', errors='replace').splitlines()
  return '\n'.join(lines[-number:])


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int:
  try:
    return process.wait(timeout=max(seconds, 0.0))
  except subprocess.TimeoutExpired:
    _stop(process)
    by_signal = process.returncode < 0  # As in a part that saves nothing.
    return STOPPED if by_signal else process.returncode
  except BaseException:  # Ctrl-C, or SIGTERM of this process.
    _stop(process)
    raise


def _stop(process: subprocess.Popen[bytes]) -> None:
  process.terminate()
  try:
    process.wait(timeout=_GRACE_SECONDS)
  except subprocess.TimeoutExpired:
    process.kill()
    process.wait()


def _search_path(root: pathlib.Path) -> str:
  given = os.environ.get('PYTHONPATH')
  return f'{root}{os.pathsep}{given}' if given else str(root)
