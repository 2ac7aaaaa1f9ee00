# SPDX-License-Identifier: Apache-2.0
"""A classifier of weights: the functions of its training and evaluation.

weights -> augmentation -> graph -> model -> logits -> masked sums. Both
functions are what `ng_jax.train.steps` asks for.
"""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import graphs
from ng_jax import specs
from ng_jax.train import metrics
from ng_jax.train import reading
from ng_jax.train import steps

# (key, weights of one network) -> weights.
Augmentation = Callable[[jax.Array, specs.Weights], specs.Weights]


def model_options(name: str) -> dict[str, Any]:
  """Options of a classifier that a config may set, with their defaults.

  Args:
    name: of the model.

  Returns:
    {option: default}. Jit: static.

  Raises:
    ValueError: unknown model, or one that is no classifier; the others are
      listed.
  """
  return reading.model_options(name, kind='classifier', mark='num_outputs')


def make_loss_function(
  model: nn.Module,
  topology: graphs.Topology,
  *,
  augment: Augmentation | None,
) -> steps.LossFunction:
  """Makes the loss of training: cross-entropy of augmented weights.

  Args:
    model: from `reading.create_model`.
    topology: of the networks' spec.
    augment: called for every example with a key of its own; None for none.

  Returns:
    A loss function for `steps.train_step`; examples are {'weights': tree,
    'label': [num_examples] int32}. Jit: yes.
  """

  def loss_function(
    variables: Any,
    examples: Any,
    mask: jax.Array,
    keys: steps.Keys,
  ) -> tuple[jax.Array, tuple[steps.Sums, Any]]:
    weights = examples['weights']
    if augment is not None:
      weights = jax.vmap(augment)(keys.examples, weights)
    logits, moved = reading.apply_in_training(
      model, variables, graphs.encode(topology, weights), mask=mask, keys=keys
    )
    sums = metrics.classification_sums(logits, examples['label'], mask)
    return sums['loss'], (sums, moved)

  return loss_function


def make_metric_function(
  model: nn.Module, topology: graphs.Topology
) -> steps.MetricFunction:
  """Makes the evaluation: no augmentation, no dropout, running statistics.

  Args:
    model: from `reading.create_model`.
    topology: of the networks' spec.

  Returns:
    A metric function for `steps.eval_step` with results 'prediction' and
    'confidence', the probability of the prediction. Jit: yes.
  """

  def metric_function(
    variables: Any, examples: Any, mask: jax.Array
  ) -> tuple[steps.Sums, dict[str, jax.Array]]:
    logits: Any = model.apply(
      variables,
      graphs.encode(topology, examples['weights']),
      train=False,
    )
    logits = logits.astype(jnp.float32)
    sums = metrics.classification_sums(logits, examples['label'], mask)
    return sums, metrics.classification_results(logits)

  return metric_function
