# SPDX-License-Identifier: Apache-2.0
"""The training loop: steps, logs, evaluations, checkpoints, in that order.

It knows nothing of the task. What happens at a step depends on the number of
the step alone, so a resumed run does what an uninterrupted one does.
"""

from collections.abc import Callable
import dataclasses
import math
import sys
import time
from typing import Any

import jax
import numpy as np
import tqdm

from ng_jax.train import logging
from ng_jax.train import sampler
from ng_jax.train import state as state_lib

Step = Callable[[state_lib.TrainState, Any, np.ndarray], Any]
# state -> metrics at an evaluation.
Evaluate = Callable[[state_lib.TrainState], dict[str, float]]
# (state, metrics at its step) -> nothing; keeps a checkpoint.
Save = Callable[[state_lib.TrainState, dict[str, float]], None]
# sums of several steps, arrays [num_steps] -> metrics without prefix.
Summarize = Callable[[dict[str, np.ndarray]], dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Schedule:
  """When what happens, in optimizer steps.

  Attributes:
    num_steps: length of the run.
    log_every: steps that a training metric is averaged over.
    eval_every: steps between evaluations; each one makes a checkpoint. The
      last step is evaluated in any case.
  """

  num_steps: int
  log_every: int
  eval_every: int

  def evaluates(self, step: int) -> bool:
    """Whether an evaluation follows this many steps."""
    return step % self.eval_every == 0 or step == self.num_steps

  def logs(self, step: int) -> bool:
    """Whether metrics are written after this many steps."""
    return step % self.log_every == 0 or self.evaluates(step)


class NonFiniteLossError(ValueError):
  """The training loss is NaN or infinite."""


def train(
  state: state_lib.TrainState,
  data: Any,
  *,
  step: Step,
  batches: sampler.IndexSampler,
  schedule: Schedule,
  summarize: Summarize,
  evaluate: Evaluate,
  save: Save,
  writer: logging.Writer,
  last_checkpoint: str = 'none yet',
) -> tuple[state_lib.TrainState, dict[str, float]]:
  """Trains from the state's step to the last one.

  Args:
    state: its memory is given to the first step.
    data: on the devices.
    step: from `devices.make_step` around `steps.train_step`.
    batches: which rows a step takes.
    schedule: when what happens.
    summarize: turns sums into metrics.
    evaluate: called on evaluation steps.
    save: called after every evaluation.
    writer: gets one line of metrics a logged step, except for the very last
      one, which is returned so that the caller may add to it.
    last_checkpoint: where the state comes from, for an error message.

  Returns:
    The last state and the metrics of the last step (empty without a step).

  Raises:
    NonFiniteLossError: names the step and the last good checkpoint.
  """
  start = int(state.step)
  window: list[dict[str, Any]] = []
  metrics: dict[str, float] = {}
  clock = time.perf_counter()
  with tqdm.tqdm(
    total=schedule.num_steps,
    initial=start,
    desc='training',
    unit='step',
    disable=not sys.stderr.isatty(),
  ) as progress:
    for number in range(start, schedule.num_steps):
      state, sums = step(state, data, batches.batch(number))
      window.append(sums)
      done = number + 1
      progress.update()
      if not schedule.logs(done):
        continue
      metrics = _close_window(window, done, summarize, last_checkpoint)
      seconds = time.perf_counter() - clock
      metrics['steps_per_second'] = round(len(window) / seconds, 3)
      window = []
      if schedule.evaluates(done):
        metrics.update(evaluate(state))
        save(state, metrics)
        last_checkpoint = f'step {done}'
      progress.set_postfix(_postfix(metrics))
      if done < schedule.num_steps:
        writer.scalars(done, metrics)
      clock = time.perf_counter()
  return state, metrics


def _close_window(
  window: list[dict[str, Any]],
  done: int,
  summarize: Summarize,
  last_checkpoint: str,
) -> dict[str, float]:
  """Means over the steps of a window; refuses a loss that is not finite."""
  fetched = jax.device_get(window)
  sums = {name: np.stack([x[name] for x in fetched]) for name in fetched[0]}
  bad = np.flatnonzero(~np.isfinite(sums['loss']))
  if bad.size:
    step = done - len(window) + 1 + int(bad[0])
    raise NonFiniteLossError(
      f'the training loss is {sums["loss"][bad[0]]} at step {step}; the last '
      f'good checkpoint is {last_checkpoint}. Lower '
      'optimizer.learning_rate, raise schedule.warmup_steps, or use '
      "dtype='float32'; then train in another workdir."
    )
  return {f'train_{name}': x for name, x in summarize(sums).items()}


def _postfix(metrics: dict[str, float]) -> dict[str, str]:
  names = (
    *('train_loss', 'train_accuracy'),
    *('validation_accuracy', 'validation_mse'),
  )
  return {
    name: f'{metrics[name]:.3g}'
    for name in names
    if name in metrics and math.isfinite(metrics[name])
  }
