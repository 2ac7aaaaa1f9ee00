# SPDX-License-Identifier: Apache-2.0
"""Where a run was made, when, with what and how long: provenance.jsonl.

Each call of a binary adds a line when it starts, one when its data and model
are ready, and one when it ends; what was measured stands in metrics.jsonl. The
seconds of a call that was killed are counted up to its last metrics.
"""

from collections.abc import Iterator
import contextlib
import datetime
import importlib.metadata
import os
import pathlib
import platform
import time
from typing import Any

import jax

from ng_jax import processes
from ng_jax.meta import records

FILE = 'provenance.jsonl'
START, READY, END, KILLED = 'start', 'ready', 'end', 'killed'
# Whose versions may change a result.
_PACKAGES = ('ng_jax', 'jax', 'jaxlib', 'flax', 'optax', 'jraph', 'numpy')


@contextlib.contextmanager
def noting(workdir: str | pathlib.Path) -> Iterator[None]:
  """Notes the start and the end of a call, in the first process.

  Args:
    workdir: existing folder of the run.

  Jit: no.
  """
  if not processes.is_first():
    yield
    return
  path = pathlib.Path(workdir) / FILE
  _close_killed(path)
  began = time.time()
  records.append(path, {'event': START, 'time': began, **_surroundings()})
  try:
    yield
  finally:
    seconds = round(time.time() - began, 3)
    records.append(path, {'event': END, 'seconds': seconds})


def note_ready(workdir: str | pathlib.Path, **facts: Any) -> None:
  """Notes what a run works with, once it is prepared, in the first process.

  Args:
    workdir: of a run inside `noting`.
    **facts: JSON types, such as sizes={'train': 55000} and num_parameters=10.

  Jit: no.
  """
  if not processes.is_first():
    return
  path = pathlib.Path(workdir) / FILE
  began = [line for line in records.read(path) if line['event'] == START]
  seconds = round(time.time() - began[-1]['time'], 3)
  records.append(path, {'event': READY, 'seconds': seconds, **facts})


def read(workdir: str | pathlib.Path) -> dict[str, Any]:
  """Sums up the calls that made a run.

  Args:
    workdir: of a run.

  Returns:
    Nothing for a run without provenance.jsonl; else 'calls', 'seconds' in all
    of them, 'seconds_preparing' (data, above all) and the facts of the last
    start and the last `note_ready`. Jit: no.
  """
  found: dict[str, Any] = {}
  seconds = {READY: 0.0, END: 0.0, KILLED: 0.0}
  calls = 0
  for line in records.read(pathlib.Path(workdir) / FILE):
    event = line.pop('event')
    if event in seconds:
      seconds[event] += line.pop('seconds')
    calls += event == START
    found |= line
  if not calls:
    return {}
  found.pop('time')
  return {
    **found,
    'calls': calls,
    'seconds': round(seconds[END] + seconds[KILLED], 1),
    'seconds_preparing': round(seconds[READY], 1),
  }


def _close_killed(path: pathlib.Path) -> None:
  """Ends a call that was killed at the time of its last metrics."""
  lines = records.read(path)
  if not lines or lines[-1]['event'] in (END, KILLED):
    return
  began = [line for line in lines if line['event'] == START][-1]['time']
  metrics = path.with_name('metrics.jsonl')
  ended = metrics.stat().st_mtime if metrics.exists() else began
  seconds = round(max(ended - began, 0.0), 3)
  records.append(path, {'event': KILLED, 'seconds': seconds})


def _surroundings() -> dict[str, Any]:
  """Date, hardware and versions; nothing that names a machine or a folder."""
  now = datetime.datetime.now(datetime.UTC)
  return {
    'date': now.date().isoformat(),
    'python': platform.python_version(),
    'packages': _versions(),
    'hardware': {
      'cpu': _processor(),
      'cores': _num_cores(),
      'devices': sorted({device.device_kind for device in jax.devices()}),
      'num_devices': jax.device_count(),
    },
  }


def _versions() -> dict[str, str]:
  found = {}
  for name in _PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[name] = importlib.metadata.version(name)
  return found


def _num_cores() -> int:
  """Cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _processor() -> str:
  """Name of the processor; its architecture where there is none."""
  with contextlib.suppress(OSError):
    text = pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8')
    for line in text.splitlines():
      if line.startswith('model name'):
        return line.partition(':')[2].strip()
  return platform.processor() or platform.machine()
