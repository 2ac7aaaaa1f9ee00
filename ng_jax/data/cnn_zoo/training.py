# SPDX-License-Identifier: Apache-2.0
"""Trains the runs of a zoo and keeps their checkpoints, kills included.

A *unit* is what is trained together: one run ('layers') or all runs of a shape
('scan'). It has one file, which is written anew after each checkpoint, with the
state of the optimizer as long as it is unfinished. So a killed unit goes on
after its last checkpoint, to the same bits.

Measured on two shared CPU cores (AMD EPYC, jax 0.10.1), Fashion-MNIST 14 x 14,
two runs of 16 steps of 64 images, compiled: 5 convolutions of 16 to 32 channels
35 s by 'scan' and 1.0 s by 'layers'; 3 of 4 to 16 channels 17 s and 0.6 s. One
jitted step for each architecture runs as fast as 'layers' but compiles for 0.8
to 2.7 s each; the pieces of 'layers' are shared, at most some 150 small ones.
"""

from collections.abc import Callable, Sequence
import dataclasses
import pathlib
import time
from typing import Any

import jax
import numpy as np

from ng_jax import specs
from ng_jax.data import shards
from ng_jax.data.cnn_zoo import adam
from ng_jax.data.cnn_zoo import by_layers
from ng_jax.data.cnn_zoo import by_scan
from ng_jax.data.cnn_zoo import pixels as pixels_lib
from ng_jax.data.cnn_zoo import runs as runs_lib
from ng_jax.data.cnn_zoo import settings as settings_lib

Unit = Sequence[runs_lib.Run]
WEIGHTS = 'weights'
SECONDS = 'seconds'
_STATE, _NUM_STORED = 'state', 'num_stored'


@dataclasses.dataclass(frozen=True)
class Engine:
  """How units are trained; see `by_layers` for the two functions.

  Attributes:
    train: (runs, state, pixels, rows, first_step) -> state.
    test: (runs, weights, pixels, rows) -> right answers, summed loss.
    whole_shapes: whether a unit is all runs of a shape.
  """

  train: Callable[..., dict[str, Any]]
  test: Callable[..., tuple[np.ndarray, np.ndarray]]
  whole_shapes: bool


ENGINES = {
  'layers': Engine(by_layers.train, by_layers.test, whole_shapes=False),
  'scan': Engine(by_scan.train, by_scan.test, whole_shapes=True),
}


def choose_engine(name: str) -> str:
  """The engine of this backend, where the name is 'auto'. Jit: static."""
  if name != 'auto':
    return name
  return 'layers' if jax.default_backend() == 'cpu' else 'scan'


def units(runs: Sequence[runs_lib.Run], engine: str) -> list[Unit]:
  """Groups the runs of a zoo into units.

  Args:
    runs: of the zoo, in order.
    engine: name.

  Returns:
    The units, in order. Jit: static.
  """
  if not ENGINES[engine].whole_shapes:
    return [(run,) for run in runs]
  groups: dict[int, list[runs_lib.Run]] = {}
  for run in runs:
    groups.setdefault(run.shape, []).append(run)
  return list(groups.values())


def train_unit(
  settings: settings_lib.ZooSettings,
  unit: Unit,
  chosen: pixels_lib.Chosen,
  path: pathlib.Path,
  *,
  engine: str,
  on_checkpoint: Callable[[np.ndarray], None],
) -> None:
  """Trains a unit, or what is missing of it, and writes its file.

  Args:
    settings: of the zoo.
    unit: runs to train.
    chosen: images of the zoo.
    path: of the unit's file, which is there once the unit is finished.
    engine: name.
    on_checkpoint: called with the accuracies of every new checkpoint.

  Jit: no.
  """
  how = ENGINES[engine]
  part = unfinished(path)
  kept, state, num_stored, seconds = _begin(settings, unit, part)
  epochs = settings.stored_epochs(unit[0].num_epochs)
  epoch = epochs[num_stored - 1] if num_stored else 0
  num_images, num_tested = len(chosen.train.labels), len(chosen.test.labels)
  test_rows = runs_lib.in_batches(np.arange(num_tested), settings.batch_size)
  for number in range(num_stored, len(epochs)):
    start = time.perf_counter()
    for done in range(epoch, epochs[number]):
      rows = np.stack(
        [runs_lib.epoch_rows(settings, r, done, num_images) for r in unit]
      )
      state = how.train(unit, state, chosen.train, rows, done * rows.shape[1])
    epoch = epochs[number]
    correct, loss = how.test(unit, state[WEIGHTS], chosen.test, test_rows)
    new = _checkpoints(
      unit, state[WEIGHTS], epoch, correct / num_tested, loss / num_tested
    )
    new['standard_error'] = standard_error(new['test_accuracy'], num_tested)
    kept = {k: np.concatenate([kept[k], new[k]]) for k in new} if kept else new
    seconds += time.perf_counter() - start
    if number + 1 < len(epochs):
      _write_unfinished(part, kept, state, number + 1, seconds)
    on_checkpoint(new['test_accuracy'])
  per_row = seconds / max(len(kept['run']), 1)
  shards.write(path, {**kept, SECONDS: np.full(len(kept['run']), per_row)})
  part.unlink(missing_ok=True)


def unfinished(path: pathlib.Path) -> pathlib.Path:
  """Where a unit lies as long as it is unfinished. Jit: static."""
  return path.with_name(f'{path.stem}.part.safetensors')


def standard_error(accuracy: np.ndarray, num_images: int) -> np.ndarray:
  """Of an accuracy that was measured on so many images.

  Args:
    accuracy: [...] float in [0, 1].
    num_images: at least 1.

  Returns:
    [...] float32, sqrt(a (1 - a) / num_images). Jit: no.
  """
  wide = np.asarray(accuracy, np.float64)
  return np.sqrt(wide * (1 - wide) / num_images).astype(np.float32)


def _begin(
  settings: settings_lib.ZooSettings, unit: Unit, part: pathlib.Path
) -> tuple[dict[str, np.ndarray], dict[str, Any], int, float]:
  """Checkpoints so far by field, the state, their number, the seconds."""
  if not part.exists():
    weights = [
      run.network.init(runs_lib.initial_key(settings, run)) for run in unit
    ]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *weights)
    return {}, jax.device_put(adam.init(stacked)), 0, 0.0
  arrays = shards.read(part, num_rows=None)
  num_stored = int(arrays.pop(_NUM_STORED)[0])
  seconds = float(arrays.pop(SECONDS)[0])
  prefix = f'{_STATE}/'
  state = {
    path.removeprefix(prefix): arrays.pop(path)
    for path in sorted(arrays)
    if path.startswith(prefix)
  }
  nested = jax.device_put(specs.from_leaf_arrays(state))
  return arrays, nested, num_stored, seconds


def _write_unfinished(
  part: pathlib.Path,
  kept: dict[str, np.ndarray],
  state: dict[str, Any],
  num_stored: int,
  seconds: float,
) -> None:
  leaves = specs.leaf_arrays({_STATE: jax.device_get(state)})
  counts = {
    _NUM_STORED: np.array([num_stored]),
    SECONDS: np.array([seconds]),
  }
  shards.write(part, {**kept, **leaves, **counts})


def _checkpoints(
  unit: Unit, weights: Any, epoch: int, accuracy: np.ndarray, loss: np.ndarray
) -> dict[str, np.ndarray]:
  """Rows of the runs whose weights and loss are finite."""
  leaves = specs.leaf_arrays({WEIGHTS: jax.device_get(weights)})
  finite = np.isfinite(loss)
  for x in leaves.values():
    finite &= np.isfinite(x).reshape(len(x), -1).all(axis=1)
  columns = {
    'run': np.array([run.number for run in unit], np.int32),
    'epoch': np.full(len(unit), epoch, np.int32),
    'test_accuracy': accuracy.astype(np.float32),
    'test_loss': loss.astype(np.float32),
  }
  return {k: np.asarray(x)[finite] for k, x in {**columns, **leaves}.items()}
