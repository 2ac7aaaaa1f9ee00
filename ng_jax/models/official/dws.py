# SPDX-License-Identifier: Apache-2.0
"""Official names and options of DWSNets.

The official module list has four entries per layer with batch norm (norm,
ReLU, dropout, layer) and three without.
"""

from collections.abc import Mapping
import re
from typing import Any

import numpy as np

# Counters of PyTorch's batch norms, which have no use here.
IGNORED = r'.*\.num_batches_tracked'
_NAMES = {
  'nn.dws.models.DWSModelForClassification': 'dws',
  'nn.dws.models.DWSModel': 'dws_edit',
}
_SET_LAYERS = {'sab': 'attention', 'ds': 'deep_sets'}
# Official part of a map -> ours: linear maps of set layers, and the four of
# the maps between hidden layers.
_PARTS = {
  'fc_q': '/query',
  'fc_k': '/key',
  'fc_v': '/value',
  'fc_o': '/out',
  'Gamma': '/each',
  'Lambda': '/pooled',
  'lin_all': '_each',
  'lin_n': '_pooled_rows',
  'lin_m': '_pooled_columns',
  'lin_both': '_pooled_all',
  'layer': '',
}
_MAP = re.compile(
  r'(?:layers\.)?layers\.(\d+)\.(weight|bias)_to_(weight|bias)\.layers'
  r'\.(\d+)_(\d+)\.(?:.*\.)?'
  r'(fc_[qkvo]|Gamma|Lambda|lin_all|lin_n|lin_m|lin_both|layer)(?:\.0)?'
  r'\.(weight|bias)'
)
_NORM = re.compile(
  r'(?:layers\.)?layers\.(\d+)\.(weight|bias)(?:s|es)_bn\.(\d+)\.(\w+)'
)
_NORM_ARRAYS = {
  'weight': ('params', 'scale'),
  'bias': ('params', 'bias'),
  'running_mean': ('batch_stats', 'mean'),
  'running_var': ('batch_stats', 'var'),
}


def model_options(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
  """Options of DWSNets, see `official.model_options`.

  Args:
    config: with 'model'.

  Returns:
    The model's name and the options for `models.create`. Jit: no.

  Raises:
    ValueError: maps of several layers, other features than one per weight, or
      a set layer that has no counterpart here.
  """
  model = config['model']
  name = _NAMES[model['_target_']]
  for field in ('n_fc_layers', 'input_features'):
    if model.get(field, 1) != 1:
      raise ValueError(
        f'config.model.{field} must be 1, got {model[field]}; other values '
        'have no counterpart here.'
      )
  if model['set_layer'] not in _SET_LAYERS:
    raise ValueError(
      f'config.model.set_layer is {model["set_layer"]!r}; can convert '
      f'{sorted(_SET_LAYERS)}.'
    )
  options = {
    'hidden_size': model['hidden_dim'],
    'num_layers': model['n_hidden'] + 1,
    'num_heads': model['num_heads'],
    'set_layer': _SET_LAYERS[model['set_layer']],
    'pooling': model['reduction'],
    'diagonal': model['diagonal'],
    'batch_norm': model['bn'],
    'dropout': model['dropout_rate'],
    **(_classifier(model) if name == 'dws' else _editor(model)),
  }
  return name, options


def _classifier(model: Mapping[str, Any]) -> dict[str, Any]:
  return {
    'num_outputs': model.get('n_classes', 10),
    'num_classifier_layers': model['n_out_fc'],
  }


def _editor(model: Mapping[str, Any]) -> dict[str, Any]:
  return {
    'init_scale': model.get('init_scale', 1e-4),
    'add_skip': model.get('add_skip', False),
    'out_scale': model.get('out_scale') or 0.0,
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
    'params/...' or 'batch_stats/...', None for an unknown name, and the array.
    Jit: no.
  """
  # Entries of the official list per layer of ours.
  stride = 4 if any('_bn.' in other for other in state) else 3
  if match := _MAP.fullmatch(name):
    index, source, target, i, j, part, kind = match.groups()
    path = f'{source}_{i}_to_{target}_{j}{_PARTS[part]}'
    return f'params/backbone/layer_{int(index) // stride}/{path}/' + (
      'kernel' if kind == 'weight' else 'bias'
    ), array.T
  if match := _NORM.fullmatch(name):
    index, tensor, layer, kind = match.groups()
    if kind not in _NORM_ARRAYS:
      return None, array
    collection, leaf = _NORM_ARRAYS[kind]
    norm = f'norm_{int(index) // stride + 1}_{tensor}_{layer}'
    return f'{collection}/backbone/{norm}/{leaf}', array
  return _head(name), array.T


def _head(name: str) -> str | None:
  """What is outside of the layers: classifier, skip, output scales."""
  leaf = {'weight': 'kernel', 'bias': 'bias'}.get(name.rpartition('.')[2], '')
  if match := re.fullmatch(r'clf\.layer\.(\d+)\.\w+', name):
    return f'params/classifier_{int(match[1]) // 2}/{leaf}'
  if re.fullmatch(r'skip\.(weight|bias)', name):
    return f'params/skip/{leaf}'
  if match := re.fullmatch(r'(weight|bias)_scale\.(\d+)', name):
    return f'params/scales/{match[1]}_{match[2]}'
  return None
