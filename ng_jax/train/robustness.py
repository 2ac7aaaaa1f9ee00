# SPDX-License-Identifier: Apache-2.0
"""How a classifier of networks does on networks that were changed.

Hidden neurons in another order (which must change nothing), entries pruned by
their size, and entries rounded to a few bits. Beyond the paper.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import specs
from ng_jax.train import evaluate
from ng_jax.train import experiment as experiment_lib
from ng_jax.train import metrics
from ng_jax.train import state as state_lib
from ng_jax.weights import edits

# (key, spec, weights of one network) -> its weights after the change.
_Change = Callable[[jax.Array, specs.NetworkSpec, Any], Any]


def _permute(key: jax.Array, spec: specs.NetworkSpec, weights: Any) -> Any:
  return specs.permute(spec, weights, specs.draw_permutation(key, spec))


def _prune(
  key: jax.Array, spec: specs.NetworkSpec, weights: Any, *, share: float
) -> Any:
  del key, spec
  return edits.drop_quantile(weights, jnp.float32(share))


def _round(
  key: jax.Array, spec: specs.NetworkSpec, weights: Any, *, num_bits: int
) -> Any:
  del key, spec
  return edits.quantise(weights, num_bits=num_bits)


CHANGES: dict[str, _Change] = {
  'permuted': _permute,
  'pruned_10': functools.partial(_prune, share=0.1),
  'pruned_30': functools.partial(_prune, share=0.3),
  'bits_8': functools.partial(_round, num_bits=8),
  'bits_4': functools.partial(_round, num_bits=4),
}


def measure(
  experiment: experiment_lib.Experiment, state: state_lib.TrainState
) -> dict[str, float]:
  """Classifies the test networks after each change.

  Args:
    experiment: of a classification run.
    state: of the run.

  Returns:
    For each of `CHANGES`: '<change>_accuracy', '<change>_agreement' (share of
    the test networks that are classified as before the change) and
    '<change>_confidence_shift' (the largest change of the probability of the
    prediction). Jit: no.
  """
  before = _classify(experiment, state)[1]
  found: dict[str, float] = {}
  for name in CHANGES:
    changed = dataclasses.replace(
      experiment, data=_change_test_split(experiment, name)
    )
    sums, after = _classify(changed, state)
    same = after['prediction'] == before['prediction']
    shift = np.abs(after['confidence'] - before['confidence'])
    found |= {
      f'{name}_accuracy': metrics.means(sums)['accuracy'],
      f'{name}_agreement': float(same.mean()),
      f'{name}_confidence_shift': float(shift.max()),
    }
  return found


def _classify(
  experiment: experiment_lib.Experiment, state: state_lib.TrainState
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  return experiment.measure(state, 'test', names=evaluate.CLASSIFICATION)


def _change_test_split(
  experiment: experiment_lib.Experiment, name: str
) -> dict[str, Any]:
  """The data, with changed test networks; the same shapes, so one program."""
  part, weights = experiment.splits['test'], experiment.data['weights']
  rows = slice(part.first_row, part.first_row + part.labels.size)
  keys = jax.random.split(
    jax.random.key(experiment.config.seed), part.labels.size
  )
  change = functools.partial(_apply, name, experiment.dataset.network.spec)
  changed = jax.jit(jax.vmap(change))(
    keys, jax.tree.map(lambda leaf: leaf[rows], weights)
  )
  return {
    **experiment.data,
    'weights': jax.tree.map(
      lambda leaf, new: leaf.at[rows].set(new), weights, changed
    ),
  }


def _apply(
  name: str, spec: specs.NetworkSpec, key: jax.Array, weights: Any
) -> Any:
  return CHANGES[name](key, spec, weights)
