# SPDX-License-Identifier: Apache-2.0
"""Models in training: which options a config has, and how they are called.

Shared by all experiments, whatever their models give.
"""

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
from ng_jax.layers import batch_norm
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
  'num_weight_layers',
  'probe_inputs',
  'statistics',
)


def model_options(name: str, *, kind: str, mark: str) -> dict[str, Any]:
  """Options of a model that a config may set, with their defaults.

  Args:
    name: of the model.
    kind: of models that are wanted, for the message.
    mark: an option that models of this kind have and others have not.

  Returns:
    {option: default}. Jit: static.

  Raises:
    ValueError: unknown model, or one of another kind; those of the kind are
      listed.
  """
  known = [n for n in models.MODELS if mark in _fields(n)]
  if name not in known:
    raise ValueError(
      f'unknown model {name!r} in config.model.name; expected one of '
      f'{sorted(known)}, which are the {kind}s.'
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
  statistics: Any,
  dtype: str,
  **options: Any,
) -> nn.Module:
  """Makes the model for networks of one family.

  Args:
    name: of the model.
    network: the family, such as `networks.Siren(...)`.
    statistics: of the training weights, or None.
    dtype: 'float32' or 'bfloat16', computation dtype; parameters are float32.
    **options: of the config.

  Returns:
    A Flax module. Jit: static.

  Raises:
    ValueError: unknown model or option.
  """
  known = _fields(name)
  from_data = {
    'network': network,
    'statistics': statistics,
    'degree_constant': degree_constant(graphs.topology(network.spec)),
  }
  return models.create(
    name,
    spec=network.spec,
    dtype=None if dtype == 'float32' else jnp.dtype(dtype),
    **{name: value for name, value in from_data.items() if name in known},
    **options,
  )


def degree_constant(topology: graphs.Topology) -> float:
  """Mean of log(in-degree + 1) over the nodes of a graph (PNA's delta).

  Forward edges only, also where a model adds reverse edges, as in the
  reference. Jit: static.
  """
  degrees = np.bincount(topology.receivers, minlength=topology.num_nodes)
  return math.fsum(np.log1p(degrees)) / topology.num_nodes


def apply_in_training(
  model: nn.Module,
  variables: Any,
  graph: Any,
  *,
  mask: jax.Array,
  keys: steps.Keys,
) -> tuple[Any, Any]:
  """Calls a model with dropout and the statistics of the batch.

  Args:
    model: of `create_model`.
    variables: all collections.
    graph: num_graphs graphs, of one spec or a padded batch.
    mask: [num_graphs] bool; padding does not enter the statistics.
    keys: of the microbatch.

  Returns:
    What the model gives, and the moved 'batch_stats' ({} without). Jit: yes.
  """
  noted = {**(graph.globals or {}), batch_norm.MASK: mask}
  found, moved = model.apply(
    variables,
    graph._replace(globals=noted),
    train=True,
    rngs={'dropout': keys.microbatch},
    mutable=['batch_stats'],
  )
  return found, moved.get('batch_stats', {})


def example_of(weights: specs.Weights) -> specs.Weights:
  """The first network of many, to initialise a model with. Jit: yes."""
  return jax.tree.map(lambda leaf: leaf[:1], weights)


def _fields(name: str) -> tuple[str, ...]:
  return tuple(field.name for field in dataclasses.fields(models.MODELS[name]))
