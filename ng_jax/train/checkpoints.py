# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a training run: the latest two and the best one.

A checkpoint holds the whole TrainState with the key of the run, the metrics,
the config, checksums and, of a run that was stopped between two log lines, what
the next one needs. The first of several processes writes; all call `save`.
"""

from collections.abc import Mapping, Sequence
import pathlib
from types import TracebackType
from typing import Any

from absl import logging
import jax
import numpy as np

from ng_jax import processes
from ng_jax.train import checkpoint_manager
from ng_jax.train import checkpoint_trees as trees
from ng_jax.train import state as state_lib

_PROGRESS = 'progress'
_ITEMS = ('state', 'config', _PROGRESS)

# Mode of selection -> factor that makes the largest value best.
_SIGNS = {'max': 1.0, 'min': -1.0}


class CheckpointStore:
  """The folder of a run's checkpoints; a context manager.

  Writing is asynchronous: leaving the context waits for the last checkpoint.
  """

  def __init__(
    self,
    directory: str | pathlib.Path,
    *,
    metric: str = 'validation_accuracy',
    mode: str = 'max',
    keep: int = 2,
    tidy: bool = False,
  ) -> None:
    """Opens a folder, making it when needed.

    Args:
      directory: of the checkpoints.
      metric: name of the metric that selects the best checkpoint; a later
        one wins a tie.
      mode: whether its largest ('max') or smallest ('min') value is best.
      keep: number of the latest checkpoints to keep besides the best.
      tidy: whether to delete what a killed run left half written; only for
        the run that writes here.

    Raises:
      ValueError: unknown mode.
    """
    if mode not in _SIGNS:
      raise ValueError(
        f'unknown mode {mode!r}; expected one of {sorted(_SIGNS)}.'
      )

    # Metrics of a checkpoint -> what the best one has most of.
    def value(metrics: dict[str, float]) -> float:
      # A run that was asked to stop saves without having been evaluated.
      return _SIGNS[mode] * metrics.get(metric, -_SIGNS[mode] * np.inf)

    self.directory = pathlib.Path(directory).absolute()
    self._metric = metric
    self._saving: int | None = None
    self._args, self._manager = checkpoint_manager.open_manager(
      self.directory, value, items=_ITEMS, keep=keep, tidy=tidy
    )

  def __enter__(self) -> 'CheckpointStore':
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    try:
      self.close()
    except ValueError as failure:
      if error is None:
        raise
      logging.error('%s', failure)  # The first error is the one to raise.

  def close(self) -> None:
    """Waits for the last checkpoint and releases the folder.

    Raises:
      ValueError: it could not be written.
    """
    try:
      self._wait()
    finally:
      self._manager.close()

  def steps(self) -> list[int]:
    """Steps of all checkpoints, read from the folder again, latest first."""
    self._manager.reload()
    return sorted(self._manager.all_steps(), reverse=True)

  def check_whole(self, step: int) -> None:
    """Reads all of a checkpoint.

    Args:
      step: of a checkpoint in the store.

    Raises:
      ValueError: it is truncated or damaged.
    """
    self.config(step)
    self.window(step)
    items = self._args.Composite(state=self._args.StandardRestore())
    self._check(step, self._read(step, items)['state'])

  def latest_step(self) -> int | None:
    """Step of the latest checkpoint, None when there is none."""
    return self._manager.latest_step()

  def best_step(self) -> int | None:
    """Step of the checkpoint with the best metric, None where none has one."""
    self._wait()
    best = self._manager.best_step()
    return (
      best if best is not None and self._metric in self.metrics(best) else None
    )

  def save(
    self,
    state: state_lib.TrainState,
    *,
    metrics: dict[str, float],
    config: dict[str, Any],
    window: Sequence[Mapping[str, Any]] = (),
  ) -> None:
    """Writes a checkpoint at the state's step.

    Args:
      state: of the run.
      metrics: at this step, with the metric that the store selects by where
        the step was evaluated.
      config: of the run, JSON types only.
      window: sums of the steps since the last log line, see `loop.train`.

    Raises:
      ValueError: this checkpoint or the one before cannot be written.
    """
    # Copies, because the next step may reuse the memory of the state.
    tree = jax.tree.map(processes.to_host, trees.to_tree(state))
    step = int(tree['step'])
    progress = {
      'checksums': trees.checksums(tree),
      'window': trees.window_to_json(window),
    }
    self._wait()
    self._saving = step
    try:
      self._manager.save(
        step,
        args=self._args.Composite(
          state=self._args.StandardSave(tree),
          config=self._args.JsonSave(config),
          progress=self._args.JsonSave(progress),
        ),
        metrics=metrics,
      )
    except (OSError, ValueError) as error:
      raise self._unwritten(error) from error

  def config(self, step: int) -> dict[str, Any]:
    """Config that a checkpoint was made with.

    Args:
      step: of a checkpoint in the store.

    Returns:
      As given to `save`.

    Raises:
      ValueError: the checkpoint cannot be read.
    """
    items = self._args.Composite(config=self._args.JsonRestore())
    return self._read(step, items)['config']

  def metrics(self, step: int) -> dict[str, float]:
    """Metrics that were saved with a checkpoint.

    Args:
      step: of a checkpoint in the store.

    Returns: as given to `save`.
    """
    return dict(self._manager.metrics(step) or {})

  def window(self, step: int) -> list[dict[str, np.ndarray]]:
    """Sums of steps that were saved with a checkpoint, see `save`.

    Args:
      step: of a checkpoint in the store.

    Returns:
      As given to `save`.

    Raises:
      ValueError: the checkpoint cannot be read.
    """
    try:
      return trees.window_from_json(self._progress(step).get('window', []))
    except Exception as error:  # Whatever a damaged one raises.
      raise self._unreadable(step) from error

  def restore(
    self, like: state_lib.TrainState, *, step: int
  ) -> state_lib.TrainState:
    """Reads the state of a checkpoint.

    Args:
      like: a state of the same model and optimizer, or its shapes as
        `jax.eval_shape` gives them.
      step: of a checkpoint in the store.

    Returns:
      The state, its leaves on the default device.

    Raises:
      ValueError: the checkpoint is of another model (names the leaves that
        differ) or cannot be read.
    """
    target = jax.tree.map(
      lambda leaf: np.zeros(leaf.shape, leaf.dtype),
      jax.eval_shape(trees.to_tree, like),
    )
    saved = self._leaf_shapes(step)
    differences = trees.compare(saved, trees.shapes(target))
    if differences:
      raise ValueError(
        f'the checkpoint at step {step} in {self.directory} is of another '
        'model or optimizer than the config asks for:\n  '
        + '\n  '.join(differences)
        + '\nUse the config that it was made with (config.json beside it), or '
        'another workdir.'
      )
    items = self._args.Composite(state=self._args.StandardRestore(target))
    found = self._read(step, items)['state']
    self._check(step, found)
    return trees.from_host(found)

  def _leaf_shapes(self, step: int) -> dict[str, tuple[int, ...]]:
    try:
      return trees.shapes(self._manager.item_metadata(step)['state'].tree)
    except Exception as error:
      raise self._unreadable(step) from error

  def _read(self, step: int, items: Any) -> Any:
    try:
      return self._manager.restore(step, args=items)
    except Exception as error:
      raise self._unreadable(step) from error

  def _progress(self, step: int) -> dict[str, Any]:
    # Checkpoints of earlier versions have none.
    if not (self.directory / str(step) / _PROGRESS).exists():
      return {}
    items = self._args.Composite(progress=self._args.JsonRestore())
    return self._read(step, items)[_PROGRESS]

  def _check(self, step: int, tree: Any) -> None:
    try:
      trees.check(tree, self._progress(step).get('checksums', {}))
    except Exception as error:
      raise self._unreadable(step) from error

  def _wait(self) -> None:
    try:
      self._manager.wait_until_finished()
    except (OSError, ValueError) as error:
      raise self._unwritten(error) from error

  def _unwritten(self, error: Exception) -> ValueError:
    whole = [s for s in self._manager.all_steps() if s != self._saving]
    return ValueError(
      f'the checkpoint at step {self._saving} cannot be written into '
      f'{self.directory} ({str(error).splitlines()[0]}); the last whole one is '
      f'{f"step {max(whole)}" if whole else "none"}. Make room, and the same '
      'command goes on from there, or choose another workdir.'
    )

  def _unreadable(self, step: int) -> ValueError:
    others = [s for s in self._manager.all_steps() if s != step]
    return ValueError(
      f'the checkpoint at step {step} in {self.directory} cannot be read; it '
      f'is truncated or damaged. Delete {self.directory / str(step)} to go on '
      + (f'from step {max(others)}.' if others else 'from the start.')
    )
