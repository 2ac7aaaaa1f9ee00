# SPDX-License-Identifier: Apache-2.0
"""Evaluation on a whole split, every example once."""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax
import numpy as np

from ng_jax.train import metrics
from ng_jax.train import sampler
from ng_jax.train import state as state_lib

# Results of an evaluation step that `classification` asks for.
CLASSIFICATION = ('prediction', 'confidence')


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What a classifier does on a split.

  Attributes:
    loss: mean cross-entropy in nats.
    accuracy: in [0, 1].
    confusion: [num_classes, num_classes] int64; rows are labels.
    predictions: [num_examples] int32, the likeliest class.
    confidences: [num_examples] float32, the probability it is given.
  """

  loss: float
  accuracy: float
  confusion: np.ndarray
  predictions: np.ndarray
  confidences: np.ndarray

  def scalars(self, prefix: str) -> dict[str, float]:
    """Loss and accuracy as metrics of a split. Jit: no."""
    return {f'{prefix}_loss': self.loss, f'{prefix}_accuracy': self.accuracy}


def measure_split(
  step: Callable[[state_lib.TrainState, Any, np.ndarray], Any],
  state: state_lib.TrainState,
  data: Any,
  *,
  names: tuple[str, ...],
  num_examples: int,
  batch_size: int,
  first_row: int = 0,
  multiple_of: int = 1,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  """Runs the evaluation step over all rows of a split, in order.

  Args:
    step: from `devices.make_step` around `steps.eval_step`.
    state: of the run.
    data: tree of arrays [num_rows, ...] on the devices.
    names: of the results to fetch.
    num_examples: of the split.
    batch_size: examples of a step.
    first_row: where the split begins in the data.
    multiple_of: what the index vectors must divide by.

  Returns:
    Sums of the batches, each [num_batches], and results of the real examples,
    each [num_examples, ...]; on the host.
  """
  batches = sampler.IndexSampler(
    num_examples=num_examples,
    batch_size=min(batch_size, num_examples),
    multiple_of=multiple_of,
    shuffle=False,
    first_row=first_row,
  )
  outputs = []
  indices = []
  for number in range(batches.steps_per_epoch):
    indices.append(batches.batch(number))
    sums, results = step(state, data, indices[-1])
    outputs.append((sums, {name: results[name] for name in names}))
  all_sums, all_results = zip(*jax.device_get(outputs), strict=True)
  real = np.concatenate(indices) >= 0
  found = {
    name: np.concatenate([results[name] for results in all_results])[real]
    for name in names
  }
  totals = {
    name: np.array([sums[name] for sums in all_sums]) for name in all_sums[0]
  }
  return totals, found


def classification(
  sums: dict[str, np.ndarray],
  results: dict[str, np.ndarray],
  *,
  labels: np.ndarray,
  num_classes: int,
) -> Evaluation:
  """Summarises what a classifier does on a split.

  Args:
    sums: of `measure_split`: 'loss', 'correct', 'count'.
    results: of `measure_split`, named `CLASSIFICATION`.
    labels: [num_examples] int, of the split.
    num_classes: size of the confusion matrix.

  Returns:
    Exact means, whatever the batch size. Jit: no.
  """
  means = metrics.means(sums)
  return Evaluation(
    loss=means['loss'],
    accuracy=means['accuracy'],
    confusion=metrics.confusion_matrix(
      labels, results['prediction'], num_classes=num_classes
    ),
    predictions=results['prediction'],
    confidences=results['confidence'],
  )
