# SPDX-License-Identifier: Apache-2.0
"""Prediction of one number in [0, 1] per network: losses, sums, quality.

Padding may hold anything, huge values and NaN included.
"""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


def _bce(logits: jax.Array, targets: jax.Array) -> jax.Array:
  """Cross-entropy of a soft label, in nats."""
  found: jax.Array = optax.losses.sigmoid_binary_cross_entropy(logits, targets)
  return found


def _mse(logits: jax.Array, targets: jax.Array) -> jax.Array:
  """Squared error of the predicted fraction."""
  return jnp.square(jax.nn.sigmoid(logits) - targets)


# (logits, targets) -> losses, all [num_examples].
LOSSES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
  'bce': _bce,
  'mse': _mse,
}


def loss_sums(
  logits: jax.Array, targets: jax.Array, mask: jax.Array, *, loss: str
) -> dict[str, jax.Array]:
  """Sums over the real examples.

  Args:
    logits: [num_examples] float, of which the sigmoid is the prediction.
    targets: [num_examples] float in [0, 1].
    mask: [num_examples] bool, True for real examples.
    loss: name, a key of `LOSSES`.

  Returns:
    'loss' [] float and 'count' [] int32. Jit: yes, loss static.
  """
  # Both operands are guarded: a NaN in padding would reach the gradient.
  wide = jnp.promote_types(logits.dtype, jnp.float32)
  logits = jnp.where(mask, logits, 0.0).astype(wide)
  losses = LOSSES[loss](logits, jnp.where(mask, targets, 0.0))
  return {
    'loss': jnp.sum(jnp.where(mask, losses, 0.0)),
    'count': jnp.sum(mask, dtype=jnp.int32),
  }


def average(sums: Mapping[str, Any]) -> dict[str, float]:
  """Exact mean loss over a window of steps.

  Args:
    sums: 'loss' and 'count', [num_steps].

  Returns:
    'loss'. Jit: no.
  """
  total = {name: np.sum(x, dtype=np.float64) for name, x in sums.items()}
  return {'loss': float(total['loss'] / max(total['count'], 1.0))}


@dataclasses.dataclass(frozen=True)
class Quality:
  """How good the predictions on a split are.

  Attributes:
    loss: mean over the examples.
    tau: Kendall's tau-b between targets and predictions; 0 where either is
      constant, for which it is not defined.
    r2: coefficient of determination; 0 where the targets are constant.
    predictions: [num_examples] float32.
  """

  loss: float
  tau: float
  r2: float
  predictions: np.ndarray

  def scalars(self, prefix: str) -> dict[str, float]:
    """Loss, tau and R2 as metrics of a split. Jit: no."""
    return {
      f'{prefix}_loss': self.loss,
      f'{prefix}_tau': self.tau,
      f'{prefix}_r2': self.r2,
    }


def kendall_tau(targets: np.ndarray, predictions: np.ndarray) -> float:
  """Kendall's tau-b.

  Args:
    targets: [num_examples] float.
    predictions: [num_examples] float.

  Returns:
    In [-1, 1]; 0 where it is not defined. Jit: no.
  """
  from scipy import stats

  if not _vary(targets) or not _vary(predictions):
    return 0.0
  return float(stats.kendalltau(targets, predictions).statistic)


def r_squared(targets: np.ndarray, predictions: np.ndarray) -> float:
  """1 - (sum of squared errors) / (sum of squares around the mean).

  Args:
    targets: [num_examples] float.
    predictions: [num_examples] float.

  Returns:
    At most 1; 0 for constant targets, for which it is not defined. Jit: no.
  """
  if not _vary(targets):
    return 0.0
  wide = np.asarray(targets, np.float64)
  errors = wide - np.asarray(predictions, np.float64)
  around = wide - wide.mean()
  return float(1.0 - np.sum(errors**2) / np.sum(around**2))


def _vary(values: np.ndarray) -> bool:
  return len(values) > 1 and bool(np.any(values != values[0]))
