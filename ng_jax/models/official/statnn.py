# SPDX-License-Identifier: Apache-2.0
"""Official names and options of StatNN, for the small CNN zoo and Wild Park."""

from collections.abc import Mapping
import re
from typing import Any

import jraph
import numpy as np

from ng_jax import specs
from ng_jax.models.baselines import statnn

# Nothing is left out.
IGNORED = r'(?!)'
_ZOO = 'nn.original_nfn.models.StatNet'


def model_options(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
  """Options of StatNN, see `official.model_options`.

  Args:
    config: with 'model'.

  Returns:
    'statnn' and the options for `models.create`. Jit: no.

  Raises:
    ValueError: features that the official code normalises.
  """
  model = config['model']
  if model.get('normalize'):
    raise ValueError(
      'config.model.normalize must be False: the official normalisation of '
      'features has no counterpart here.'
    )
  zoo = model['_target_'] == _ZOO
  return 'statnn', {
    'num_outputs': 1,
    'hidden_size': model['h_size'],
    'order': 'interleaved' if zoo else 'split',
    'max_layers': model['max_num_hidden_layers'] + 1,
    'dropout': model.get('dropout', 0.0),
    'sigmoid': model.get('sigmoid', False),
  }


def read_features(
  arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> jraph.GraphsTuple:
  """What StatNN of Wild Park reads: features that were computed elsewhere.

  Args:
    arrays: 'weight_stats' and 'bias_stats' [num_graphs, 7 num_layers].
    config: is not looked at.

  Returns:
    Graphs without nodes that carry the features. Jit: no.
  """
  del config
  features = np.concatenate(
    [arrays['weight_stats'], arrays['bias_stats']], axis=1
  )
  nothing = np.zeros(0, np.int32)
  sizes = np.zeros(len(features), np.int32)
  return jraph.GraphsTuple(
    {}, {}, nothing, nothing, {statnn.FEATURES: features}, sizes, sizes
  )


def deepest_spec(config: Mapping[str, Any]) -> specs.NetworkSpec:
  """Spec of a chain as deep as StatNN of Wild Park reads.

  No array of the model depends on the width of layers.

  Args:
    config: with 'model'.

  Returns:
    The spec. Jit: static.
  """
  return specs.mlp((1,) * (config['model']['max_num_hidden_layers'] + 2))


def translate(
  name: str, array: np.ndarray, state: Mapping[str, Any]
) -> tuple[str | None, np.ndarray]:
  """Our path, with collection, and the array in our orientation.

  Args:
    name: official name of an array.
    array: its value.
    state: the whole official state.

  Returns:
    'params/...', None for an unknown name, and the array. Jit: no.
  """
  del state
  match = re.fullmatch(r'hypernetwork\.(\d+)\.(weight|bias)', name)
  if not match:
    return None, array
  # Every third entry is a linear layer, after 0 to 2 that have no parameters.
  leaf = {'weight': 'kernel', 'bias': 'bias'}[match[2]]
  return f'params/layer_{int(match[1]) // 3}/{leaf}', array.T
