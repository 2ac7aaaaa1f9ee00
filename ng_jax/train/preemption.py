# SPDX-License-Identifier: Apache-2.0
"""A run that is asked to stop (SIGTERM) ends its step, saves and leaves."""

from collections.abc import Callable, Iterator
import contextlib
import signal
import threading
from typing import Any

from ng_jax import processes

# What a shell makes of a process that SIGTERM ended, 128 + 15: schedulers start
# it again, and `train && evaluate` does not go on to evaluate.
EXIT_CODE = 128 + signal.SIGTERM

# Steps made -> whether to save and leave now; asked after every step.
Asked = Callable[[int], bool]


class Interrupted(SystemExit):
  """The run has saved a checkpoint and leaves; the same command goes on."""

  def __init__(self) -> None:
    super().__init__(EXIT_CODE)


def never(step: int) -> bool:
  """Of a run that nobody asks to stop. Jit: no."""
  return False


@contextlib.contextmanager
def watch() -> Iterator[Asked]:
  """Notes SIGTERM instead of dying of it, inside the context.

  With several processes JAX's own service listens, and lets all of them leave
  after the same step. In a thread other than the main one nothing is watched.

  Yields:
    See `Asked`. Jit: no.
  """
  if processes.share().count > 1:
    from jax.experimental import multihost_utils

    yield multihost_utils.reached_preemption_sync_point
    return
  if threading.current_thread() is not threading.main_thread():
    yield never
    return
  noted = threading.Event()

  def note(number: int, frame: Any) -> None:
    noted.set()

  before = signal.signal(signal.SIGTERM, note)
  try:
    yield lambda step: noted.is_set()
  finally:
    signal.signal(signal.SIGTERM, before)
