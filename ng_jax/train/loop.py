# SPDX-License-Identifier: Apache-2.0
"""The training loop: steps, logs, evaluations, checkpoints, in that order.

It knows nothing of the task. What happens at a step depends on the number of
the step alone, so a resumed run does what an uninterrupted one does.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import math
import sys
import time
from typing import Any

import jax
import numpy as np
import tqdm

from ng_jax.train import logging
from ng_jax.train import preemption
from ng_jax.train import sampler
from ng_jax.train import state as state_lib

Step = Callable[[state_lib.TrainState, Any, np.ndarray], Any]
# state -> the state that is evaluated and saved, with which training goes on.
Renew = Callable[[state_lib.TrainState], state_lib.TrainState]
# state -> metrics at an evaluation.
Evaluate = Callable[[state_lib.TrainState], dict[str, float]]
# Sums of one step, {name: number}.
Sums = Mapping[str, Any]
# (state, metrics at its step, sums of the steps since the last log line) ->
# nothing; keeps a checkpoint.
Save = Callable[[state_lib.TrainState, dict[str, float], Sequence[Sums]], None]
# sums of several steps, arrays [num_steps] -> metrics without prefix.
Summarize = Callable[[dict[str, np.ndarray]], dict[str, float]]


# Sums that must be finite, and what they are called in a message.
_FINITE = {'loss': 'loss', 'gradient_norm': 'gradient norm'}
_MAX_ROWS = 128


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
  """The training loss or the norm of its gradient is NaN or infinite."""


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
  renew: Renew = lambda state: state,
  last_checkpoint: str = 'none yet',
  window: Sequence[Sums] = (),
  asked_to_stop: preemption.Asked = preemption.never,
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
    save: called after every evaluation, and where the run is asked to stop.
    writer: gets a line of metrics a logged step; the very last is returned.
    renew: called before evaluations; changes nothing that training looks at.
    last_checkpoint: where the state comes from, for an error message.
    window: sums since the last log line before the state, as `save` got them.
    asked_to_stop: see `preemption.watch`.

  Returns:
    The last state and the metrics of the last step (empty without a step).

  Raises:
    NonFiniteLossError: names step, rows and the last good checkpoint.
    preemption.Interrupted: was asked to stop, and has saved.
  """
  start = int(state.step)
  pending: list[Sums] = list(window)
  timed_from = start
  metrics: dict[str, float] = {}
  clock = time.perf_counter()
  with _progress_bar(start, schedule.num_steps) as progress:
    for number in range(start, schedule.num_steps):
      state, sums = step(state, data, batches.batch(number))
      pending.append(sums)
      done = number + 1
      progress.update()
      stop = asked_to_stop(done)
      if not schedule.logs(done):
        if stop:
          fetched = _fetch(pending, done, batches, last_checkpoint)
          save(state, {}, fetched)
          raise preemption.Interrupted
        continue
      fetched = _fetch(pending, done, batches, last_checkpoint)
      pending = []
      metrics = _summarize(fetched, summarize)
      seconds = time.perf_counter() - clock
      metrics['steps_per_second'] = round((done - timed_from) / seconds, 3)
      timed_from = done
      if schedule.evaluates(done):
        state = renew(state)
        metrics.update(evaluate(state))
      if schedule.evaluates(done) or stop:
        save(state, metrics, ())
        last_checkpoint = f'step {done}'
      progress.set_postfix(_postfix(metrics))
      if done < schedule.num_steps:
        writer.scalars(done, metrics)
      if stop:
        raise preemption.Interrupted
      clock = time.perf_counter()
  return state, metrics


def _progress_bar(start: int, num_steps: int) -> Any:
  return tqdm.tqdm(
    total=num_steps,
    initial=start,
    desc='training',
    unit='step',
    disable=not sys.stderr.isatty(),
  )


def _fetch(
  pending: Sequence[Sums],
  done: int,
  batches: sampler.IndexSampler,
  last_checkpoint: str,
) -> list[dict[str, np.ndarray]]:
  """Sums of the last steps on the host; refuses those that are not finite."""
  fetched: list[dict[str, np.ndarray]] = jax.device_get(list(pending))
  for i, sums in enumerate(fetched):
    bad = [n for n in _FINITE if n in sums and not np.isfinite(sums[n]).all()]
    if bad:
      step = done - len(fetched) + 1 + i
      rows = batches.batch(step - 1)
      raise NonFiniteLossError(
        f'the training {_FINITE[bad[0]]} is {sums[bad[0]]} at step {step}, '
        f'whose batch has the rows {_list(rows[rows >= 0])} of the training '
        f'split; the last good checkpoint is {last_checkpoint}. Look at these '
        'networks, lower optimizer.learning_rate, raise schedule.warmup_steps, '
        "or use dtype='float32'; then train in another workdir."
      )
  return fetched


def _list(rows: np.ndarray) -> str:
  text = ', '.join(map(str, rows[:_MAX_ROWS].tolist()))
  return text + (f' and {len(rows) - _MAX_ROWS} more' * (len(rows) > _MAX_ROWS))


def _summarize(
  fetched: Sequence[Mapping[str, np.ndarray]], summarize: Summarize
) -> dict[str, float]:
  """Means over the steps of a window."""
  sums = {name: np.stack([x[name] for x in fetched]) for name in fetched[0]}
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
