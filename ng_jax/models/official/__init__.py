# SPDX-License-Identifier: Apache-2.0
"""Converts checkpoints of the official PyTorch implementation.

Kofinas et al.'s code saves flat `state_dict`s and Hydra configurations. Each
family of models has a module that knows its official names: where an array
goes and which options a configuration means. What is left over on either side
is an error that lists all of it.
"""

from collections.abc import Callable, Mapping
import re
from typing import Any

import jax
import numpy as np

from ng_jax import specs
from ng_jax.models.official import cnn
from ng_jax.models.official import dws
from ng_jax.models.official import editing
from ng_jax.models.official import neural_graph
from ng_jax.models.official import nfn
from ng_jax.models.official import statnn

# Official class -> (config -> name of our model and its options).
_OPTIONS: dict[
  str, Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]
] = {
  'nn.dense_gnn.GNNParams': editing.editor_options,
  'nn.dense_relational_transformer.RelationalTransformerParams': (
    editing.editor_options
  ),
  'nn.gnn.GNNForClassification': neural_graph.predictor_options,
  'nn.relational_transformer.RelationalTransformer': (
    neural_graph.predictor_options
  ),
  'nn.nfn.models.InvariantNFN': nfn.classifier_options,
  'nn.nfn.models.TransferNet': nfn.editor_options,
  'nn.original_nfn.models.InvariantNFN': nfn.zoo_options,
  'nn.dynamic_gnn.GNNForGeneralization': cnn.predictor_options,
  'nn.dynamic_relational_transformer.DynamicRelationalTransformer': (
    cnn.predictor_options
  ),
  'nn.dws.models.DWSModelForClassification': dws.model_options,
  'nn.dws.models.DWSModel': dws.model_options,
  'nn.original_nfn.models.StatNet': statnn.model_options,
  'nn.dynamic_stat_net.DynamicStatNet': statnn.model_options,
}
# (official name, array, whole state) -> (our path or None, array).
Translate = Callable[
  [str, np.ndarray, Mapping[str, Any]], tuple[str | None, np.ndarray]
]
# Our model -> its translation, and a pattern of official names to leave out.
_STATES: dict[str, tuple[Translate, str]] = {
  'nfn': (nfn.translate, nfn.IGNORED),
  'nfn_edit': (nfn.translate, nfn.IGNORED),
  'ng_gnn_edit': (editing.translate, editing.IGNORED),
  'ng_t_edit': (editing.translate, editing.IGNORED),
  'ng_gnn': (cnn.translate, cnn.IGNORED),
  'ng_t': (cnn.translate, cnn.IGNORED),
  'dws': (dws.translate, dws.IGNORED),
  'dws_edit': (dws.translate, dws.IGNORED),
  'statnn': (statnn.translate, statnn.IGNORED),
}


def model_options(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
  """Translates an official model configuration, in parity mode.

  Args:
    config: with 'model' (the official Hydra node, resolved) and what the
      official code passes besides, such as 'layer_layout' (neurons per layer).

  Returns:
    The model's name and the options for `models.create`. Jit: no.

  Raises:
    ValueError: a model class that has no counterpart here.
  """
  target = config['model']['_target_']
  if target not in _OPTIONS:
    raise ValueError(
      f'config names the official model {target!r}; can convert '
      f'{sorted(_OPTIONS)}.'
    )
  return _OPTIONS[target](config)


def convert(
  model: str, state: Mapping[str, np.ndarray], expected: Mapping[str, Any]
) -> dict[str, Any]:
  """Converts an official `state_dict`.

  Args:
    model: name of our model, as `model_options` returns it.
    state: official names to numpy arrays (from `torch.load(...,
      weights_only=True)` or safetensors).
    expected: variables of our model, as `model.init` or its `jax.eval_shape`
      returns them; shapes are checked against them, and constants that the
      official file does not hold (statistics) are taken from them.

  Returns:
    {'params': ..., 'constants': ...}, or what collections `expected` has, with
    the dtypes of `state`.

  Raises:
    ValueError: a model without official counterpart; or lists every missing,
      unknown and misshapen array at once.
  """
  if model not in _STATES:
    raise ValueError(
      f'no official checkpoint becomes the model {model!r}; can convert to '
      f'{sorted(_STATES)}.'
    )
  translate, ignored = _STATES[model]
  wanted = {
    f'{collection}/{path}': value
    for collection, tree in expected.items()
    for path, value in specs.leaf_arrays(tree).items()
  }
  found: dict[str, np.ndarray] = {}
  problems = []
  for name, array in state.items():
    path, value = translate(name, np.asarray(array), state)
    if path is None or path not in wanted:
      if not re.fullmatch(ignored, name):
        problems.append(f'{name} is unknown')
      continue
    shape = tuple(wanted[path].shape)
    if value.size != np.prod(shape, dtype=int) or (
      value.ndim == len(shape) and value.shape != shape
    ):
      problems.append(f'{name} must become {path} {shape}, got {value.shape}')
      continue
    found[path] = value.reshape(shape)
  for path, value in wanted.items():
    if path in found:
      continue
    if path.startswith('constants') and isinstance(value, jax.Array):
      found[path] = np.asarray(value)
    else:
      problems.append(f'nothing becomes {path} {tuple(value.shape)}')
  if problems:
    raise ValueError(
      'the official checkpoint does not fit the model: '
      + '; '.join(problems)
      + '. Create the model with the options of the checkpoint.'
    )
  return specs.from_leaf_arrays(found)
