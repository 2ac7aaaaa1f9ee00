# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a classifier on a whole split, every example once."""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax
import numpy as np

from ng_jax.train import metrics
from ng_jax.train import sampler
from ng_jax.train import state as state_lib


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


def evaluate_split(
  step: Callable[[state_lib.TrainState, Any, np.ndarray], Any],
  state: state_lib.TrainState,
  data: Any,
  *,
  labels: np.ndarray,
  num_classes: int,
  batch_size: int,
  first_row: int = 0,
  multiple_of: int = 1,
) -> Evaluation:
  """Runs the evaluation step over all rows of a split, in order.

  Args:
    step: from `devices.make_step` around `steps.eval_step`, with sums 'loss',
      'correct', 'count' and results 'prediction', 'confidence'.
    state: of the run.
    data: tree of arrays [num_rows, ...] on the devices.
    labels: [num_examples] int, of the split, on the host.
    num_classes: size of the confusion matrix.
    batch_size: examples of a step.
    first_row: where the split begins in the data.
    multiple_of: what the index vectors must divide by.

  Returns:
    Exact means, whatever the batch size.
  """
  batches = sampler.IndexSampler(
    num_examples=labels.shape[0],
    batch_size=min(batch_size, labels.shape[0]),
    multiple_of=multiple_of,
    shuffle=False,
    first_row=first_row,
  )
  outputs = []
  indices = []
  for number in range(batches.steps_per_epoch):
    indices.append(batches.batch(number))
    outputs.append(step(state, data, indices[-1]))
  all_sums, all_results = zip(*jax.device_get(outputs), strict=True)
  real = np.concatenate(indices) >= 0
  predictions, confidences = (
    np.concatenate([results[name] for results in all_results])[real]
    for name in ('prediction', 'confidence')
  )
  means = metrics.means(
    {name: [sums[name] for sums in all_sums] for name in all_sums[0]}
  )
  return Evaluation(
    loss=means['loss'],
    accuracy=means['accuracy'],
    confusion=metrics.confusion_matrix(
      labels, predictions, num_classes=num_classes
    ),
    predictions=predictions,
    confidences=confidences,
  )
