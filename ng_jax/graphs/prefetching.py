# SPDX-License-Identifier: Apache-2.0
"""Makes the next items of an iterator in a thread while one is in use."""

from collections.abc import Generator, Iterator
import queue
import threading
from typing import Any, NamedTuple, TypeVar

_Item = TypeVar('_Item')


class _End(NamedTuple):
  """Follows the last item, with the error that ended the iterator, if any."""

  error: BaseException | None


def prefetch(
  items: Iterator[_Item], num_ahead: int
) -> Generator[_Item, None, None]:
  """Runs an iterator ahead of its consumer.

  The thread starts with the first item that is asked for. It ends with the
  iterator, or as soon as the consumer closes the generator returned here; a
  `for` loop does so when it is left, `close()` does so at any time.

  Args:
    items: run in the thread, and nowhere else.
    num_ahead: items made before they are asked for, besides the one that is
      being made; 0 for no thread at all.

  Returns:
    An iterator of the items, in order; it raises what `items` raises, when its
    turn comes. Jit: no, host only.

  Raises:
    ValueError: num_ahead is negative.
  """
  if num_ahead < 0:
    raise ValueError(
      f'num_ahead must be at least 0, got {num_ahead}; 0 means no thread.'
    )
  return _ahead(items, num_ahead) if num_ahead else _in_turn(items)


def _in_turn(items: Iterator[_Item]) -> Generator[_Item, None, None]:
  yield from items


def _ahead(
  items: Iterator[_Item], num_ahead: int
) -> Generator[_Item, None, None]:
  made: queue.Queue[Any] = queue.Queue(num_ahead)
  stop = threading.Event()
  thread = threading.Thread(
    target=_run, args=(items, made, stop), name='prefetch', daemon=True
  )
  thread.start()
  try:
    while True:
      item = made.get()
      if isinstance(item, _End):
        break
      yield item
  finally:
    stop.set()
    _drain(made)  # The thread may be waiting for room.
    thread.join()
  if item.error is not None:
    raise item.error


def _run(
  items: Iterator[Any], made: queue.Queue[Any], stop: threading.Event
) -> None:
  """Puts items until they end or nobody wants them."""
  error = None
  try:
    for item in items:
      if stop.is_set():
        return
      made.put(item)
      if stop.is_set():
        return
  except BaseException as raised:  # Handed to the consumer, whatever it is.
    error = raised
  finally:
    close = getattr(items, 'close', None)
    if close is not None:
      close()
  made.put(_End(error))


def _drain(made: queue.Queue[Any]) -> None:
  try:
    while True:
      made.get_nowait()
  except queue.Empty:
    return
