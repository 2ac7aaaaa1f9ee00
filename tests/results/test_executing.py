# SPDX-License-Identifier: Apache-2.0
"""Commands are stopped in time, and no two work in one folder."""

import fcntl
import os
import pathlib
import subprocess
import sys
import time

import pytest

from ng_jax.results import executing
from tests.end_to_end import binaries

# Saves when it is asked to stop, as the binaries do.
_SCRIPT = """
import pathlib, signal, sys, time
def stop(number, frame):
  pathlib.Path(sys.argv[1], 'saved').write_text('')
  sys.exit(143)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1], 'begun').write_text('')
print('said something')
time.sleep(float(sys.argv[2]))
sys.exit(int(sys.argv[3]))
"""


@pytest.fixture
def call(tmp_path):
  script = tmp_path / 'script.py'
  script.write_text(_SCRIPT)

  def run(seconds, *, code=0, limit=60.0):
    arguments = [str(script), str(tmp_path), str(seconds), str(code)]
    return executing.execute(arguments, tmp_path, limit, root=tmp_path)

  return run


def test_exit_codes_and_what_was_said(call, tmp_path):
  assert call(0) == 0
  assert call(0, code=3) == 3
  assert executing.last_lines(tmp_path) == 'said something\nsaid something'
  assert executing.last_lines(tmp_path / 'none') == ''


def test_a_run_is_stopped_when_its_time_is_over(call, tmp_path):
  assert call(60, limit=3.0) == executing.STOPPED
  assert (tmp_path / 'saved').exists()


def test_no_two_commands_work_in_one_folder(call, tmp_path):
  with (tmp_path / 'running.lock').open('a') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert call(0) == executing.BUSY
  assert call(0) == 0


def test_a_command_outlives_a_killed_driver_with_its_lock(call, tmp_path):
  """The next call sees that the run goes on, and leaves it alone."""
  code = (
    'import pathlib; from ng_jax.results import executing; executing.execute('
    f'[{str(tmp_path / "script.py")!r}, {str(tmp_path)!r}, "60", "0"], '
    f'pathlib.Path({str(tmp_path)!r}), 60.0, root=pathlib.Path("."))'
  )
  driver = subprocess.Popen(
    [sys.executable, '-c', code],
    env=os.environ | {'PYTHONPATH': str(binaries.ROOT)},
  )
  _wait_for(tmp_path / 'begun')
  driver.kill()
  driver.wait()
  assert call(0) == executing.BUSY
  _terminate_holder(tmp_path)
  _wait_for(tmp_path / 'saved')


def _wait_for(path: pathlib.Path) -> None:
  for _ in range(600):
    if path.exists():
      return
    time.sleep(0.1)
  raise TimeoutError(path)


def _terminate_holder(folder: pathlib.Path) -> None:
  """Ends the script that has the lock: found by its arguments."""
  for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
    try:
      words = path.read_bytes().split(b'\0')
    except OSError:
      continue
    if str(folder / 'script.py').encode() in words[:3]:
      os.kill(int(path.parent.name), 15)


def test_the_driver_starts_no_device():
  """Or it would keep the memory of a GPU from the runs that it starts."""
  config = binaries.ROOT / 'configs' / 'results' / 'inr_editing.py'
  done = subprocess.run(
    [
      sys.executable,
      str(binaries.ROOT / 'experiments' / 'results.py'),
      '--mode=cost',
      f'--config={config}:smoke',
    ],
    env=os.environ
    | {'PYTHONPATH': str(binaries.ROOT), 'JAX_PLATFORMS': 'no_such_platform'},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert '2 runs, 3 minutes on two CPU cores' in done.stdout
