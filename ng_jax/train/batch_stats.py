# SPDX-License-Identifier: Apache-2.0
"""Statistics of batch norms, taken anew for the parameters of one step.

Running averages are of the parameters of the last steps. Where these move fast
the averages trail, and an evaluation understates the model. Averages of several
batches with the parameters as they are do not ("precise batch norm": Wu and
Johnson, Rethinking 'Batch' in BatchNorm, 2021, section 3).
"""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax.train import devices as devices_lib
from ng_jax.train import state as state_lib
from ng_jax.train import task as task_lib


def make_renew(
  experiment: task_lib.Experiment, batches: Any
) -> Callable[[state_lib.TrainState], state_lib.TrainState]:
  """Makes what a run does to its state before an evaluation.

  Args:
    experiment: of the run.
    batches: its sampler of the training split.

  Returns:
    A function that gives a state with the statistics of the
    config.precise_batch_stats batches that come next in training, without old
    ones; or that changes nothing, if that is 0 or the config has no such field.
    It depends on the step alone, so a resumed run does what an uninterrupted
    one does. Jit: no; it runs jitted steps.

  Raises:
    ValueError: statistics are asked for of a model without batch norms.
  """
  num_batches = experiment.config.get('precise_batch_stats', 0)
  if not num_batches:
    return lambda state: state
  if not jax.eval_shape(experiment.init).batch_stats:
    raise ValueError(
      'config.precise_batch_stats must be 0 for a model without batch norms, '
      f'got {num_batches} with config.model.name='
      f'{experiment.config.model.name!r}; set it to 0, or give the model '
      'batch norms (pooled_norm=True).'
    )

  def renew(state: state_lib.TrainState) -> state_lib.TrainState:
    first = int(state.step)
    found = [
      experiment.statistics_step(
        dataclasses.replace(state, step=jnp.int32(number)),
        experiment.data,
        batches.batch(number),
      )
      for number in range(first, first + num_batches)
    ]
    totals, counts = zip(*jax.device_get(found), strict=True)
    stats = jax.tree.map(lambda *x: _mean(x, sum(counts)), *totals)
    return dataclasses.replace(
      state, batch_stats=devices_lib.replicate(stats, experiment.devices)
    )

  return renew


def _mean(totals: tuple[np.ndarray, ...], count: float) -> np.ndarray:
  wide = np.asarray(np.sum(np.stack(totals), axis=0, dtype=np.float64))
  return (wide / count).astype(totals[0].dtype)
