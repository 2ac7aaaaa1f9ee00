# SPDX-License-Identifier: Apache-2.0
"""Official names and options of NG-GNN and NG-T that read CNNs.

The official code has a second copy of each model for networks of different
architectures ("dynamic"). Ours are the same models as for INRs; only the
configuration, and a few names of the input stage, differ.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ng_jax import specs
from ng_jax.models.official import neural_graph

# The reference's activations come first in ours.
_NUM_ACTIVATIONS = 7
# Allocated and never used by the official code: a second linear map for edges
# of linear layers; its table of activations where the model has none.
IGNORED = (
  rf'{neural_graph.IGNORED}'
  r'|construct_graph\.proj_mlp_edge_in\.(weight|bias)'
  r'|construct_graph\.act_emb\.embedding\.weight'
)
_ACTIVATIONS = 'construct_graph.act_emb.embedding.weight'
_PLACES = 'construct_graph.spatial_embed'
_LINEAR = 'construct_graph.proj_mlp_weight.'


def predictor_options(
  config: Mapping[str, Any],
) -> tuple[str, dict[str, Any]]:
  """Options of a CNN predictor, see `official.model_options`.

  Args:
    config: with 'model'.

  Returns:
    The model's name and the options for `models.create`. Jit: no.
  """
  model = config['model']
  constructor = model['graph_constructor']
  name = neural_graph.model_name(model)
  repeats = constructor['flattening_method'] == 'repeat_nodes'
  return name, {
    **neural_graph.shared_options(model, constructor['stats']),
    **neural_graph.predictor_only_options(model),
    'num_inputs': model['input_channels'],
    'num_hidden_layers': constructor['max_num_hidden_layers'],
    'num_output_nodes': model['num_classes'],
    'activation_embedding': constructor['use_act_embed'],
    'activation_vocabulary': specs.ACTIVATIONS[:_NUM_ACTIVATIONS],
    'linear_as_conv': constructor['linear_as_conv'],
    'num_places': constructor['max_spatial_resolution'] if repeats else 0,
    'num_readout_layers': 3,
    'pool_padding': True,
  }


def translate(
  name: str, array: np.ndarray, state: Mapping[str, Any]
) -> tuple[str | None, np.ndarray]:
  """Our path, with collection, and the array in our orientation.

  Args:
    name: official name of an array.
    array: its value.
    state: the whole official state.

  Returns:
    As `neural_graph.translate`, which knows all other names. Jit: no.
  """
  if name == _ACTIVATIONS:
    return 'params/embedding/activations/table', array
  if name == _PLACES:
    return 'params/embedding/places/table', array
  if name.startswith(_LINEAR):
    # Named like the projection of convolutions, which it is beside.
    as_shared = {
      key.replace(_LINEAR, 'construct_graph.proj_weight.'): value
      for key, value in state.items()
      if key.startswith(_LINEAR)
    }
    path, array = neural_graph.translate(
      name.replace(_LINEAR, 'construct_graph.proj_weight.'), array, as_shared
    )
    return path and path.replace('edge_projection', 'linear_projection'), array
  return neural_graph.translate(name, array, state)
