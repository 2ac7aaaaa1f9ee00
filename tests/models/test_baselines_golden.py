# SPDX-License-Identifier: Apache-2.0
"""DWSNets and StatNN equal recordings of the official implementation."""

import functools
import json
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import specs
from ng_jax.models import official
from ng_jax.models.baselines import statnn
from ng_jax.weights import summary
from tests import fast_jit
from tests.models import cnn_specs

_GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden'
_DWS = ('dws_cls', 'dws_cls_long_ds', 'dws_edit', 'dws_edit_diagonal')


class _Case(NamedTuple):
  """One recording of DWSNets."""

  arrays: dict[str, np.ndarray]
  config: dict[str, Any]

  @property
  def spec(self):
    return specs.mlp(tuple(self.config['layer_layout']))

  @property
  def model(self):
    name, options = official.model_options(self.config)
    return models.create(name, spec=self.spec, **options)

  def encode(self, weights):
    return graphs.encode(graphs.topology(self.spec), weights)

  def tree(self, prefix, dtype):
    """Weights or updates as we store them."""
    return {
      f'layer_{i + 1}': {
        'kernel': self.arrays[f'{prefix}/weights_{i}'][..., 0].astype(dtype),
        'bias': self.arrays[f'{prefix}/biases_{i}'][..., 0].astype(dtype),
      }
      for i in range(len(self.config['layer_layout']) - 1)
    }

  def outputs(self, prefix, dtype):
    if f'{prefix}/logits' in self.arrays:
      return self.arrays[f'{prefix}/logits'].astype(dtype)
    return self.tree(prefix, dtype)

  def state(self, dtype, prefix='param/'):
    return {
      name.removeprefix(prefix): array.astype(dtype)
      for name, array in self.arrays.items()
      if name.startswith(prefix)
    }

  def variables(self, state):
    name, _ = official.model_options(self.config)

    def init(key, weights):
      return self.model.init({'params': key}, self.encode(weights))

    key = jax.eval_shape(jax.random.key, 0)
    expected = jax.eval_shape(init, key, self.tree('in', np.float32))
    return official.convert(name, state, expected)


def _load(name):
  with np.load(_GOLDEN / f'{name}.npz') as file:
    arrays = {key: file[key] for key in file.files if key != 'config'}
    return _Case(arrays, json.loads(str(file['config'])))


def _assert_close(found, expected, relative):
  """Differences relative to the largest value of all outputs."""
  __tracebackhide__ = True
  largest = max(np.max(np.abs(x)) for x in jax.tree.leaves(expected))
  for a, b in zip(
    jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
  ):
    assert a.shape == b.shape
    assert np.max(np.abs(a - b)) <= relative * largest


@pytest.mark.parametrize('name', _DWS)
def test_dws_in_float64(x64, name):
  case = _load(name)
  variables = case.variables(case.state(np.float64))

  def predict(variables, weights):
    return case.model.apply(variables, case.encode(weights))

  found = fast_jit.jit(predict)(variables, case.tree('in', np.float64))
  assert {x.dtype for x in jax.tree.leaves(found)} == {np.dtype(np.float64)}
  _assert_close(found, case.outputs('out64', np.float64), 1e-7)


@pytest.mark.parametrize('name', _DWS)
def test_dws_gradients_in_float32(name):
  case = _load(name)
  variables = case.variables(case.state(np.float32))

  def loss(params, weights):
    out = case.model.apply(
      {**variables, 'params': params}, case.encode(weights)
    )
    flat = [x.ravel() for x in jax.tree.leaves(out)]
    return jnp.mean(jnp.concatenate(flat) ** 2), out

  run = fast_jit.jit(jax.value_and_grad(loss, has_aux=True))
  (value, out), grads = run(variables['params'], case.tree('in', np.float32))
  _assert_close(out, case.outputs('out', np.float32), 1e-4)
  np.testing.assert_allclose(value, case.arrays['loss'], rtol=2e-4)
  _check_gradients(case, grads)


def _check_gradients(case, grads):
  __tracebackhide__ = True
  # Buffers have no gradient; their values fill the places.
  state = {**case.state(np.float32), **case.state(np.float32, 'grad/')}
  expected = specs.leaf_arrays(case.variables(state)['params'])
  largest = max(np.max(np.abs(g)) for g in expected.values())
  found = specs.leaf_arrays(grads)
  assert set(found) == set(expected)
  for parameter, grad in expected.items():
    error = np.max(np.abs(found[parameter] - grad))
    allowed = 5e-4 * (np.max(np.abs(grad)) + 1e-3 * largest)
    assert error <= allowed, f'{parameter}: {error:.3g} > {allowed:.3g}'


def _statnn(name, dtype):
  """The model, its converted variables and the whole recording."""
  with np.load(_GOLDEN / f'{name}.npz') as file:
    arrays = {key: file[key] for key in file.files if key != 'config'}
    config = json.loads(str(file['config']))
  found, options = official.model_options(config)
  assert found == 'statnn'
  case = _Case(arrays, config)
  width = arrays['param/' + min(_official_kernels(arrays))].shape[1]
  bare = _graph_of_features(np.zeros((1, width), np.float32))
  model = models.create('statnn', **options)
  key = jax.eval_shape(jax.random.key, 0)
  expected = jax.eval_shape(model.init, {'params': key}, bare)
  convert = functools.partial(official.convert, 'statnn', expected=expected)
  return model, convert(state=case.state(dtype)), case, convert


def _official_kernels(arrays):
  return [
    name.removeprefix('param/')
    for name in arrays
    if name.startswith('param/') and name.endswith('weight')
  ]


def _graph_of_features(features):
  spec = specs.mlp((1, 1))
  weights = {
    'layer_1': {
      'kernel': np.zeros((len(features), 1, 1)),
      'bias': np.zeros((len(features), 1)),
    }
  }
  graph = graphs.flatten(graphs.encode(graphs.topology(spec), weights))
  return graph._replace(globals={statnn.FEATURES: features})


def test_statnn_of_the_small_zoo():
  model, variables, case, convert = _statnn('stat_net', np.float32)
  names = sorted(name for name in case.arrays if name.startswith('in/weights'))
  weights = {
    f'layer_{i}': {
      'weight': case.arrays[name],
      'bias': case.arrays[name.replace('weights', 'biases')],
    }
    for i, name in enumerate(names)
  }
  spec = cnn_specs.from_torch_shapes(
    [case.arrays[name].shape[1:] for name in names]
  )
  graph = graphs.encode(graphs.topology(spec), weights)

  def loss(params):
    pred = model.apply({'params': params}, graph)
    return jnp.mean(pred**2), pred

  run = fast_jit.jit(jax.value_and_grad(loss, has_aux=True))
  (_, pred), grads = run(variables['params'])
  assert model.sigmoid  # The official module applies one, its loop another.
  _assert_close(pred, case.arrays['out/pred'], 1e-4)
  expected = convert(state=case.state(np.float32, 'grad/'))['params']
  _assert_gradients_close(grads, expected)


def _assert_gradients_close(grads, expected):
  __tracebackhide__ = True
  largest = max(np.max(np.abs(g)) for g in jax.tree.leaves(expected))
  for a, b in zip(
    jax.tree.leaves(grads), jax.tree.leaves(expected), strict=True
  ):
    allowed = 5e-4 * (np.max(np.abs(b)) + 1e-3 * largest)
    assert np.max(np.abs(a - b)) <= allowed


def test_statnn_of_the_wild_park(x64):
  model, variables, case, convert = _statnn('dynamic_stat_net', np.float64)
  assert not model.sigmoid
  assert model.order == 'split'
  features = np.concatenate(
    [case.arrays['in/weight_stats'], case.arrays['in/bias_stats']], axis=1
  )
  graph = _graph_of_features(features.astype(np.float64))
  pred = fast_jit.jit(model.apply)(variables, graph)
  _assert_close(pred, case.arrays['out64/pred'], 1e-7)
  single = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), variables)
  graph = _graph_of_features(features)

  def loss(params):
    return jnp.mean(model.apply({'params': params}, graph) ** 2)

  grads = fast_jit.jit(jax.grad(loss))(single['params'])
  expected = convert(state=case.state(np.float32, 'grad/'))['params']
  _assert_gradients_close(grads, expected)


def _recorded_cnns():
  """Specs and weights of the recorded CNNs, and their features."""
  with np.load(_GOLDEN / 'dynamic_stat_featurizer.npz') as file:
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
    shapes = [layer['weight'].shape for layer in weights.values()]
    networks.append((cnn_specs.from_torch_shapes(shapes), weights))
  return networks, arrays['out/features']


def test_features_of_the_wild_park_and_their_variant():
  networks, variant = _recorded_cnns()
  found = summary.of_networks(networks, max_layers=6, linear_slots=49)
  np.testing.assert_allclose(found, variant, rtol=0, atol=1e-6)
  found = summary.of_networks(networks, max_layers=6, order='split')
  # The same networks, but for residual connections, which have no weights.
  with np.load(_GOLDEN / 'dynamic_stat_net.npz') as file:
    expected = np.concatenate(
      [file['in/weight_stats'], file['in/bias_stats']], axis=1
    )
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_what_the_converter_refuses():
  config = _load('dws_cls').config
  for field, value in (
    ('n_fc_layers', 2),
    ('input_features', 3),
    ('set_layer', 'lstm'),
  ):
    changed = {**config, 'model': {**config['model'], field: value}}
    with pytest.raises(ValueError, match=f'config.model.{field}'):
      official.model_options(changed)
  with np.load(_GOLDEN / 'stat_net.npz') as file:
    config = json.loads(str(file['config']))
  config['model']['normalize'] = True
  with pytest.raises(ValueError, match='config.model.normalize must be False'):
    official.model_options(config)


def test_a_state_without_batch_norms_and_with_more_layers():
  # Lists have three entries per layer then, and the head has several.
  case = _load('dws_cls')
  config = {
    **case.config,
    'model': {
      **case.config['model'],
      'bn': False,
      'n_hidden': 2,
      'n_out_fc': 3,
      'hidden_dim': 6,
      'num_heads': 3,
    },
  }
  other = _Case(case.arrays, config)
  assert other.model.num_layers == 3
  assert not other.model.batch_norm

  def init(key, weights):
    return other.model.init({'params': key}, other.encode(weights))

  key = jax.eval_shape(jax.random.key, 0)
  shapes = jax.eval_shape(init, key, case.tree('in', np.float32))
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
