# SPDX-License-Identifier: Apache-2.0
"""Adam, tuned: what learned optimizers are compared with.

Learning rate and weight decay are chosen on images held out of the training
set: one seed for each setting of a grid, then five seeds for the best three
and, always, for Adam as it comes (learning rate 1e-3, no decay).
"""

from collections.abc import Sequence
import dataclasses
import itertools
import pathlib
from typing import Any

from absl import logging
import numpy as np
import optax

from ng_jax.meta import evaluation
from ng_jax.meta import measuring
from ng_jax.meta import pixels as pixels_lib
from ng_jax.meta import tasks

LEARNING_RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
WEIGHT_DECAYS = (0.0, 1e-4, 1e-3)
DECAYS = ('coupled', 'decoupled')
# Draws weights and images of the grid; none of `evaluation.SEEDS`.
_GRID_SEED = 1
_NUM_FINALISTS = 3
TUNED = 'Adam (tuned)'
UNTUNED = 'Adam (1e-3)'


@dataclasses.dataclass(frozen=True, order=True)
class AdamSetting:
  """One point of the grid.

  Attributes:
    learning_rate: above 0.
    weight_decay: at least 0.
    decay: 'coupled' adds decay * weight to the gradient before the moments,
      'decoupled' adds it after them (AdamW); both are the same without decay.

  Raises:
    ValueError: names the field that breaks a rule.
  """

  learning_rate: float = 1e-3
  weight_decay: float = 0.0
  decay: str = 'coupled'

  def __post_init__(self) -> None:
    if self.decay not in DECAYS:
      raise ValueError(
        f'unknown decay {self.decay!r}; expected one of {DECAYS}.'
      )
    if not self.learning_rate > 0 or not self.weight_decay >= 0:
      raise ValueError(
        'learning_rate must be above 0 and weight_decay at least 0, got '
        f'{self.learning_rate} and {self.weight_decay}.'
      )

  @property
  def theta(self) -> dict[str, float]:
    """Argument of `adam`. Jit: static."""
    return {
      'learning_rate': self.learning_rate,
      **{
        kind: self.weight_decay if kind == self.decay else 0.0
        for kind in DECAYS
      },
    }

  def __str__(self) -> str:
    if not self.weight_decay:
      return f'lr {self.learning_rate:g}'
    return f'lr {self.learning_rate:g}, {self.decay} wd {self.weight_decay:g}'


def adam(theta: dict[str, Any]) -> optax.GradientTransformation:
  """Adam with both kinds of decay; one program for the whole grid.

  Args:
    theta: {'learning_rate', 'coupled', 'decoupled'}, numbers or [] arrays.

  Returns:
    The transformation (betas 0.9 and 0.999, eps 1e-8). Jit: yes, theta may be
    traced.
  """
  return optax.chain(
    optax.add_decayed_weights(theta['coupled']),
    optax.scale_by_adam(),
    optax.add_decayed_weights(theta['decoupled']),
    optax.scale(-theta['learning_rate']),
  )


def make_grid(
  learning_rates: Sequence[float] = LEARNING_RATES,
  weight_decays: Sequence[float] = WEIGHT_DECAYS,
) -> tuple[AdamSetting, ...]:
  """All settings; without decay, the two kinds are one.

  Args:
    learning_rates: above 0.
    weight_decays: at least 0.

  Returns:
    35 settings by default. Jit: static.
  """
  return tuple(
    AdamSetting(rate, decay, kind)
    for rate, decay in itertools.product(learning_rates, weight_decays)
    for kind in (DECAYS if decay else DECAYS[:1])
  )


GRID = make_grid()


@dataclasses.dataclass(frozen=True)
class Tuned:
  """What tuning found.

  Attributes:
    best: of the finals, by the mean accuracy on the hold-out.
    grid: {setting: accuracy on the hold-out}, of one seed.
    finals: {setting: record}, of five seeds, with hold-out and test accuracy;
      Adam as it comes is always among them.
  """

  best: AdamSetting
  grid: dict[AdamSetting, float]
  finals: dict[AdamSetting, dict[str, Any]]


def tune_adam(
  task: tasks.Task,
  splits: pixels_lib.Splits,
  path: str | pathlib.Path,
  *,
  settings: Sequence[AdamSetting] = GRID,
  seeds: Sequence[int] = evaluation.SEEDS,
  num_steps: int = 1_000,
  test_every: int = 100,
) -> Tuned:
  """Tunes Adam on a task, on images held out of its training set.

  Args:
    task: to tune on.
    splits: of the task, with hold-out images.
    path: of a JSON lines file of results. Those of the same task, data, steps
      and seeds are read and not made again, so that a killed run goes on.
    settings: of the grid.
    seeds: of the finalists.
    num_steps: of every run.
    test_every: steps between the tests of the finalists.

  Returns:
    The best setting and all accuracies. Ties go to the smaller learning rate
    and decay. Jit: no, it calls compiled programs.

  Raises:
    ValueError: an empty grid; no hold-out; as `evaluation.evaluate`.
  """
  if not settings:
    raise ValueError(
      'settings must hold at least one AdamSetting; leave it out for the grid '
      f'of {len(GRID)}.'
    )

  runs = _Runs(pathlib.Path(path), task, splits, num_steps)
  grid = {}
  for setting in settings:
    record = runs.look_up('grid', setting, (_GRID_SEED,), num_steps)
    grid[setting] = _held_out_accuracy(record)
  finalists = sorted(grid, key=lambda s: (-grid[s], s))[:_NUM_FINALISTS]
  finals = {}
  for setting in dict.fromkeys((*finalists, AdamSetting())):
    finals[setting] = runs.look_up('final', setting, tuple(seeds), test_every)
  best = min(finals, key=lambda s: (-_held_out_accuracy(finals[s]), s))
  logging.info('%s: the best Adam has %s', task.name, best)
  return Tuned(best, grid, finals)


def for_report(tuned: Tuned) -> list[dict[str, Any]]:
  """Records of the tuned Adam and of Adam as it comes, for `reports`.

  Args:
    tuned: from `tune_adam`.

  Returns:
    Two records, named `TUNED` and `UNTUNED`. Jit: no.
  """
  return [
    {**tuned.finals[tuned.best], 'optimizer': TUNED},
    {**tuned.finals[AdamSetting()], 'optimizer': UNTUNED},
  ]


@dataclasses.dataclass(frozen=True)
class _Runs:
  """Runs of the grid and of the finals, each made once and kept in a file."""

  path: pathlib.Path
  task: tasks.Task
  splits: pixels_lib.Splits
  num_steps: int

  def look_up(
    self,
    stage: str,
    setting: AdamSetting,
    seeds: tuple[int, ...],
    test_every: int,
  ) -> dict[str, Any]:
    """The record of a setting, made and stored where it is missing.

    Finals see the test images and are timed.
    """
    is_final = stage == 'final'
    held = {'hold_out': self.splits.hold_out}
    record = measuring.measure(
      self.task,
      f'Adam, {setting}',
      adam,
      setting.theta,
      self.splits,
      book=measuring.Book(self.path),
      held=held | {'test': self.splits.test} if is_final else held,
      seeds=seeds,
      num_steps=self.num_steps,
      test_every=test_every,
      timed=is_final,
      identity={'stage': stage, 'setting': dataclasses.asdict(setting)},
    )
    logging.info(
      '%s, %s, %s: hold-out accuracy %.4f',
      self.task.name,
      stage,
      setting,
      _held_out_accuracy(record),
    )
    return record


def _held_out_accuracy(record: dict[str, Any]) -> float:
  """Mean over the seeds; a frozen run counts as it stands."""
  return float(np.mean([runs[-1] for runs in record['accuracy']['hold_out']]))
