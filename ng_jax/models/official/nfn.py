# SPDX-License-Identifier: Apache-2.0
"""Official names and options of the NFN baselines.

Three official classes: `nn.nfn.models.InvariantNFN` (INR classifier),
`nn.nfn.models.TransferNet` (editor) and `nn.original_nfn.models.InvariantNFN`
(predictor of a CNN zoo). Sequences of modules are numbered there with their
activations and encodings; here the layers alone count.
"""

from collections.abc import Mapping
import re
from typing import Any

import numpy as np

from ng_jax.weights import statistics

# Nothing is left out.
IGNORED = r'(?!)'
_VARIANTS = {'NP': 'np', 'HNP': 'hnp', 'NP-PosEmb': 'np_pos'}
_POOLINGS = {'NP': 'np', 'HNP': 'hnp'}
# What the official classes have in their signatures.
_FOURIER = {'mapping_size': 256, 'scale': 10.0}
_CODES = {'max_freq': 10.0, 'num_bands': 6, 'enc_layers': True}
_HEAD_WIDTH = 1000
# Suffix of an official map -> ours.
_MAPS = {'': 'own', '_rc': 'whole', '_r': 'sources', '_c': 'targets'}
_LEAVES = {'weight': 'kernel', 'bias': 'bias'}
_POSITIONS = {
  'in_embed': 'input_positions',
  'out_embed': 'output_positions',
  'out_bias_embed': 'output_bias_positions',
}


def classifier_options(
  config: Mapping[str, Any],
) -> tuple[str, dict[str, Any]]:
  """Options of an INR classifier, see `official.model_options`.

  Args:
    config: with 'model'; perhaps with 'stats' (else the statistics that the
      official class holds), and with 'gfft_mapping_size', 'gfft_scale', 'iosin'
      and 'head_width' where they differ from its signatures.

  Returns:
    The model's name and the options for `models.create`. Jit: no.

  Raises:
    ValueError: an unknown mode.
  """
  model = config['model']
  width = config.get('head_width', _HEAD_WIDTH)
  options = {
    'variant': _variant(model),
    'channels': tuple(model['hchannels']),
    'num_outputs': model.get('d_out', 10),
    'dropout': model.get('dropout', 0.0),
    'readout_sizes': (width, width),
    'fourier_size': config.get('gfft_mapping_size', _FOURIER['mapping_size']),
    'fourier_scale': config.get('gfft_scale', _FOURIER['scale']),
    **_code_options(config.get('iosin') or {}),
  }
  if model.get('normalize'):
    options['normalize'] = True
    options['statistics'] = _statistics(config.get('stats'))
  return 'nfn', options


def editor_options(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
  """Options of an editor, see `official.model_options`.

  Args:
    config: with 'model'.

  Returns:
    The model's name and the options for `models.create`. Jit: no.

  Raises:
    ValueError: an unknown mode.
  """
  model = config['model']
  return 'nfn_edit', {
    'variant': _variant(model),
    'channels': (model['hidden_chan'],) * model['hidden_layers'],
    'dropout': model.get('dropout', 0.0),
    'out_scale': model.get('out_scale', 0.01),
    **_fourier_options(model['gfft']),
    **_code_options(model['iosinemb']),
  }


def zoo_options(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
  """Options of a zoo predictor, see `official.model_options`.

  Args:
    config: with 'model'; 'stats' per layer if the model normalises.

  Returns:
    The model's name and the options for `models.create`. Jit: no.

  Raises:
    ValueError: an unknown mode, or parts that have no counterpart here.
  """
  model = config['model']
  head = model['head_cls']
  _refuse('lnorm', model.get('lnorm'))
  _refuse('append_stats', model.get('append_stats'))
  _refuse('head_cls.lnorm', head.get('lnorm'))
  if model.get('normalize') and not config.get('stats'):
    _refuse('normalize (one mean and deviation for each weight)', True)
  width = head.get('h_size', _HEAD_WIDTH)
  fourier, codes = model.get('inp_enc_cls'), model.get('pos_enc_cls')
  options = {
    'variant': _variant(model),
    'channels': tuple(model['hchannels']),
    'num_outputs': head.get('num_out', 1),
    'dropout': float(head.get('dropout', 0.0)),
    'readout_sizes': (width, width),
    'pooling': _POOLINGS[head.get('pool_mode', 'HNP')],
    'sigmoid': bool(head.get('sigmoid', False)),
    **({'fourier_size': 0} if fourier is None else _fourier_options(fourier)),
    **({'io_bands': 0} if codes is None else _code_options(codes)),
  }
  if model.get('normalize'):
    options['normalize'] = True
    options['statistics'] = _statistics(config['stats'])
  return 'nfn', options


def translate(
  name: str, array: np.ndarray, state: Mapping[str, Any]
) -> tuple[str | None, np.ndarray]:
  """Our path, with collection, and the array in our orientation.

  Args:
    name: official name of an array.
    array: its value.
    state: the whole official state.

  Returns:
    'params/...' or 'constants/...', None for an unknown name, and the array.
    Jit: no.
  """
  match = re.fullmatch(r'(nfnet_features|hnet)\.(\d+)\.(.+)', name)
  if match:
    return _translate_feature(*match.groups(), array=array, state=state)
  match = re.fullmatch(r'(head(?:\.head)?)\.(\d+)\.(weight|bias)', name)
  if match:
    prefix, index, leaf = match.groups()
    number = _rank(prefix, index, r'weight', state)
    path = f'params/readout/layer_{number}/{_LEAVES[leaf]}'
    return path, array.T
  return None, array


def _translate_feature(
  prefix: str,
  index: str,
  rest: str,
  *,
  array: np.ndarray,
  state: Mapping[str, Any],
) -> tuple[str | None, np.ndarray]:
  """An array of module `index` of the sequence of equivariant layers."""
  if rest == '_B':
    return 'constants/embedding/frequencies', array
  match = re.fullmatch(r'(weight|bias)_scales\.(\d+)', rest)
  if match:
    return f'params/scales/{match[1]}_{int(match[2]) + 1}', array
  number = _rank(prefix, index, r'bias_0\.weight', state)
  path = f'params/equivariant_{number}'
  if rest in _POSITIONS:  # [1, channels, nodes], with another axis of size 1.
    array = array.reshape(array.shape[1], -1).T
    return f'{path}/{_POSITIONS[rest]}', array
  module, _, leaf = rest.rpartition('.')
  # One such map for the biases of every layer.
  wholes = re.compile(rf'{prefix}\.{index}\.bias_\w+_rc\.weight')
  num_layers = sum(wholes.fullmatch(other) is not None for other in state)
  ours = _map_name(module, num_layers=num_layers)
  if ours is None or leaf not in _LEAVES:
    return None, array
  array = array.reshape(array.shape[:2]).T if leaf == 'weight' else array
  return f'{path}/{ours}/{_LEAVES[leaf]}', array


def _map_name(module: str, *, num_layers: int) -> str | None:
  """Our name of one linear map of an equivariant layer."""
  match = re.fullmatch(r'(layer|bias)_(\d+)(|_rc|_r|_c)', module)
  if match:
    kind = 'weight' if match[1] == 'layer' else 'bias'
    return f'layer_{int(match[2]) + 1}/{kind}_{_MAPS[match[3]]}'
  # The maps of HNP's first and last layer.
  return {
    'w0_rpt': 'layer_1/weight_own',
    'w0_rbdcst': 'layer_1/weight_whole',
    'wfin_cpt': f'layer_{num_layers}/weight_own',
    'wfin_cbdcst': f'layer_{num_layers}/weight_whole',
    'bias_fin_rc': f'layer_{num_layers}/bias_whole',
  }.get(module)


def _rank(prefix: str, index: str, rest: str, state: Mapping[str, Any]) -> int:
  """Place of a module among those of its sequence that hold such an array."""
  pattern = rf'{re.escape(prefix)}\.(\d+)\.{rest}'
  found = (re.fullmatch(pattern, name) for name in state)
  return sum(
    match is not None and int(match[1]) < int(index) for match in found
  )


def _variant(model: Mapping[str, Any]) -> str:
  mode = model.get('mode', 'HNP')
  if mode not in _VARIANTS:
    raise ValueError(
      f'config.model.mode {mode!r} has no counterpart here; can convert '
      f'{sorted(_VARIANTS)}.'
    )
  return _VARIANTS[mode]


def _fourier_options(given: Mapping[str, Any]) -> dict[str, Any]:
  values = {**_FOURIER, **given}
  return {
    'fourier_size': values['mapping_size'],
    'fourier_scale': values['scale'],
  }


def _code_options(given: Mapping[str, Any]) -> dict[str, Any]:
  values = {**_CODES, **given}
  return {
    'io_bands': values['num_bands'],
    'io_max_frequency': values['max_freq'],
    'layer_codes': values['enc_layers'],
  }


def _statistics(stats: Mapping[str, Any] | None) -> statistics.Statistics:
  """Given ones, or those that the official class holds, whatever the data."""
  if stats is None:
    return statistics.published()['mnist_editing']
  return statistics.Statistics(
    weight_mean=tuple(stats['weights_mean']),
    weight_std=tuple(stats['weights_std']),
    bias_mean=tuple(stats['biases_mean']),
    bias_std=tuple(stats['biases_std']),
  )


def _refuse(field: str, value: Any) -> None:
  if value:
    raise ValueError(
      f'config.model.{field} has no counterpart here, got {value!r}; only '
      'models without it can be converted.'
    )
