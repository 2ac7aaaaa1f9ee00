# SPDX-License-Identifier: Apache-2.0
"""The NFN baselines equal recordings of the official implementation.

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
from tests import chain_networks
from tests import fast_jit

_GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden'
_CASES = ('nfn_np', 'nfn_np_normalize', 'nfn_transfer', 'onfn_hnp', 'onfn_np')


class _Case(NamedTuple):
  """One recording, and what the networks in it are."""

  arrays: dict[str, np.ndarray]
  config: dict[str, Any]
  spec: specs.NetworkSpec

  @property
  def topology(self):
    return graphs.topology(self.spec)

  def model(self):
    name, options = official.model_options(self.config)
    return models.create(name, spec=self.spec, **options)

  def tree(self, prefix, dtype):
    """Weights as recorded: layers in order, weights and biases."""
    weight, bias = [leaf.path.split('/')[1] for leaf in self.spec.leaves[:2]]
    layers = [block.name for block in self.spec.blocks]
    tree = {}
    for i, layer in enumerate(layers):
      arrays = {
        weight: self.arrays[f'{prefix}weights_{i}'],
        bias: self.arrays[f'{prefix}biases_{i}'],
      }
      if self.config['kind'] == 'inr':  # With an axis for features.
        arrays = {name: array[..., 0] for name, array in arrays.items()}
      tree[layer] = jax.tree.map(lambda x: x.astype(dtype), arrays)
    return tree

  def state(self, dtype, prefix='param/'):
    return {
      name.removeprefix(prefix): array.astype(dtype)
      for name, array in self.arrays.items()
      if name.startswith(prefix)
    }

  def variables(self, state, dtype):
    """Converts an official state; statistics come from the model."""
    model = self.model()
    graph = jax.eval_shape(
      functools.partial(graphs.encode, self.topology), self.tree('in/', dtype)
    )
    key = jax.eval_shape(jax.random.key, 0)
    expected = jax.eval_shape(model.init, {'params': key}, graph)
    if model.statistics is not None:
      constants = expected['constants']['embedding']
      for name in ('weight_mean', 'weight_std', 'bias_mean', 'bias_std'):
        constants[name] = jnp.asarray(getattr(model.statistics, name), dtype)
    name, _ = official.model_options(self.config)
    return official.convert(name, state, expected)

  def expected(self, prefix, dtype):
    """The recorded prediction: an array, or updates of the weights."""
    for name in ('logits', 'pred'):
      if f'{prefix}{name}' in self.arrays:
        return self.arrays[f'{prefix}{name}'].astype(dtype)
    return self.tree(prefix, dtype)


@functools.cache
def _load(name):
  with np.load(_GOLDEN / f'{name}.npz') as file:
    arrays = {key: file[key] for key in file.files if key != 'config'}
    config = json.loads(str(file['config']))
  if config['kind'] == 'inr':
    spec = specs.mlp(tuple(config['layer_layout']), 'sine')
  else:
    spec = chain_networks.torch_chain(config['weight_shapes'])
  return _Case(arrays, config, spec)


def _assert_close(found, expected, relative):
  """Equal trees, relative to the largest entry of all."""
  __tracebackhide__ = True
  largest = max(np.max(np.abs(x)) for x in jax.tree.leaves(expected))
  errors = jax.tree.map(lambda a, b: np.max(np.abs(a - b)), found, expected)
  assert max(jax.tree.leaves(errors)) <= relative * largest, errors


@pytest.mark.parametrize('name', _CASES)
def test_float64_predictions(x64, name):
  case = _load(name)
  variables = case.variables(case.state(np.float64), np.float64)

  def predict(variables, weights):
    graph = graphs.encode(case.topology, weights)
    return case.model().apply(variables, graph)

  found = fast_jit.jit(predict)(variables, case.tree('in/', np.float64))
  assert {x.dtype for x in jax.tree.leaves(found)} == {np.dtype('float64')}
  _assert_close(found, case.expected('out64/', np.float64), 1e-7)


@pytest.mark.parametrize('name', _CASES)
def test_float32_predictions_and_gradients(name):
  case = _load(name)
  model = case.model()
  variables = case.variables(case.state(np.float32), np.float32)

  def loss(params, weights):
    graph = graphs.encode(case.topology, weights)
    found = model.apply({**variables, 'params': params}, graph)
    flat = jnp.concatenate([x.reshape(-1) for x in jax.tree.leaves(found)])
    return jnp.mean(flat**2), found

  run = fast_jit.jit(jax.value_and_grad(loss, has_aux=True))
  weights = case.tree('in/', np.float32)
  (value, found), grads = run(variables['params'], weights)
  _assert_close(found, case.expected('out/', np.float32), 1e-4)
  np.testing.assert_allclose(value, case.arrays['loss'], rtol=2e-4)
  # Buffers have no gradient; their values fill the places.
  state = {**case.state(np.float32), **case.state(np.float32, 'grad/')}
  expected = specs.leaf_arrays(case.variables(state, np.float32)['params'])
  largest = max(np.max(np.abs(g)) for g in expected.values())
  found = specs.leaf_arrays(grads)
  assert set(found) == set(expected)
  for parameter, grad in expected.items():
    error = np.max(np.abs(found[parameter] - grad))
    # Some gradients are zero in exact arithmetic.
    allowed = 5e-4 * (np.max(np.abs(grad)) + 1e-3 * largest)
    assert error <= allowed, f'{parameter}: {error:.3g} > {allowed:.3g}'
