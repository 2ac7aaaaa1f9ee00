# SPDX-License-Identifier: Apache-2.0
"""Opens orbax, which only this module imports, and only when it is asked to."""

from collections.abc import Callable, Sequence
import pathlib
from typing import Any


def open_manager(
  directory: pathlib.Path,
  value: Callable[[dict[str, float]], float],
  *,
  items: Sequence[str],
  keep: int,
  tidy: bool,
) -> tuple[Any, Any]:
  """Opens the folder of a run's checkpoints, making it when needed.

  Args:
    directory: of the checkpoints.
    value: of a checkpoint by its metrics; the largest is best.
    items: of a checkpoint: arrays first, then what is JSON.
    keep: number of the latest checkpoints to keep besides the best.
    tidy: whether to delete what is half written.

  Returns:
    orbax's arguments for reading and writing, and its manager. Jit: no.
  """
  import orbax.checkpoint as ocp
  from orbax.checkpoint import checkpoint_managers

  manager = ocp.CheckpointManager(
    directory,
    item_names=tuple(items),
    item_handlers={
      items[0]: ocp.StandardCheckpointHandler(),
      **{name: ocp.JsonCheckpointHandler() for name in items[1:]},
    },
    options=ocp.CheckpointManagerOptions(
      best_fn=value,
      best_mode='max',
      cleanup_tmp_directories=tidy,
      preservation_policy=checkpoint_managers.AnyPreservationPolicy(
        [
          checkpoint_managers.LatestN(keep),
          checkpoint_managers.BestN(get_metric_fn=value, n=1),
        ]
      ),
    ),
  )
  return ocp.args, manager
