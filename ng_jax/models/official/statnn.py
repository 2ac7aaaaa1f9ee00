# SPDX-License-Identifier: Apache-2.0
"""Official names and options of StatNN, for the small CNN zoo and Wild Park."""

from collections.abc import Mapping
import re
from typing import Any

import numpy as np

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
