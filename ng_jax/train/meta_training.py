# SPDX-License-Identifier: Apache-2.0
"""Meta-training as a run of `running`: its state, its steps, its tasks in turn.

Theta is the params of the `TrainState`; the states of the outer update and of
the estimators are its opt_state. So a checkpoint holds all of them, and a
resumed run does, to the bit, what an uninterrupted one does.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ng_jax.meta import estimators as estimators_lib
from ng_jax.meta import training
from ng_jax.train import state as state_lib

# Purposes that the key of a run is folded with.
_INIT, _TRAINING = 0, 1


@dataclasses.dataclass(frozen=True)
class Rotation:
  """Which task an outer step uses: one after the other.

  Attributes:
    num_tasks: of the run.
    num_examples: training images of all tasks, for the log.
  """

  num_tasks: int
  num_examples: int

  def batch(self, step: int) -> np.ndarray:
    """Number of the task of a step.

    Args:
      step: number of the outer step, from 0.

    Returns:
      [1] int32. Jit: static.
    """
    return np.array([step % self.num_tasks], np.int32)


def make_init(
  estimators: Sequence[estimators_lib.Estimator],
  make_theta: Callable[[jax.Array], Any],
  update: optax.GradientTransformation,
  data: Sequence[Any],
  *,
  seed: int,
) -> Callable[[], state_lib.TrainState]:
  """Makes the function that makes the first state.

  Args:
    estimators: one a task.
    make_theta: typed key -> theta.
    update: outer update.
    data: of each task; only its shapes matter.
    seed: of the run.

  Returns:
    A compiled function without arguments. Jit: yes.
  """
  shapes = jax.eval_shape(lambda: tuple(data))

  def init() -> state_lib.TrainState:
    key = jax.random.key(seed)
    shared, states = training.create_state(
      estimators,
      make_theta(jax.random.fold_in(key, _INIT)),
      update,
      jax.random.fold_in(key, _TRAINING),
      jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes),
    )
    return _to_train_state(shared, states)

  return jax.jit(init)


def make_train_step(
  estimators: Sequence[estimators_lib.Estimator],
  update: optax.GradientTransformation,
  devices: Sequence[jax.Device],
) -> Callable[..., tuple[state_lib.TrainState, dict[str, jax.Array]]]:
  """Makes the outer step of a run, one compiled program a task.

  Args:
    estimators: one a task.
    update: outer update.
    devices: that share the particles.

  Returns:
    A function (state, data of all tasks, number of the task [1]) -> state,
    metrics, see `training.outer_step`. The memory of what it changes is given
    to it. Jit: no, it calls compiled programs.

  Raises:
    ValueError: particles that cannot be spread evenly.
  """
  programs = [training.make_step(e, update, devices) for e in estimators]

  def step(
    state: state_lib.TrainState, data: Sequence[Any], index: np.ndarray
  ) -> tuple[state_lib.TrainState, dict[str, jax.Array]]:
    number = int(index[0])
    shared, states = _from_train_state(state)
    # Nothing is copied that is where it should be, as after the first step.
    shared, moved, metrics = programs[number](
      training.place(shared, devices),
      training.place(states[number], devices, spread=True),
      data[number],
    )
    states = (*states[:number], moved, *states[number + 1 :])
    return _to_train_state(shared, states), metrics

  return step


def average(window: Mapping[str, Any]) -> dict[str, float]:
  """Means of metrics over outer steps.

  Args:
    window: {name: [num_steps]}.

  Returns:
    {name: mean}, of 'nonfinite' the sum. Jit: no.
  """
  found = {
    name: float(np.mean(np.asarray(values, np.float64)))
    for name, values in window.items()
  }
  return {**found, 'nonfinite': float(np.sum(window['nonfinite']))}


def _to_train_state(
  shared: training.SharedState, states: tuple[Any, ...]
) -> state_lib.TrainState:
  return state_lib.TrainState(
    step=shared.step,
    params=shared.theta,
    constants={},
    batch_stats={},
    opt_state={'outer': shared.outer_state, 'estimators': states},
    key=shared.key,
  )


def _from_train_state(
  state: state_lib.TrainState,
) -> tuple[training.SharedState, tuple[Any, ...]]:
  shared = training.SharedState(
    state.step, state.params, state.opt_state['outer'], state.key
  )
  return shared, state.opt_state['estimators']
