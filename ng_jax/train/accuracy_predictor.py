# SPDX-License-Identifier: Apache-2.0
"""A predictor of accuracies, or of classes: its model and step functions.

networks -> graph -> model -> logit -> sigmoid, or logits -> softmax. Networks
of one spec lie on the device and become graphs there; mixed ones come as parts
of batches that are laid out (`ng_jax.train.mixed_batches`); StatNN reads
features.
"""

from collections.abc import Callable, Sequence
import dataclasses
import math
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import jraph
import numpy as np

from ng_jax import graphs
from ng_jax import models
from ng_jax import specs
from ng_jax.models.baselines import statnn
from ng_jax.train import reading
from ng_jax.train import steps
from ng_jax.train import targets as targets_lib
from ng_jax.weights import perturb

# Models that read networks of different specs in one batch.
MIXED_MODELS = ('ng_gnn', 'ng_t', 'statnn')
# Poolings of output nodes that do not care how many there are.
_ANY_ENDS = ('max', 'mean')
# (examples, mask) -> graph, targets, mask of the graphs.
Unpack = Callable[[Any, jax.Array], tuple[jraph.GraphsTuple, Any, jax.Array]]


def create_model(
  name: str,
  topologies: Sequence[graphs.Topology],
  *,
  dtype: str,
  num_outputs: int = 1,
  **options: Any,
) -> nn.Module:
  """Makes the model for the networks of a zoo.

  Args:
    name: of the model.
    topologies: of the training networks; their depths and degrees fill in what
      the options leave open.
    dtype: 'float32' or 'bfloat16', computation dtype.
    num_outputs: 1 for accuracies, else the number of classes.
    **options: of the config.

  Returns:
    A Flax module with num_outputs outputs per network. Jit: no.

  Raises:
    ValueError: networks with different numbers of inputs or outputs, for a
      pooling that sets outputs side by side; a model that reads one spec only,
      for a mixed zoo; unknown option.
  """
  distinct = set(topologies)
  ends = {(t.spec.num_inputs, t.spec.num_outputs) for t in distinct}
  if len(ends) > 1 and options.get('pooling') not in _ANY_ENDS:
    raise ValueError(
      'networks of a zoo must have the same numbers of inputs and outputs, got '
      f'{sorted(ends)}; train on each group alone, or with a config.model that '
      f'has a pooling of {sorted(_ANY_ENDS)}.'
    )
  if name not in MIXED_MODELS and len(distinct) > 1:
    raise ValueError(
      f'model {name!r} reads networks of one spec, but this zoo has '
      f'{len(distinct)} different ones; use one of {sorted(MIXED_MODELS)}, or '
      'a zoo with one shape of weights and no residuals.'
    )
  fields = {f.name for f in dataclasses.fields(models.MODELS[name])}
  deepest = max(distinct, key=lambda t: len(_layers(t.spec))).spec
  filled = {
    'degree_constant': degree_constant(topologies),
    'num_hidden_layers': max(t.spec.num_hidden_sets for t in distinct),
    'num_inputs': max(num_inputs for num_inputs, _ in ends),
    'num_output_nodes': max(num_outputs for _, num_outputs in ends),
  }
  if options.get('max_layers', 0) is None:
    options['max_layers'] = len(_layers(deepest))
  for option, value in filled.items():
    if option in fields:
      options[option] = value
  return models.create(
    name,
    spec=deepest,
    num_outputs=num_outputs,
    dtype=None if dtype == 'float32' else jnp.dtype(dtype),
    **options,
  )


def seen_by(name: str, spec: specs.NetworkSpec) -> specs.NetworkSpec:
  """What a model sees of a spec: those of one spec see no activations.

  Args:
    name: of the model.
    spec: of a network.

  Returns:
    The spec, for the others with the activation 'none' in every neuron set.
    Jit: static.
  """
  if name in MIXED_MODELS:
    return spec
  blind = (
    dataclasses.replace(neurons, activation='none')
    for neurons in spec.neuron_sets
  )
  return dataclasses.replace(spec, neuron_sets=tuple(blind))


def _layers(spec: specs.NetworkSpec) -> list[str]:
  return [leaf.path for leaf in spec.leaves if leaf.kind == 'edge']


def degree_constant(topologies: Sequence[graphs.Topology]) -> float:
  """Mean of log(in-degree + 1) over all nodes of many graphs (PNA's delta).

  Args:
    topologies: of the training networks, one each.

  Returns:
    The mean; forward edges only. Jit: no.
  """
  counts: dict[graphs.Topology, int] = {}
  for topology in topologies:
    counts[topology] = counts.get(topology, 0) + 1
  total, nodes = 0.0, 0
  for topology, count in counts.items():
    degrees = np.bincount(topology.receivers, minlength=topology.num_nodes)
    total += count * math.fsum(np.log1p(degrees))
    nodes += count * topology.num_nodes
  return total / nodes


def unpack_parts(
  examples: Any, mask: jax.Array
) -> tuple[jraph.GraphsTuple, Any, jax.Array]:
  """Takes a part of a batch that is laid out.

  Args:
    examples: {'graph', 'target', 'mask'} with a leading axis of length 1.
    mask: [1] bool, False where the part only fills up.

  Returns:
    The graph, targets [num_graphs], mask [num_graphs]. Jit: yes.
  """
  part = jax.tree.map(lambda leaf: leaf[0], examples)
  return part['graph'], part['target'], part['mask'] & mask[0]


def unpack_features(
  examples: Any, mask: jax.Array
) -> tuple[jraph.GraphsTuple, Any, jax.Array]:
  """Takes features of networks as StatNN reads them.

  Args:
    examples: {'features': [num_examples, num_features], 'target'}.
    mask: [num_examples] bool.

  Returns:
    A graph with nothing but features, targets, mask. Jit: yes.
  """
  graph = jraph.GraphsTuple(
    nodes=None,
    edges=None,
    senders=None,
    receivers=None,
    globals={statnn.FEATURES: examples['features']},
    n_node=None,
    n_edge=None,
  )
  return graph, examples['target'], mask


def make_unpack_weights(topology: graphs.Topology) -> Unpack:
  """Takes weights of networks of one spec.

  Args:
    topology: of the spec.

  Returns:
    A function of examples {'weights': leaves [num_examples, ...], 'target'}.
    Jit: yes.
  """

  def unpack(
    examples: Any, mask: jax.Array
  ) -> tuple[jraph.GraphsTuple, Any, jax.Array]:
    graph = graphs.encode(topology, examples['weights'])
    return graph, examples['target'], mask

  return unpack


def make_loss_function(
  model: nn.Module, unpack: Unpack, *, loss: str, augmentation: perturb.Perturb
) -> steps.LossFunction:
  """Makes the loss of training.

  Args:
    model: from `create_model`.
    unpack: of this module.
    loss: name, one of `targets.LOSSES`.
    augmentation: of weights of one spec; nothing for others.

  Returns:
    A loss function for `steps.train_step`. Jit: yes.
  """

  def loss_function(
    variables: Any, examples: Any, mask: jax.Array, keys: steps.Keys
  ) -> tuple[jax.Array, tuple[steps.Sums, Any]]:
    if augmentation.active and 'weights' in examples:
      drawn = jax.vmap(augmentation.apply)(keys.examples, examples['weights'])
      examples = {**examples, 'weights': drawn}
    graph, targets, mask = unpack(examples, mask)
    logits, moved = reading.apply_in_training(
      model, variables, graph, mask=mask, keys=keys
    )
    sums = targets_lib.sums(logits, targets, mask, loss=loss)
    return sums['loss'], (sums, moved)

  return loss_function


def make_metric_function(
  model: nn.Module, unpack: Unpack, *, loss: str
) -> steps.MetricFunction:
  """Makes the evaluation: no augmentation, no dropout.

  Args:
    model: from `create_model`.
    unpack: of this module.
    loss: name.

  Returns:
    A metric function for `steps.eval_step` with the results of
    `targets.results`, [1, num_graphs] for parts, [num_examples] else. Jit: yes.
  """

  def metric_function(
    variables: Any, examples: Any, mask: jax.Array
  ) -> tuple[steps.Sums, dict[str, jax.Array]]:
    graph, targets, real = unpack(examples, mask)
    logits: Any = model.apply(variables, graph, train=False)
    logits = logits.astype(jnp.float32)
    results = targets_lib.results(logits, loss=loss)
    if unpack is unpack_parts:
      results = {name: found[None] for name, found in results.items()}
    return targets_lib.sums(logits, targets, real, loss=loss), results

  return metric_function
