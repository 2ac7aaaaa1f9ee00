# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a training run: the latest two and the best one.

The only module that knows orbax, which it imports when a store is opened. A
checkpoint holds the whole TrainState with the key of the run, the metrics at
its step, and the config. Arrays are written as host copies, which also works
when the state is local to each of several processes.
"""

import pathlib
from types import TracebackType
from typing import Any

import jax
import numpy as np

from ng_jax.train import state as state_lib

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
  ) -> None:
    """Opens a folder, making it when needed.

    Args:
      directory: of the checkpoints.
      metric: name of the metric that selects the best checkpoint; a later
        one wins a tie.
      mode: whether its largest ('max') or smallest ('min') value is best.
      keep: number of the latest checkpoints to keep besides the best.

    Raises:
      ValueError: unknown mode.
    """
    if mode not in _SIGNS:
      raise ValueError(
        f'unknown mode {mode!r}; expected one of {sorted(_SIGNS)}.'
      )
    import orbax.checkpoint as ocp
    from orbax.checkpoint import checkpoint_managers

    def value(metrics: dict[str, float]) -> float:
      return _SIGNS[mode] * metrics[metric]

    self.directory = pathlib.Path(directory).absolute()
    self._args = ocp.args
    self._manager = ocp.CheckpointManager(
      self.directory,
      item_names=('state', 'config'),
      item_handlers={
        'state': ocp.StandardCheckpointHandler(),
        'config': ocp.JsonCheckpointHandler(),
      },
      options=ocp.CheckpointManagerOptions(
        best_fn=value,
        best_mode='max',
        preservation_policy=checkpoint_managers.AnyPreservationPolicy(
          [
            checkpoint_managers.LatestN(keep),
            checkpoint_managers.BestN(get_metric_fn=value, n=1),
          ]
        ),
      ),
    )

  def __enter__(self) -> 'CheckpointStore':
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    self.close()

  def close(self) -> None:
    """Waits for the last checkpoint and releases the folder."""
    self._manager.wait_until_finished()
    self._manager.close()

  def latest_step(self) -> int | None:
    """Step of the latest checkpoint, None when there is none."""
    return self._manager.latest_step()

  def best_step(self) -> int | None:
    """Step of the checkpoint with the best metric, None for no checkpoint."""
    self._manager.wait_until_finished()
    return self._manager.best_step()

  def save(
    self,
    state: state_lib.TrainState,
    *,
    metrics: dict[str, float],
    config: dict[str, Any],
  ) -> None:
    """Writes a checkpoint at the state's step.

    Args:
      state: of the run.
      metrics: at this step, with the metric that the store selects by.
      config: of the run, JSON types only.
    """
    # Copies, because the next step may reuse the memory of the state.
    tree = jax.tree.map(lambda leaf: np.array(leaf, copy=True), _to_tree(state))
    self._manager.save(
      int(tree['step']),
      args=self._args.Composite(
        state=self._args.StandardSave(tree),
        config=self._args.JsonSave(config),
      ),
      metrics=metrics,
    )

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

    Returns:
      As given to `save`.
    """
    return dict(self._manager.metrics(step) or {})

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
      jax.eval_shape(_to_tree, like),
    )
    saved = self._leaf_shapes(step)
    differences = _compare(saved, _shapes(target))
    if differences:
      raise ValueError(
        f'the checkpoint at step {step} in {self.directory} is of another '
        'model or optimizer than the config asks for:\n  '
        + '\n  '.join(differences)
        + '\nUse the config that it was made with (config.json beside it), or '
        'another workdir.'
      )
    items = self._args.Composite(state=self._args.StandardRestore(target))
    return _from_host(self._read(step, items)['state'])

  def _leaf_shapes(self, step: int) -> dict[str, tuple[int, ...]]:
    try:
      return _shapes(self._manager.item_metadata(step)['state'].tree)
    except Exception as error:
      raise self._unreadable(step) from error

  def _read(self, step: int, items: Any) -> Any:
    try:
      return self._manager.restore(step, args=items)
    except Exception as error:
      raise self._unreadable(step) from error

  def _unreadable(self, step: int) -> ValueError:
    others = [s for s in self._manager.all_steps() if s != step]
    return ValueError(
      f'the checkpoint at step {step} in {self.directory} cannot be read; it '
      f'is truncated or damaged. Delete {self.directory / str(step)} to go on '
      + (f'from step {max(others)}.' if others else 'from the start.')
    )


def _to_tree(state: state_lib.TrainState) -> dict[str, Any]:
  """Nested dicts of plain arrays, as they lie in a checkpoint."""
  tree = {
    'step': state.step,
    'params': state.params,
    'constants': state.constants,
    'opt_state': state.opt_state,
    'key': jax.random.key_data(state.key),
  }
  # Left out when empty: checkpoints of models without keep their form.
  if state.batch_stats:
    tree['batch_stats'] = state.batch_stats
  return tree


def _from_host(tree: dict[str, Any]) -> state_lib.TrainState:
  tree = jax.tree.map(jax.numpy.asarray, tree)
  return state_lib.TrainState(
    **{
      'batch_stats': {},
      **tree,
      'key': jax.random.wrap_key_data(tree['key']),
    }
  )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): tuple(leaf.shape)
    for path, leaf in leaves
  }


def _compare(
  saved: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]
) -> list[str]:
  """Lines about leaves that differ, parameters first, at most 20."""
  lines = [
    f'missing in the checkpoint: {name} {wanted[name]}'
    for name in wanted
    if name not in saved
  ]
  lines += [
    f'only in the checkpoint: {name} {saved[name]}'
    for name in saved
    if name not in wanted
  ]
  lines += [
    f'of another shape: {name} is {saved[name]} in the checkpoint, '
    f'{wanted[name]} in the model'
    for name in wanted
    if name in saved and saved[name] != wanted[name]
  ]
  # The optimizer's moments repeat every difference of the params.
  in_params = [line for line in lines if ' params/' in line]
  lines = in_params or lines
  if len(lines) > 20:
    lines = [*lines[:20], f'... and {len(lines) - 20} more']
  return lines
