# SPDX-License-Identifier: Apache-2.0
"""Official names and options of NG-GNN and NG-T that edit INRs.

Their backbones are those of the predictors; what is new are two heads and a
scalar per layer, of which we keep one array.
"""

from collections.abc import Mapping
import re
from typing import Any

import numpy as np

from ng_jax.models.official import neural_graph

IGNORED = neural_graph.IGNORED
# Official class -> our model.
_NAMES = {
  'nn.dense_gnn.GNNParams': 'ng_gnn_edit',
  'nn.dense_relational_transformer.RelationalTransformerParams': 'ng_t_edit',
}


def editor_options(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
  """Options of an INR editor, see `official.model_options`.

  Args:
    config: with 'model' and 'layer_layout'.

  Returns:
    The model's name and the options for `models.create`, for NG-GNN with the
    official reading of biases (spec 8, Q5). Jit: no.
  """
  model = config['model']
  name = _NAMES[model['_target_']]
  options = {
    'num_weight_layers': len(config['layer_layout']) - 1,
    'out_scale': model.get('out_scale', 0.01),
    'normalize': model['normalize'],
    **neural_graph.inr_options(config),
    **neural_graph.shared_options(model, model['stats']),
  }
  if name == 'ng_t_edit':
    return name, {**options, **neural_graph.transformer_options(model)}
  options['biases_from_start'] = True
  return name, {**options, **neural_graph.gnn_options(model)}


def translate(
  name: str, array: np.ndarray, state: Mapping[str, Any]
) -> tuple[str | None, np.ndarray]:
  """Our path, with collection, and the array in our orientation.

  Args:
    name: official name of an array.
    array: its value.
    state: the whole official state.

  Returns:
    'params/...' or 'constants/...', None for an unknown name, and the array;
    all scalars of a kind become the same array. Jit: no.
  """
  match = re.fullmatch(r'proj_(node|edge)\.(\d+)\.(weight|bias)', name)
  if match:  # Every other entry is an activation.
    leaf = 'kernel' if match[3] == 'weight' else 'bias'
    layer = int(match[2]) // 2
    return f'params/{match[1]}_head/layer_{layer}/{leaf}', array.T
  match = re.fullmatch(r'(weight|bias)_scale\.\d+', name)
  if match:
    kind = f'{match[1]}_scale'
    num_layers = sum(other.startswith(f'{kind}.') for other in state)
    scales = [state[f'{kind}.{i}'] for i in range(num_layers)]
    return f'params/{kind}', np.stack([np.reshape(s, ()) for s in scales])
  return neural_graph.translate(name, array, state)
