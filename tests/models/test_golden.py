# SPDX-License-Identifier: Apache-2.0
"""Predictions and gradients equal recordings of the official implementation.

tests/golden/README.md says where the recordings come from and what their
tolerances are.
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
from tests import fast_jit

_GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden'
_CASES = tuple(sorted(path.stem for path in _GOLDEN.glob('inr_*.npz')))
# Together these differentiate every line; the others are slow, all in all.
_QUICK = (
  'inr_gnn_base',
  'inr_gnn_concat_edges',
  'inr_gnn_probe',
  'inr_gnn_rev',
  'inr_rt_mean_edge_all',
  'inr_rt_probe',
  'inr_rt_rev',
)
_SEGMENT_GRADIENTS = {
  f'inr_{model}_{suffix}': suffix != 'base'
  for model in ('gnn', 'rt')
  for suffix in ('base', 'rev', 'probe')
}
# The reference by itself normalises over a whole batch; run on one graph at a
# time, it is our default.
_ALONE = tuple(
  case
  for case in _CASES
  if 'out64_single/logits' in np.load(_GOLDEN / f'{case}.npz').files
)
_PATHS = {'blocks': lambda graph: graph, 'segments': graphs.flatten}


class _Case(NamedTuple):
  """One recording: arrays, the model's options and the network's spec."""

  arrays: dict[str, np.ndarray]
  config: dict[str, Any]
  spec: specs.NetworkSpec

  @property
  def topology(self):
    return graphs.topology(self.spec)

  def model(self, norm_mode='batch'):
    name, options = official.model_options(self.config)
    if self.config['case'].endswith('stdmask'):
      options['zero_small_std'] = True
    if name == 'ng_gnn':
      options['norm_mode'] = norm_mode
    return models.create(name, **options)

  def weights(self, dtype):
    return {
      f'layer_{i + 1}': {
        'kernel': self.arrays[f'in/weights_{i}'][..., 0].astype(dtype),
        'bias': self.arrays[f'in/biases_{i}'][..., 0].astype(dtype),
      }
      for i in range(len(self.config['layer_layout']) - 1)
    }

  def state(self, dtype, prefix='param/'):
    return {
      name.removeprefix(prefix): array.astype(dtype)
      for name, array in self.arrays.items()
      if name.startswith(prefix)
    }

  def variables(self, state, dtype):
    """Converts an official state; shapes and statistics come from the model."""
    model = self.model()
    graph = jax.eval_shape(
      functools.partial(graphs.encode, self.topology), self.weights(dtype)
    )
    key = jax.eval_shape(jax.random.key, 0)
    expected = jax.eval_shape(model.init, {'params': key}, graph)
    if model.statistics is not None:
      constants = expected['constants']['embedding']
      for name in ('weight_mean', 'weight_std', 'bias_mean', 'bias_std'):
        constants[name] = jnp.asarray(getattr(model.statistics, name), dtype)
    name, _ = official.model_options(self.config)
    return official.convert(name, state, expected)


@functools.cache
def _load(name):
  with np.load(_GOLDEN / f'{name}.npz') as file:
    arrays = {key: file[key] for key in file.files if key != 'config'}
    config = json.loads(str(file['config']))
  return _Case(arrays, config, specs.mlp(tuple(config['layer_layout']), 'sine'))


def _assert_close(found, expected, relative):
  __tracebackhide__ = True
  error = np.max(np.abs(found - expected)) / np.max(np.abs(expected))
  assert error <= relative


def test_all_recordings_are_here():
  assert len(_CASES) == 18
  assert _ALONE == (
    'inr_gnn_base',
    'inr_gnn_base_stdmask',
    'inr_gnn_rev',
    'inr_rt_base',
  )


@pytest.mark.parametrize('name', _CASES)
def test_float64_predictions(x64, name):
  # What float32 cannot see: epsilons, floors of standard deviations.
  case = _load(name)
  weights = case.weights(np.float64)
  variables = case.variables(case.state(np.float64), np.float64)
  modes = {'batch': 'out64/logits'}
  if name in _ALONE:
    modes['graph'] = 'out64_single/logits'

  def predict(variables, weights):
    graph = graphs.encode(case.topology, weights)
    return {
      (mode, path): case.model(mode).apply(variables, view(graph))
      for mode in modes
      for path, view in _PATHS.items()
    }

  found = fast_jit.jit(predict)(variables, weights)
  for mode, key in modes.items():
    blocks, segments = found[mode, 'blocks'], found[mode, 'segments']
    assert blocks.dtype == np.float64
    _assert_close(blocks, case.arrays[key], 1e-7)
    _assert_close(segments, case.arrays[key], 1e-7)
    _assert_close(segments, blocks, 1e-10)


def _slow_unless(quick, name):
  return pytest.param(name, marks=() if quick else pytest.mark.slow)


def _check_float32(name, path, norm_mode='batch', suffix=''):
  """Predictions, loss and the gradient of every parameter, in float32."""
  __tracebackhide__ = True
  case = _load(name)
  arrays = case.arrays
  model = case.model(norm_mode)
  weights = case.weights(np.float32)
  variables = case.variables(case.state(np.float32), np.float32)

  def loss(params, weights):
    graph = _PATHS[path](graphs.encode(case.topology, weights))
    logits = model.apply({**variables, 'params': params}, graph)
    return jnp.mean(logits**2), logits

  run = fast_jit.jit(jax.value_and_grad(loss, has_aux=True))
  (value, logits), grads = run(variables['params'], weights)
  assert logits.dtype == np.float32
  _assert_close(logits, arrays[f'out{suffix}/logits'], 1e-4)
  np.testing.assert_allclose(value, arrays[f'loss{suffix}'], rtol=2e-4)
  # Buffers have no gradient; their values fill the places.
  state = {
    **case.state(np.float32),
    **case.state(np.float32, f'grad{suffix}/'),
  }
  expected = specs.leaf_arrays(case.variables(state, np.float32)['params'])
  largest = max(np.max(np.abs(g)) for g in expected.values())
  found = specs.leaf_arrays(grads)
  assert set(found) == set(expected)
  for parameter, grad in expected.items():
    error = np.max(np.abs(found[parameter] - grad))
    # Some gradients are zero in exact arithmetic.
    allowed = 5e-4 * (np.max(np.abs(grad)) + 1e-3 * largest)
    assert error <= allowed, f'{parameter}: {error:.3g} > {allowed:.3g}'


@pytest.mark.parametrize(
  'name', [_slow_unless(name in _QUICK, name) for name in _CASES]
)
def test_float32_predictions_and_gradients(name):
  _check_float32(name, 'blocks')


@pytest.mark.parametrize(
  'name', [_slow_unless(q, name) for name, q in _SEGMENT_GRADIENTS.items()]
)
def test_float32_predictions_and_gradients_by_segments(name):
  _check_float32(name, 'segments')


@pytest.mark.parametrize('name', ['inr_gnn_base'])
def test_float32_gradients_of_graphs_alone(name):
  _check_float32(name, 'blocks', norm_mode='graph', suffix='_single')
