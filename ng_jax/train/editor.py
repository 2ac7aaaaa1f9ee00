# SPDX-License-Identifier: Apache-2.0
"""An editor of INRs: the functions of its training and evaluation.

weights -> graph -> model -> update; weights + update -> rendering -> squared
error against the edited image. Both functions are what `ng_jax.train.steps`
asks for.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import specs
from ng_jax.train import metrics
from ng_jax.train import reading
from ng_jax.train import steps

# Prefix of the edited weights among the results of an evaluation.
WEIGHTS = 'weights/'
_WHITE = 255


def model_options(name: str) -> dict[str, Any]:
  """Options of an editor that a config may set, with their defaults.

  Args:
    name: of the model.

  Returns:
    {option: default}. Jit: static.

  Raises:
    ValueError: unknown model, or one that is no editor; the others are listed.
  """
  return reading.model_options(name, kind='editor', mark='out_scale')


def edit(
  model: nn.Module, variables: Any, weights: specs.Weights, *, topology: Any
) -> dict[str, Any]:
  """Edits networks, without dropout.

  Args:
    model: an editor, as 'ng_gnn_edit'.
    variables: of the model, all collections.
    weights: leaves [num_networks, *leaf_shape] float.
    topology: `graphs.topology` of their spec.

  Returns:
    The weights with the model's updates added. Jit: yes.
  """
  update: Any = model.apply(
    variables, graphs.encode(topology, weights), train=False
  )
  return models.apply_update(weights, update)


def squared_errors(
  network: networks.Siren, weights: specs.Weights, targets: jax.Array
) -> jax.Array:
  """Renders INRs and compares them with images.

  Args:
    network: whose weights they are.
    weights: leaves [num_networks, *leaf_shape] float.
    targets: [num_networks, rows, columns, channels] uint8, 255 is white.

  Returns:
    [num_networks] float, the mean of the squared differences over all pixels
    and channels, black being 0 and white 1; renderings are not clipped.
    Jit: yes; differentiable.
  """
  _, rows, columns, _ = targets.shape
  pixels = network.render_pixels(weights, (rows, columns))
  wanted = targets.astype(pixels.dtype) / _WHITE
  return metrics.mean_squared_error(pixels, wanted)


def make_loss_function(
  model: nn.Module, network: networks.Siren
) -> steps.LossFunction:
  """Makes the loss of training: squared error of the rendered edit.

  Args:
    model: from `reading.create_model`.
    network: whose weights are edited.

  Returns:
    A loss function for `steps.train_step`; examples are {'weights': tree,
    'target': [num_examples, rows, columns, channels] uint8}. Jit: yes.
  """
  topology = graphs.topology(network.spec)

  def loss_function(
    variables: Any,
    examples: Any,
    mask: jax.Array,
    keys: steps.Keys,
  ) -> tuple[jax.Array, tuple[steps.Sums, Any]]:
    weights = examples['weights']
    update, moved = reading.apply_in_training(
      model, variables, graphs.encode(topology, weights), mask=mask, keys=keys
    )
    edited = models.apply_update(weights, update)
    errors = squared_errors(network, edited, examples['target'])
    loss = metrics.masked_sum(errors, mask)
    return loss, ({'loss': loss, 'count': _count(mask)}, moved)

  return loss_function


def make_metric_function(
  model: nn.Module, network: networks.Siren
) -> steps.MetricFunction:
  """Makes the evaluation: no dropout, running statistics.

  Args:
    model: from `reading.create_model`.
    network: whose weights are edited.

  Returns:
    A metric function for `steps.eval_step` with sums 'mse', 'no_edit_mse' and
    'count', and per example 'mse' and 'no_edit_mse', the errors of the edited
    and of the unedited network against the edited image, and the edited
    weights as 'weights/<leaf path>'. Jit: yes.
  """
  topology = graphs.topology(network.spec)

  def metric_function(
    variables: Any, examples: Any, mask: jax.Array
  ) -> tuple[steps.Sums, dict[str, jax.Array]]:
    weights, targets = examples['weights'], examples['target']
    edited = edit(model, variables, weights, topology=topology)
    errors = {
      'mse': squared_errors(network, edited, targets),
      'no_edit_mse': squared_errors(network, weights, targets),
    }
    sums = {name: metrics.masked_sum(x, mask) for name, x in errors.items()}
    leaves = specs.leaf_arrays(edited)
    results = {WEIGHTS + path: leaf for path, leaf in leaves.items()}
    return {**sums, 'count': _count(mask)}, {**errors, **results}

  return metric_function


def _count(mask: jax.Array) -> jax.Array:
  return jnp.sum(mask, dtype=jnp.int32)
