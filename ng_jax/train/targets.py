# SPDX-License-Identifier: Apache-2.0
"""What is predicted of a network, by the loss: an accuracy, or a class."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ng_jax.train import evaluate
from ng_jax.train import metrics
from ng_jax.train import regression

CROSS_ENTROPY = 'cross_entropy'
LOSSES = (*sorted(regression.LOSSES), CROSS_ENTROPY)

# Both have the mean loss, predictions, and `scalars(prefix)`.
Quality = regression.Quality | evaluate.Evaluation


def sums(
  logits: jax.Array, targets: jax.Array, mask: jax.Array, *, loss: str
) -> dict[str, jax.Array]:
  """Sums over the real examples.

  Args:
    logits: [num_examples, num_outputs] float.
    targets: [num_examples], accuracies in [0, 1] or numbers of classes.
    mask: [num_examples] bool, True for real examples.
    loss: name, one of `LOSSES`.

  Returns:
    'loss' [] float and 'count' [] int32; 'correct' [] int32 of classes. Jit:
    yes, loss static.
  """
  if loss == CROSS_ENTROPY:
    return metrics.classification_sums(logits, targets, mask)
  return regression.loss_sums(logits[:, 0], targets, mask, loss=loss)


def results(logits: jax.Array, *, loss: str) -> dict[str, jax.Array]:
  """Predictions of each example.

  Args:
    logits: [num_examples, num_outputs] float.
    loss: name, one of `LOSSES`.

  Returns:
    'prediction' [num_examples], an accuracy or the number of a class, then with
    its 'confidence'. Jit: yes, loss static.
  """
  if loss == CROSS_ENTROPY:
    return metrics.classification_results(logits)
  return {'prediction': jax.nn.sigmoid(logits[:, 0])}


def quality(
  found_sums: Mapping[str, Any],
  found: dict[str, np.ndarray],
  targets: np.ndarray,
  *,
  num_classes: int,
) -> Quality:
  """Says how good the predictions on a split are.

  Args:
    found_sums: of `sums`, [num_batches] each.
    found: of `results`, [num_examples] each.
    targets: [num_examples].
    num_classes: 0 for accuracies.

  Returns:
    Exact means, whatever the batches. Jit: no.
  """
  if num_classes:
    return evaluate.classification(
      dict(found_sums), found, labels=targets, num_classes=num_classes
    )
  predictions = found['prediction']
  return regression.Quality(
    loss=regression.average(found_sums)['loss'],
    tau=regression.kendall_tau(targets, predictions),
    r2=regression.r_squared(targets, predictions),
    predictions=predictions,
  )
