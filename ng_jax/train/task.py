# SPDX-License-Identifier: Apache-2.0
"""What is particular to one kind of experiment, for `ng_jax.train.running`."""

from collections.abc import Callable, Mapping
import dataclasses
import pathlib
from typing import Any

import ml_collections

from ng_jax.train import checkpoints
from ng_jax.train import state as state_lib

Metrics = dict[str, float]
# Has config, data, devices, facts, init, sampler, train_step and learning_rate,
# as `experiment.Experiment` has them, and statistics_step where the config has
# precise_batch_stats.
Experiment = Any


@dataclasses.dataclass(frozen=True)
class Task:
  """What tells one kind of experiment from another.

  Attributes:
    check: refuses a config that cannot be run, before anything is made.
    defaults: the default config of the model of a config.
    prepare: builds the experiment of a config.
    average: turns sums over examples, 'count' among them, into means.
    validate: (experiment, state) -> metrics of the validation split.
    test: (experiment, state) -> metrics of the test split, and what `draw`
      needs.
    draw: (experiment, what `test` gave, lines of metrics.jsonl) -> {name of the
      picture: makes the figure}.
    metric: of `validate`, selects the checkpoint that is tested.
    mode: 'max' or 'min', which value of it is best.
  """

  check: Callable[[ml_collections.ConfigDict], None]
  defaults: Callable[[ml_collections.ConfigDict], ml_collections.ConfigDict]
  prepare: Callable[[ml_collections.ConfigDict], Experiment]
  average: Callable[[Mapping[str, Any]], Metrics]
  validate: Callable[[Experiment, state_lib.TrainState], Metrics]
  test: Callable[[Experiment, state_lib.TrainState], tuple[Metrics, Any]]
  draw: Callable[
    [Experiment, Any, list[dict[str, Any]]],
    dict[str, Callable[[], Any]],
  ]
  metric: str
  mode: str

  def open_store(
    self, workdir: pathlib.Path, *, tidy: bool = False
  ) -> checkpoints.CheckpointStore:
    """Opens the checkpoints of a run; see `checkpoints.CheckpointStore`."""
    return checkpoints.CheckpointStore(
      workdir / 'checkpoints', metric=self.metric, mode=self.mode, tidy=tidy
    )
