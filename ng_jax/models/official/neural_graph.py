# SPDX-License-Identifier: Apache-2.0
"""Official names and options of NG-GNN and NG-T, and all of those for INRs.

A table of rules maps each official name to a path of ours: kernels are
transposed, buffers go to `constants`.
"""

from collections.abc import Mapping
import re
from typing import Any

import numpy as np

from ng_jax import networks
from ng_jax.weights import statistics

# Official module -> our module, for linear layers and norms: 'weight' becomes
# 'kernel' (transposed) or 'scale', 'bias' stays 'bias'.
_MODULES = (
  (r'construct_graph\.proj_node_in', 'embedding/node_in'),
  (r'construct_graph\.proj_edge_in', 'embedding/edge_in'),
  (r'construct_graph\.gpf\.proj\.(\d+)\.0', 'embedding/probes/projection_{0}'),
  (r'construct_graph\.gpf\.proj\.(\d+)\.1', 'embedding/probes/norm_{0}'),
  (r'gnn\.convs\.(\d+)\.edge_encoder', 'conv_{0}/edge_encoder'),
  (r'gnn\.convs\.(\d+)\.pre_nns\.0\.0', 'conv_{0}/pre'),
  (r'gnn\.convs\.(\d+)\.post_nns\.0\.0', 'conv_{0}/post'),
  (r'gnn\.convs\.(\d+)\.lin', 'conv_{0}/out'),
  (r'gnn\.norms\.(\d+)', 'norm_{0}'),
  (r'gnn\.edge_update\.(\d+)\.lin_e', 'edge_update_{0}/edge'),
  (r'gnn\.edge_update\.(\d+)\.lin_s', 'edge_update_{0}/source'),
  (r'gnn\.edge_update\.(\d+)\.lin_t', 'edge_update_{0}/target'),
  (r'gnn\.edge_update\.(\d+)\.lin1', 'edge_update_{0}/out'),
  (r'layers\.(\d+)\.self_attn\.proj_out', 'block_{0}/attention/out'),
  (r'layers\.(\d+)\.lin0', 'block_{0}/attention_out'),
  (r'layers\.(\d+)\.node_ln(\d)', 'block_{0}/node_norm_{1}'),
  (r'layers\.(\d+)\.node_mlp\.0', 'block_{0}/node_mlp_in'),
  (r'layers\.(\d+)\.node_mlp\.2', 'block_{0}/node_mlp_out'),
  (
    r'layers\.(\d+)\.edge_updates\.edge_mlp0\.lin0_e',
    'block_{0}/update_edge',
  ),
  (
    r'layers\.(\d+)\.edge_updates\.edge_mlp0\.lin0_s',
    'block_{0}/update_source',
  ),
  (
    r'layers\.(\d+)\.edge_updates\.edge_mlp0\.lin0_t',
    'block_{0}/update_target',
  ),
  (r'layers\.(\d+)\.edge_updates\.edge_mlp0\.lin1', 'block_{0}/update_out'),
  (r'layers\.(\d+)\.edge_updates\.edge_mlp1\.0', 'block_{0}/edge_mlp_in'),
  (r'layers\.(\d+)\.edge_updates\.edge_mlp1\.2', 'block_{0}/edge_mlp_out'),
  (r'layers\.(\d+)\.edge_updates\.eln(\d)', 'block_{0}/edge_norm_{1}'),
)
# Official name of an array -> our path, and whether it is transposed.
_ARRAYS = (
  (r'construct_graph\.pos_embed', 'embedding/positions/table', False),
  (
    r'gnn\.convs\.(\d+)\.aggr_module\.avg_deg_log',
    'conv_{0}/degree_constant',
    False,
  ),
  (
    r'layers\.(\d+)\.self_attn\.qkv_node\.weight',
    'block_{0}/attention/nodes',
    True,
  ),
  (
    r'layers\.(\d+)\.self_attn\.qkv_edge\.weight',
    'block_{0}/attention/edges',
    True,
  ),
  (r'construct_graph\.gpf\.inputs', 'embedding/probes/inputs', False),
  (r'cls_token', 'cls_token', False),
)
# What the official file always holds and our models may not have: an unused
# buffer, and the position table of a model without positions.
IGNORED = (
  r'gnn\.convs\.\d+\.aggr_module\.avg_deg_lin|construct_graph\.pos_embed'
)
_CONSTANTS = ('frequencies', 'degree_constant')
# Official class -> our model.
_NAMES = {
  'nn.gnn.GNNForClassification': 'ng_gnn',
  'nn.relational_transformer.RelationalTransformer': 'ng_t',
  'nn.dynamic_gnn.GNNForGeneralization': 'ng_gnn',
  'nn.dynamic_relational_transformer.DynamicRelationalTransformer': 'ng_t',
}


def predictor_options(
  config: Mapping[str, Any],
) -> tuple[str, dict[str, Any]]:
  """Options of an INR classifier, see `official.model_options`.

  Args:
    config: with 'model' and 'layer_layout'.

  Returns:
    The model's name and the options for `models.create`. Jit: no.
  """
  model = config['model']
  return model_name(model), {
    **inr_options(config),
    **shared_options(model, model['graph_constructor']['stats']),
    **predictor_only_options(model),
  }


def model_name(model: Mapping[str, Any]) -> str:
  """Our model's name for an official configuration node. Jit: no."""
  return _NAMES[model['_target_']]


def inr_options(config: Mapping[str, Any]) -> dict[str, Any]:
  """Options of models that read INRs of one size.

  Args:
    config: with 'model' and 'layer_layout'.

  Returns:
    Options for `models.create`. Jit: no.
  """
  sizes = tuple(config['layer_layout'])
  num_probes = config['model']['graph_constructor']['num_probe_features']
  options = {
    'num_inputs': sizes[0],
    'num_hidden_layers': len(sizes) - 2,
    'num_output_nodes': sizes[-1],
    'num_probes': num_probes,
  }
  return options | ({'network': networks.Siren(sizes)} if num_probes else {})


def shared_options(
  model: Mapping[str, Any], stats: Mapping[str, Any] | None
) -> dict[str, Any]:
  """Options of the input stage that do not depend on what networks are read.

  Args:
    model: the official configuration node of the model.
    stats: means and standard deviations per layer, or None.

  Returns:
    Options for `models.create`. Jit: no.
  """
  constructor = model['graph_constructor']
  return {
    'position_embedding': constructor['use_pos_embed'],
    'fourier_size': constructor['sin_emb_dim'] if constructor['sin_emb'] else 0,
    'fourier_scale': constructor['inp_factor'],
    'num_input_layers': constructor['input_layers'],
    'use_weights': not constructor['zero_out_weights'],
    'use_biases': not constructor['zero_out_bias'],
    'statistics': _statistics(stats),
    'reverse_edges': model['rev_edge_features'],
  }


def predictor_only_options(model: Mapping[str, Any]) -> dict[str, Any]:
  """Options of the backbone, pooling and readout of a predictor.

  Args:
    model: the official configuration node of the model.

  Returns:
    Options for `models.create`. Jit: no.
  """
  options = {
    'num_outputs': model['d_out'],
    'pooling': model['pooling_method'],
    'pooled_nodes': model['pooling_layer_idx'],
  }
  if model_name(model) == 'ng_gnn':
    return options | gnn_options(model)
  options['readout_size'] = model['d_out_hid']
  return options | transformer_options(model)


def gnn_options(model: Mapping[str, Any]) -> dict[str, Any]:
  """Options of the backbone of NG-GNN. Jit: no.

  Args:
    model: the official node of the model.

  Returns:
    Options for `models.create`.
  """
  backbone = model['gnn_backbone']
  modulation = 'film' if backbone['modulate_edges'] else 'concat'
  return {
    'hidden_size': model['d_hid'],
    'num_layers': backbone['num_layers'],
    'modulation': 'gate' if backbone['gating_edges'] else modulation,
    'dropout': backbone['dropout'],
    'norm_mode': 'batch',
  }


def transformer_options(model: Mapping[str, Any]) -> dict[str, Any]:
  """Options of the backbone of NG-T. Jit: no.

  Args:
    model: the official node of the model.

  Returns:
    Options for `models.create`.
  """
  return {
    'node_size': model['d_node'],
    'edge_size': model['d_edge'],
    'attention_size': model['d_attn_hid'],
    'num_heads': model['n_heads'],
    'node_hidden_size': model['d_node_hid'],
    'edge_hidden_size': model['d_edge_hid'],
    'num_layers': model['n_layers'],
    'edge_updates': not model['disable_edge_updates'],
    'use_norm': model['use_ln'],
    'modulate_values': model['modulate_v'],
    'dropout': model['dropout'],
    'mask_padding': False,
  }


def _statistics(
  stats: Mapping[str, Any] | None,
) -> statistics.Statistics | None:
  if stats is None or stats['weights_mean'] is None:
    return None
  return statistics.Statistics(
    weight_mean=tuple(stats['weights_mean']),
    weight_std=tuple(stats['weights_std']),
    bias_mean=tuple(stats['biases_mean']),
    bias_std=tuple(stats['biases_std']),
  )


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
  for pattern, template, transposed in _ARRAYS:
    match = re.fullmatch(pattern, name)
    if match:
      return _with_collection(template.format(*match.groups())), (
        array.T if transposed else array
      )
  module, _, kind = name.rpartition('.')
  path = _module_path(module, state)
  if path is None:
    return None, array
  if kind == 'b':
    return _with_collection(f'{path}/frequencies'), array
  if kind == 'weight' and array.ndim == 1:
    return f'params/{path}/scale', array
  leaf = {'weight': 'kernel', 'bias': 'bias'}.get(kind)
  return (f'params/{path}/{leaf}' if leaf else None), array.T


def _module_path(module: str, state: Mapping[str, Any]) -> str | None:
  for pattern, template in _MODULES:
    match = re.fullmatch(pattern, module)
    if match:
      return template.format(*match.groups())
  match = re.fullmatch(r'proj_out\.(\d+)', module)
  if match:  # Every other entry is an activation.
    return f'readout/layer_{int(match[1]) // 2}'
  match = re.fullmatch(r'construct_graph\.proj_(weight|bias)\.(\d+)', module)
  if match:
    kind, index = match[1], int(match[2])
    path = f'embedding/{"edge" if kind == "weight" else "node"}_projection'
    has_fourier = f'construct_graph.proj_{kind}.0.b' in state
    layer = (index - has_fourier + 1) // 2
    return path if layer == 0 else f'{path}/layer_{layer}'
  return None


def _with_collection(path: str) -> str:
  collection = 'constants' if path.endswith(_CONSTANTS) else 'params'
  return f'{collection}/{path}'
