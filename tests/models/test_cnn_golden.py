# SPDX-License-Identifier: Apache-2.0
"""Predictions on CNNs equal recordings of the official implementation.

The recorded batches hold CNNs of different depths, widths and kernels. In
'parity' mode ours depend on the batch as the reference does; by default they
equal the reference run on one graph at a time. tests/golden/README.md has the
tolerances.
"""

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
from ng_jax.models.official import inputs_cnn
from tests import fast_jit

_GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden'
_CASES = tuple(
  sorted(
    path.stem
    for path in _GOLDEN.glob('cnn_*_*.npz')
    if not path.stem.endswith('_graphs')
  )
)
# The reference pools its padding where all nodes are pooled; ours never does.
_POOLS_PADDING = ('cnn_gnn_mean_all', 'cnn_rt_mean_all')
_QUICK = ('cnn_gnn_rev_linsep', 'cnn_rt_linsep')


class _Case(NamedTuple):
  """One recording: arrays and the official configuration."""

  arrays: dict[str, np.ndarray]
  config: dict[str, Any]

  def model(self, *, parity):
    name, options = official.model_options(self.config)
    if not parity:
      default = {'ng_gnn': ('norm_mode', 'graph'), 'ng_t': ('mask_padding', 1)}
      field, value = default[name]
      options[field] = value
    return models.create(name, **options)

  def networks(self, dtype):
    return inputs_cnn.read_graphs(self.arrays, self.config, dtype=dtype)

  def batch(self, dtype):
    pairs = self.networks(dtype)
    return graphs.stack(
      pairs,
      max_nodes=max(topology.num_nodes for topology, _ in pairs),
      max_edges=max(topology.num_edges for topology, _ in pairs),
      dtype=dtype,
    )

  def state(self, dtype, prefix='param/'):
    return {
      name.removeprefix(prefix): array.astype(dtype)
      for name, array in self.arrays.items()
      if name.startswith(prefix)
    }

  def variables(self, state, dtype):
    name, _ = official.model_options(self.config)
    key = jax.eval_shape(jax.random.key, 0)
    model = self.model(parity=True)
    expected = jax.eval_shape(model.init, {'params': key}, self.batch(dtype))
    return official.convert(name, state, expected)


@functools.cache
def _load(name):
  with np.load(_GOLDEN / f'{name}.npz') as file:
    arrays = {key: file[key] for key in file.files if key != 'config'}
    return _Case(arrays, json.loads(str(file['config'])))


def _assert_close(found, expected, relative):
  __tracebackhide__ = True
  error = np.max(np.abs(found - expected)) / np.max(np.abs(expected))
  assert error <= relative


def test_all_recordings_are_here():
  assert len(_CASES) == 14
  assert all('out64_single/pred' in _load(name).arrays for name in _CASES)


@pytest.mark.parametrize('name', _CASES)
def test_float64_predictions(x64, name):
  case = _load(name)
  variables = case.variables(case.state(np.float64), np.float64)

  @fast_jit.jit
  def predict(variables, batch):
    return {
      parity: case.model(parity=parity).apply(variables, batch)
      for parity in (True, False)
    }

  found = predict(variables, case.batch(np.float64))
  assert found[True].dtype == np.float64
  alone = case.arrays['out64_single/pred']
  _assert_close(found[False], alone, 1e-7)
  if name not in _POOLS_PADDING:
    _assert_close(found[True], case.arrays['out64/pred'], 1e-7)
    # One architecture in all of a batch looks the same to a transformer.
    if name != 'cnn_rt_zoo':
      assert np.max(np.abs(found[True] - alone)) > 1e-4 * np.max(np.abs(alone))


def _slow_unless(quick, name):
  return pytest.param(name, marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize(
  'name', [_slow_unless(name in _QUICK, name) for name in _CASES]
)
def test_float64_predictions_of_single_graphs_by_blocks(x64, name):
  case = _load(name)
  variables = case.variables(case.state(np.float64), np.float64)
  model = case.model(parity=True)
  if name in _POOLS_PADDING:
    model = case.model(parity=False)
  run = fast_jit.jit(model.apply)
  # Every architecture is compiled by itself: the largest one says enough.
  topology, weights = case.networks(np.float64)[-1]
  weights = jax.tree.map(lambda x: x[None], weights)
  found = run(variables, graphs.encode(topology, weights))
  expected = case.arrays['out64_single/pred']
  scale = np.max(np.abs(expected))
  np.testing.assert_allclose(found[0], expected[-1], rtol=0, atol=1e-7 * scale)


@pytest.mark.parametrize('name', ['cnn_gnn_linsep', 'cnn_rt_linsep'])
def test_float64_predictions_of_a_concatenated_batch(x64, name):
  case = _load(name)
  variables = case.variables(case.state(np.float64), np.float64)
  pairs = case.networks(np.float64)
  batch = graphs.concatenate(pairs, graphs.Budget(4, 70, 250), dtype=np.float64)
  model = case.model(parity=False)
  if name == 'cnn_rt_linsep':
    model = model.copy(max_nodes=24)
  found = fast_jit.jit(model.apply)(variables, batch)[:3]
  _assert_close(found, case.arrays['out64_single/pred'], 1e-7)


def _check_float32(name, *, parity, suffix=''):
  """Predictions, loss and the gradient of every parameter, in float32."""
  __tracebackhide__ = True
  case = _load(name)
  arrays = case.arrays
  model = case.model(parity=parity)
  variables = case.variables(case.state(np.float32), np.float32)

  def loss(params, batch):
    found = model.apply({**variables, 'params': params}, batch)
    return jnp.mean(found**2), found

  run = fast_jit.jit(jax.value_and_grad(loss, has_aux=True))
  (value, found), grads = run(variables['params'], case.batch(np.float32))
  assert found.dtype == np.float32
  _assert_close(found, arrays[f'out{suffix}/pred'], 1e-4)
  np.testing.assert_allclose(value, arrays[f'loss{suffix}'], rtol=2e-4)
  # Buffers have no gradient; their values fill the places.
  state = {
    **case.state(np.float32),
    **case.state(np.float32, f'grad{suffix}/'),
  }
  expected = specs.leaf_arrays(case.variables(state, np.float32)['params'])
  largest = max(np.max(np.abs(g)) for g in expected.values())
  gradients = specs.leaf_arrays(grads)
  assert set(gradients) == set(expected)
  for parameter, grad in expected.items():
    error = np.max(np.abs(gradients[parameter] - grad))
    # Some gradients are zero in exact arithmetic.
    allowed = 5e-4 * (np.max(np.abs(grad)) + 1e-3 * largest)
    assert error <= allowed, f'{parameter}: {error:.3g} > {allowed:.3g}'


@pytest.mark.parametrize(
  'name',
  [
    _slow_unless(name in _QUICK, name)
    for name in _CASES
    if name not in _POOLS_PADDING
  ],
)
def test_float32_predictions_and_gradients(name):
  _check_float32(name, parity=True)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['cnn_gnn_base', 'cnn_rt_base'])
def test_float32_gradients_of_graphs_alone(name):
  _check_float32(name, parity=False, suffix='_single')


def test_unused_arrays_are_known_by_name():
  case = _load('cnn_gnn_linsep')
  state = case.state(np.float32)
  assert 'construct_graph.proj_mlp_edge_in.weight' in state
  variables = specs.leaf_arrays(case.variables(state, np.float32))
  linear = state['construct_graph.proj_mlp_weight.1.weight']
  np.testing.assert_array_equal(
    variables['params/embedding/linear_projection/kernel'], linear.T
  )
  state['construct_graph.proj_mlp_other.weight'] = np.zeros(3)
  with pytest.raises(ValueError, match='proj_mlp_other.weight is unknown'):
    case.variables(state, np.float32)


def test_the_embedding_of_flattened_maps_is_converted():
  # No recording has it; the official name is that of the parameter.
  case = _load('cnn_gnn_base')
  config = json.loads(json.dumps(case.config))
  config['model']['graph_constructor']['flattening_method'] = 'repeat_nodes'
  name, options = official.model_options(config)
  assert options['num_places'] == 49
  model = models.create(name, **options)
  key = jax.eval_shape(jax.random.key, 0)
  shapes = jax.eval_shape(model.init, {'params': key}, case.batch(np.float32))
  table = np.arange(49 * 9, dtype=np.float32).reshape(49, 9)
  state = {**case.state(np.float32), 'construct_graph.spatial_embed': table}
  params = official.convert(name, state, shapes)['params']
  np.testing.assert_array_equal(params['embedding']['places']['table'], table)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'conv_mask': np.array([1, 0, 0])}, 'convolutions and one linear layer'),
    ({'edge_attr': np.zeros((66, 12))}, 'width of a square kernel, got 12'),
    ({'edge_index': np.zeros((2, 66))}, 'edge_index must list the edges layer'),
  ],
)
def test_graphs_that_cannot_be_read(change, message):
  case = _load('cnn_gnn_base')
  arrays = dict(case.arrays)
  arrays.update({f'in/cnn0/{name}': array for name, array in change.items()})
  with pytest.raises(ValueError, match=message):
    inputs_cnn.read_graphs(arrays, case.config)


def test_a_recording_without_cnns():
  with pytest.raises(ValueError, match="arrays must hold 'in/cnn0/...'"):
    inputs_cnn.read_graphs({'in/weights_0': np.zeros(3)}, {})
