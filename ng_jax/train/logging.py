# SPDX-License-Identifier: Apache-2.0
"""Where numbers and pictures of a run go; nothing else knows.

A writer has two methods, `scalars(step, values)` and `images(step, images)`.
`open_writer` gives the one of a working directory: one JSON object a line in
metrics.jsonl, a log line, and TensorBoard when tensorboardX is installed.
"""

from collections.abc import Mapping, Sequence
import json
import logging as py_logging
import pathlib
from typing import Any, Protocol

from absl import logging
import numpy as np

# Packages whose lines below warnings are left out.
_CHATTY = ('orbax', 'tensorflow_datasets')


class Writer(Protocol):
  """What a run needs of a log."""

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Notes numbers at a step."""

  def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
    """Notes pictures [rows, columns, 3] uint8 at a step."""


class SilentWriter:
  """Notes nothing: for processes other than the first."""

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Does nothing."""

  def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
    """Does nothing."""


class JsonLinesWriter:
  """Appends one JSON object a line, with 'step' first."""

  def __init__(self, path: pathlib.Path) -> None:
    self._path = path

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Appends a line."""
    line = json.dumps({'step': step, **values})
    with self._path.open('a', encoding='utf-8') as file:
      file.write(line + '\n')

  def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
    """Does nothing: pictures are files of their own."""


class LogWriter:
  """Writes numbers to the log of absl, which goes to stderr."""

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Logs one line."""
    text = ', '.join(f'{name} {value:.4g}' for name, value in values.items())
    logging.info('step %d: %s', step, text)

  def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
    """Does nothing."""


class TensorBoardWriter:
  """Writes TensorBoard event files with tensorboardX."""

  def __init__(self, folder: pathlib.Path, *, first_step: int) -> None:
    import tensorboardX

    # Hides what an interrupted run wrote after the checkpoint.
    self._writer = tensorboardX.SummaryWriter(
      str(folder), purge_step=first_step
    )

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Adds one point to each curve."""
    for name, value in values.items():
      self._writer.add_scalar(name, value, step)
    self._writer.flush()

  def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
    """Adds pictures."""
    for name, image in images.items():
      self._writer.add_image(name, image, step, dataformats='HWC')
    self._writer.flush()


class SeveralWriters:
  """Passes everything to each of several writers."""

  def __init__(self, writers: Sequence[Writer]) -> None:
    self._writers = writers

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Notes numbers in all writers."""
    for writer in self._writers:
      writer.scalars(step, values)

  def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
    """Notes pictures in all writers."""
    for writer in self._writers:
      writer.images(step, images)


def open_writer(workdir: str | pathlib.Path, *, first_step: int) -> Writer:
  """Opens the log of a run for appending.

  Args:
    workdir: existing folder; metrics.jsonl and tensorboard/ lie in it.
    first_step: lines of metrics.jsonl at this step and later are dropped
      first, so that a resumed run leaves the file of an uninterrupted one.

  Returns:
    A writer.
  """
  workdir = pathlib.Path(workdir)
  path = workdir / 'metrics.jsonl'
  kept = [line for line in read_metrics(path) if line['step'] < first_step]
  temporary = path.with_suffix('.jsonl.part')
  temporary.write_text(
    ''.join(json.dumps(line) + '\n' for line in kept), encoding='utf-8'
  )
  temporary.replace(path)
  writers: list[Writer] = [JsonLinesWriter(path), LogWriter()]
  try:
    folder = workdir / 'tensorboard'
    writers.append(TensorBoardWriter(folder, first_step=first_step))
  except ImportError:
    logging.info('tensorboardX is not installed: no TensorBoard files')
  return SeveralWriters(writers)


def read_metrics(path: str | pathlib.Path) -> list[dict[str, Any]]:
  """Reads a metrics.jsonl file.

  Args:
    path: of the file; it may be missing, and its last line may be cut short
      by a killed run.

  Returns:
    One dict a whole line, with 'step'.
  """
  path = pathlib.Path(path)
  lines = []
  if path.exists():
    for text in path.read_text(encoding='utf-8').splitlines():
      try:
        lines.append(json.loads(text))
      except json.JSONDecodeError:
        logging.warning('%s: left out an incomplete line', path)
  return lines


def show_progress() -> None:
  """Lets the log of a binary show the lines of ng_jax.

  Of orbax and TFDS, which log pages at this level, it keeps the warnings.
  """
  logging.set_verbosity(logging.INFO)
  logging.get_absl_logger().addFilter(
    lambda record: (
      record.levelno > py_logging.INFO
      or not any(name in record.pathname for name in _CHATTY)
    )
  )
