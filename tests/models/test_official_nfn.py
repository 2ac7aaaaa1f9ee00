# SPDX-License-Identifier: Apache-2.0
"""Converting NFN checkpoints that no recording covers."""

import copy

import jax
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import specs
from ng_jax.models import official
from ng_jax.weights import statistics
from tests import chain_networks
from tests.models import readers

_ZOO = {
  'model': {
    '_target_': 'nn.original_nfn.models.InvariantNFN',
    'append_stats': False,
    'feature_dropout': 0.1,
    'hchannels': [3, 2],
    'head_cls': {'dropout': 0.2, 'h_size': 6, 'pool_mode': 'HNP'},
    'lnorm': None,
    'mode': 'NP-PosEmb',
    'normalize': False,
  }
}
_EDITOR = {
  'model': {
    '_target_': 'nn.nfn.models.TransferNet',
    'dropout': 0.3,
    'gfft': {'in_channels': 1, 'mapping_size': 3},
    'hidden_chan': 2,
    'hidden_layers': 2,
    'iosinemb': {'num_bands': 2, 'enc_layers': False},
    'mode': 'HNP',
  }
}


def _expected(config, spec):
  name, options = official.model_options(config)
  model = models.create(name, spec=spec, **options)
  weights = readers.draw_weights(spec, num=1)
  graph = graphs.encode(graphs.topology(spec), weights)
  key = jax.eval_shape(jax.random.key, 0)
  return name, jax.eval_shape(model.init, {'params': key}, graph)


def _state(names):
  """{official name: array}, all entries different."""
  rng = np.random.default_rng(0)
  return {name: rng.normal(size=shape) for name, shape in names.items()}


def _linear(name, features, channels, axes=0):
  return {
    f'{name}.weight': (features, channels, *[1] * axes),
    f'{name}.bias': (features,),
  }


def _np_pos_layer(name, inputs, features):
  """Layer of a chain of two: a convolution 3 <- 2 (2x1), a linear 4 <- 3."""
  whole, areas = inputs * (2 + 1 + 2), (2, 1)
  sources = (areas[0] * inputs, (areas[1] + areas[0] + 1) * inputs)
  targets = ((areas[0] + 1 + areas[1]) * inputs, (areas[1] + 1) * inputs)
  names = {
    f'{name}.in_embed': (1, areas[0] * inputs, 1, 2),
    f'{name}.out_embed': (1, areas[1] * inputs, 4, 1),
    f'{name}.out_bias_embed': (1, inputs, 4),
  }
  for i, area in enumerate(areas):
    width = area * features
    names |= _linear(f'{name}.layer_{i}', width, area * inputs, 2)
    names |= _linear(f'{name}.layer_{i}_rc', width, whole)
    names |= _linear(f'{name}.layer_{i}_r', width, sources[i], 1)
    names |= _linear(f'{name}.layer_{i}_c', width, targets[i], 1)
    names |= _linear(f'{name}.bias_{i}', features, targets[i], 1)
    names |= _linear(f'{name}.bias_{i}_rc', features, whole)
  return names


def test_learned_positions_and_the_numbers_that_dropout_takes():
  # Dropout is a module of its own there: layers are numbered otherwise.
  spec = chain_networks.torch_chain([(3, 2, 2, 1), (4, 3)])
  pooled = 2 * (2 * 2 + 1 + 4 + 4)
  state = _state(
    {
      **_np_pos_layer('nfnet_features.0', 1, 3),
      **_np_pos_layer('nfnet_features.3', 3, 2),
      **_linear('head.head.2', 6, pooled),
      **_linear('head.head.5', 6, 6),
      **_linear('head.head.8', 1, 6),
    }
  )
  name, expected = _expected(_ZOO, spec)
  params = official.convert(name, state, expected)['params']
  assert name == 'nfn'
  second = params['equivariant_1']
  np.testing.assert_array_equal(
    second['input_positions'], state['nfnet_features.3.in_embed'][0, :, 0].T
  )
  np.testing.assert_array_equal(
    second['output_positions'],
    state['nfnet_features.3.out_embed'][0, ..., 0].T,
  )
  np.testing.assert_array_equal(
    second['output_bias_positions'],
    state['nfnet_features.3.out_bias_embed'][0].T,
  )
  np.testing.assert_array_equal(
    second['layer_2']['weight_sources']['kernel'],
    state['nfnet_features.3.layer_1_r.weight'][..., 0].T,
  )
  np.testing.assert_array_equal(
    params['readout']['layer_1']['kernel'], state['head.head.5.weight'].T
  )


def _hnp_layer(name, inputs, features):
  """HNP layer of the smallest chain, 2-3-1."""
  whole = inputs * (2 + 2 + 2 + 1 + 1)
  first, last = (2 + 1 + 1 + 1) * inputs, (1 + 1 + 2) * inputs
  return {
    **_linear(f'{name}.w0_rpt', 2 * features, first, 1),
    **_linear(f'{name}.w0_rbdcst', 2 * features, whole),
    **_linear(f'{name}.bias_0', features, first, 1),
    **_linear(f'{name}.bias_0_rc', features, whole),
    **_linear(f'{name}.wfin_cpt', features, last, 1),
    **_linear(f'{name}.wfin_cbdcst', features, whole),
    **_linear(f'{name}.bias_fin_rc', features, whole),
  }


def test_hnp_editor_of_two_layers():
  spec = specs.mlp((2, 3, 1))
  scales = [f'hnet.8.{kind}_scales' for kind in ('weight', 'bias')]
  state = _state(
    {
      'hnet.0._B': (1, 3),
      **_hnp_layer('hnet.2', 6 + 5, 2),
      **_hnp_layer('hnet.5', 2, 2),
      **_hnp_layer('hnet.7', 2, 1),
      **{f'{scale}.{i}': () for scale in scales for i in range(2)},
    }
  )
  name, expected = _expected(_EDITOR, spec)
  found = official.convert(name, state, expected)
  params = found['params']
  assert name == 'nfn_edit'
  np.testing.assert_array_equal(
    params['equivariant_1']['layer_2']['weight_own']['kernel'],
    state['hnet.5.wfin_cpt.weight'][..., 0].T,
  )
  np.testing.assert_array_equal(
    params['scales']['bias_2'], state['hnet.8.bias_scales.1']
  )
  np.testing.assert_array_equal(
    found['constants']['embedding']['frequencies'], state['hnet.0._B'][0]
  )
  state['hnet.5.w1_rpt.weight'] = np.zeros((2, 2))
  state['norm.weight'] = np.zeros(2)
  with pytest.raises(ValueError, match='norm.weight is unknown') as error:
    official.convert(name, state, expected)
  assert 'hnet.5.w1_rpt.weight is unknown' in str(error.value)


def test_options_come_from_the_config():
  name, options = official.model_options(_EDITOR)
  assert (name, options) == (
    'nfn_edit',
    {
      'variant': 'hnp',
      'channels': (2, 2),
      'dropout': 0.3,
      'out_scale': 0.01,
      'fourier_size': 3,
      'fourier_scale': 10.0,
      'io_bands': 2,
      'io_max_frequency': 10.0,
      'layer_codes': False,
    },
  )
  config = copy.deepcopy(_ZOO)
  config['model']['inp_enc_cls'] = {'scale': 3}
  config['model']['pos_enc_cls'] = {'max_freq': 3}
  _, options = official.model_options(config)
  assert options['readout_sizes'] == (6, 6)
  assert (options['fourier_size'], options['fourier_scale']) == (256, 3)
  assert (options['io_bands'], options['io_max_frequency']) == (6, 3)
  _, options = official.model_options(_ZOO)
  assert (options['fourier_size'], options['io_bands']) == (0, 0)
  assert (options['pooling'], options['dropout']) == ('hnp', 0.2)
  assert not options['sigmoid']
  config = copy.deepcopy(_ZOO)
  config['model']['head_cls']['sigmoid'] = True
  assert official.model_options(config)[1]['sigmoid']


def test_an_unpatched_classifier_is_the_papers():
  config = {
    'model': {
      '_target_': 'nn.nfn.models.InvariantNFN',
      'hchannels': [512, 512, 512],
      'mode': 'NP',
      'normalize': True,
      'dropout': 0.5,
    }
  }
  name, options = official.model_options(config)
  stats = options.pop('statistics')
  assert options.pop('normalize')
  # The official class holds them, whatever it reads.
  assert stats == statistics.published()['mnist_editing']
  assert models.create(name, **options) == models.create('nfn')


def test_statistics_of_a_zoo_model():
  config = copy.deepcopy(_ZOO)
  config['model']['normalize'] = True
  config['stats'] = {
    'weights_mean': [0.0, 0.5],
    'weights_std': [1.0, 2.0],
    'biases_mean': [0.1, 0.2],
    'biases_std': [3.0, 4.0],
  }
  _, options = official.model_options(config)
  assert options['statistics'].bias_std == (3.0, 4.0)
  assert options['normalize']


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'mode': 'PT'}, r"mode 'PT' has no counterpart .* \['HNP', 'NP', 'NP-Pos"),
    ({'lnorm': 'simple'}, "model.lnorm has no counterpart here, got 'simple'"),
    ({'append_stats': True}, 'model.append_stats has no counterpart'),
    ({'normalize': True}, 'one mean and deviation for each weight'),
    ({'head_cls': {'lnorm': True}}, 'head_cls.lnorm has no counterpart'),
  ],
)
def test_refused_configs(change, message):
  config = {'model': {**_ZOO['model'], **change}}
  with pytest.raises(ValueError, match=message):
    official.model_options(config)
