# SPDX-License-Identifier: Apache-2.0
"""Official DWSNets and StatNN: features, and what no recording covers."""

import jax
import numpy as np
import pytest

from ng_jax import models
from ng_jax import specs
from ng_jax.models import official
from ng_jax.models.official import inputs_cnn
from ng_jax.models.official import recordings
from ng_jax.weights import summary
from tests.models import recorded


def _recorded_cnns():
  """Specs and weights of the recorded CNNs, and their features."""
  with np.load(recorded.GOLDEN / 'dynamic_stat_featurizer.npz') as file:
    arrays = {key: file[key] for key in file.files if key != 'config'}
  networks = []
  for i in range(3):
    prefix = f'cnn{i}/param/'
    names = sorted(
      name.removesuffix('.weight').removeprefix(prefix)
      for name in arrays
      if name.startswith(prefix) and name.endswith('weight')
    )
    names = [*names[1:], 'fc']  # 'fc' sorts first and comes last.
    weights = {
      f'layer_{j}': {
        kind: arrays[f'{prefix}{name}.{kind}'] for kind in ('weight', 'bias')
      }
      for j, name in enumerate(names)
    }
    shapes = {}
    for j, layer in enumerate(weights.values()):
      shapes[f'weights_{j}'] = layer['weight'].shape
      shapes[f'biases_{j}'] = layer['bias'].shape
    spec = inputs_cnn.torch_spec(shapes)
    flat = {
      f'layers.{j}.{kind}': x
      for j, layer in enumerate(weights.values())
      for kind, x in layer.items()
    }
    networks.append((spec, flat))
  return networks, arrays['out/features']


def test_features_of_the_wild_park_and_their_variant():
  networks, variant = _recorded_cnns()
  found = summary.of_networks(networks, max_layers=6, linear_slots=49)
  np.testing.assert_allclose(found, variant, rtol=0, atol=1e-6)
  found = summary.of_networks(networks, max_layers=6, order='split')
  # The same networks, but for residual connections, which have no weights.
  inputs = recorded.read('dynamic_stat_net').inputs
  expected = np.concatenate(
    [inputs['weight_stats'], inputs['bias_stats']], axis=1
  )
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_what_the_converter_refuses():
  config = recorded.read('dws_cls').config
  for field, value in (
    ('n_fc_layers', 2),
    ('input_features', 3),
    ('set_layer', 'lstm'),
  ):
    changed = {**config, 'model': {**config['model'], field: value}}
    with pytest.raises(ValueError, match=f'config.model.{field}'):
      official.model_options(changed)
  config = recorded.read('stat_net').config
  changed = {**config, 'model': {**config['model'], 'normalize': True}}
  with pytest.raises(ValueError, match='config.model.normalize must be False'):
    official.model_options(changed)


def test_a_state_without_batch_norms_and_with_more_layers():
  # Lists have three entries per layer then, and the head has several.
  recording = recorded.read('dws_cls')
  changes = {
    'bn': False,
    'n_hidden': 2,
    'n_out_fc': 3,
    'hidden_dim': 6,
    'num_heads': 3,
  }
  config = {'model': {**recording.config['model'], **changes}}
  name, options = official.model_options(config)
  model = models.create(name, **options)
  assert model.num_layers == 3
  assert not model.batch_norm
  key = jax.eval_shape(jax.random.key, 0)
  graph = recordings.read_inrs(recording.inputs, config)
  shapes = jax.eval_shape(model.init, {'params': key}, graph)
  assert set(shapes) == {'params'}
  state = _official_names(specs.leaf_arrays(shapes['params']))
  converted = official.convert('dws', state, shapes)
  for path, array in specs.leaf_arrays(converted['params']).items():
    wanted = specs.leaf_arrays(shapes['params'])[path].shape
    assert array.shape == wanted
    assert np.all(array == len(path)), path


def _official_names(shapes):
  """An official state whose arrays hold the length of our path."""
  parts = {
    'query': 'layer.set_layer.mab.fc_q',
    'key': 'layer.set_layer.mab.fc_k',
    'value': 'layer.set_layer.mab.fc_v',
    'out': 'layer.set_layer.mab.fc_o',
  }
  middle = {
    'each': 'lin_all.0',
    'pooled_rows': 'lin_n.0',
    'pooled_columns': 'lin_m.0',
    'pooled_all': 'lin_both.0',
  }
  state = {}
  for path, array in shapes.items():
    keys = path.split('/')
    kind = {'kernel': 'weight', 'bias': 'bias'}[keys[-1]]
    if keys[0].startswith('classifier'):
      name = f'clf.layer.{2 * int(keys[0].split("_")[1])}'
    else:
      layer = 3 * int(keys[1].split('_')[1])
      words = keys[2].split('_')
      table, part = f'{words[0]}_to_{words[3]}', 'layer.0'
      if len(keys) == 5:
        part = parts[keys[3]]
      elif len(words) > 5:
        part = middle['_'.join(words[5:])]
      name = (
        f'layers.layers.{layer}.{table}.layers.{words[1]}_{words[4]}.{part}'
      )
    state[f'{name}.{kind}'] = np.full(array.shape[::-1], len(path))
  return state
