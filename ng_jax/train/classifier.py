# SPDX-License-Identifier: Apache-2.0
"""A classifier of weights: the functions of its training and evaluation.

weights -> augmentation -> graph -> model -> logits -> masked sums. Both
functions are what `ng_jax.train.steps` asks for.
"""

from collections.abc import Callable
import dataclasses
import math
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import graphs
from ng_jax import models
from ng_jax import specs
from ng_jax.models.baselines import chains
from ng_jax.train import metrics
from ng_jax.train import steps

# Options of a model that follow from the data and are no config fields.
FILLED_IN = (
  'degree_constant',
  'dtype',
  'network',
  'num_hidden_layers',
  'num_inputs',
  'num_output_nodes',
  'num_outputs',
  'probe_inputs',
  'statistics',
)
# (key, weights of one network) -> weights.
Augmentation = Callable[[jax.Array, specs.Weights], specs.Weights]


def model_options(name: str) -> dict[str, Any]:
  """Options of a model that a config may set, with their defaults.

  Args:
    name: of the model.

  Returns:
    {option: default}. Jit: static.

  Raises:
    ValueError: unknown model, or one that is no classifier; the others are
      listed.
  """
  classifiers = [n for n in models.MODELS if 'num_outputs' in _fields(n)]
  if name not in classifiers:
    raise ValueError(
      f'unknown model {name!r} in config.model.name; expected one of '
      f'{sorted(classifiers)}.'
    )
  return {
    field.name: field.default
    for field in dataclasses.fields(models.MODELS[name])
    if field.name not in (*FILLED_IN, 'parent', 'name')
  }


def create_model(
  name: str,
  *,
  network: Any,
  num_classes: int,
  statistics: Any,
  dtype: str,
  **options: Any,
) -> nn.Module:
  """Makes the model for networks of one family.

  Args:
    name: of the model.
    network: the family, such as `networks.Siren(...)`.
    num_classes: width of the logits.
    statistics: of the training weights, or None.
    dtype: 'float32' or 'bfloat16', computation dtype; parameters are float32.
    **options: of the config.

  Returns:
    A Flax module.

  Raises:
    ValueError: unknown model or option.
  """
  topology = graphs.topology(network.spec)
  known = _fields(name)
  from_data = {
    'network': network,
    'statistics': statistics,
    'degree_constant': degree_constant(topology),
  }
  return models.create(
    name,
    spec=network.spec,
    num_outputs=num_classes,
    dtype=None if dtype == 'float32' else jnp.dtype(dtype),
    **{name: value for name, value in from_data.items() if name in known},
    **options,
  )


def _fields(name: str) -> tuple[str, ...]:
  return tuple(field.name for field in dataclasses.fields(models.MODELS[name]))


def degree_constant(topology: graphs.Topology) -> float:
  """Mean of log(in-degree + 1) over the nodes of a graph (PNA's delta).

  Forward edges only, also where a model adds reverse edges, as in the
  reference. Jit: static.
  """
  degrees = np.bincount(topology.receivers, minlength=topology.num_nodes)
  return math.fsum(np.log1p(degrees)) / topology.num_nodes


def make_loss_function(
  model: nn.Module,
  topology: graphs.Topology,
  *,
  augment: Augmentation | None,
) -> steps.LossFunction:
  """Makes the loss of training: cross-entropy of augmented weights.

  Args:
    model: from `create_model`.
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
    graph = graphs.encode(topology, weights)
    # Padding does not enter the statistics of batch norms.
    graph = graph._replace(globals={**graph.globals, chains.MASK: mask})
    logits, moved = model.apply(
      variables,
      graph,
      train=True,
      rngs={'dropout': keys.microbatch},
      mutable=['batch_stats'],
    )
    sums = metrics.classification_sums(logits, examples['label'], mask)
    return sums['loss'], (sums, moved.get('batch_stats', {}))

  return loss_function


def make_metric_function(
  model: nn.Module, topology: graphs.Topology
) -> steps.MetricFunction:
  """Makes the evaluation: no augmentation, no dropout, running statistics.

  Args:
    model: from `create_model`.
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
    results = {
      'prediction': jnp.argmax(logits, axis=-1),
      'confidence': jnp.max(jax.nn.softmax(logits), axis=-1),
    }
    sums = metrics.classification_sums(logits, examples['label'], mask)
    return sums, results

  return metric_function
