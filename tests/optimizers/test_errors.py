# SPDX-License-Identifier: Apache-2.0
"""What learned optimizers refuse, in words."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ng_jax import networks
from ng_jax import optimizers
from ng_jax import specs
from tests.optimizers import tiny

_SPEC = networks.Mlp((2, 3, 2)).spec


def _transformation(name, spec=None):
  optimizer = tiny.create(name, spec)
  return optimizer.transformation(tiny.draw_theta(optimizer))


def test_unknown_optimizer():
  with pytest.raises(ValueError, match="unknown optimizer 'adam'.*'ng_gnn'"):
    optimizers.create('adam')


@pytest.mark.parametrize(
  'option, hint', [('num_layer', "did you mean 'num_layers'"), ('zzz', '')]
)
def test_unknown_option(option, hint):
  with pytest.raises(
    ValueError, match=f"'ng_gnn' has no option '{option}'.*{hint}.*Known"
  ):
    optimizers.create('ng_gnn', _SPEC, **{option: 3})


def test_theta_of_another_optimizer():
  theta = tiny.draw_theta(tiny.create('lstm'))
  with pytest.raises(ValueError, match='theta.*FeedForward.*lacks.*layer_1'):
    tiny.create('ff').transformation(theta)


def test_theta_of_other_options():
  theta = tiny.draw_theta(tiny.create('ff', hidden_sizes=(8, 9)))
  with pytest.raises(ValueError, match='layer_1/kernel.*instead of'):
    tiny.create('ff').transformation(theta)


def test_theta_of_another_number_of_layers():
  theta = tiny.draw_theta(tiny.create('nfn', _SPEC))
  other = tiny.create('nfn', networks.Mlp((2, 3, 3, 2)).spec)
  with pytest.raises(ValueError, match='theta.*lacks.*layer_3'):
    other.transformation(theta)


def test_params_are_needed():
  tx = _transformation('ff')
  params = {'w': jnp.ones(2)}
  with pytest.raises(ValueError, match='params must be given, got None'):
    tx.update(params, tx.init(params))


def test_params_must_not_be_empty():
  with pytest.raises(ValueError, match='params must hold at least one array'):
    _transformation('ff').init({})


@pytest.mark.parametrize('dtype', [jnp.int32, jnp.bool_, jnp.complex64])
def test_params_must_be_float(dtype):
  params = {'w': jnp.ones(2), 'inner': [jnp.ones(2, dtype)]}
  with pytest.raises(ValueError, match="float.*'inner/0'.*optax.masked"):
    _transformation('ff').init(params)


@pytest.mark.parametrize(
  'gradients',
  [
    {'w': jnp.ones(3)},
    {'w': jnp.ones(2), 'b': jnp.ones(2)},
    {'v': jnp.ones(2)},
    {},
  ],
)
def test_gradients_must_fit_params(gradients):
  tx = _transformation('ff')
  params = {'w': jnp.ones(2)}
  with pytest.raises(ValueError, match='updates must be gradients.*same'):
    tx.update(gradients, tx.init(params), params)


@pytest.mark.parametrize('name', sorted(tiny.NEED_SPEC))
def test_spec_is_needed(name):
  optimizer = tiny.create(name, _SPEC)
  theta = tiny.draw_theta(optimizer)
  without = dataclasses.replace(optimizer, spec=None)
  with pytest.raises(ValueError, match=r'needs spec, got None.*specs.infer'):
    without.transformation(theta).init(tiny.draw_params(_SPEC))


@pytest.mark.parametrize('name', [*sorted(tiny.NEED_SPEC), 'lstm'])
def test_spec_names_arrays_that_do_not_exist(name):
  tx = _transformation(name, _SPEC)
  params = tiny.draw_params(_SPEC)
  del params['layer_2']
  with pytest.raises(ValueError, match='spec names arrays.*layer_2/kernel'):
    tx.init(params)


@pytest.mark.parametrize('name', [*sorted(tiny.NEED_SPEC), 'lstm'])
def test_masked_arrays_of_the_spec(name):
  tx = optax.masked(
    _transformation(name, _SPEC),
    lambda tree: {k: k != 'layer_1' for k in tree},
  )
  with pytest.raises(ValueError, match='do not mask arrays that it names'):
    tx.init(tiny.draw_params(_SPEC))


@pytest.mark.parametrize('name', [*sorted(tiny.NEED_SPEC), 'lstm'])
def test_arrays_of_other_shapes_than_the_spec(name):
  tx = _transformation(name, _SPEC)
  params = tiny.draw_params(_SPEC)
  params['layer_1']['bias'] = jnp.ones(4)
  with pytest.raises(ValueError, match=r"'layer_1/bias'.*\(3,\), got \(4,\)"):
    tx.init(params)


@pytest.mark.parametrize('name', ['ng_gnn', 'ng_t'])
def test_unknown_indexing(name):
  optimizer = tiny.create(name, _SPEC, indexing='depth')
  with pytest.raises(ValueError, match="'depth'.*'role', 'running'"):
    tiny.draw_theta(optimizer)


def test_unknown_sharing():
  with pytest.raises(ValueError, match="share 'all'.*'layer', 'role'"):
    tiny.create('nfn', _SPEC, share='all')


def test_masking_leaves_other_arrays_alone():
  """Where the spec does not name them, arrays may be masked."""
  tx = optax.masked(
    _transformation('nfn', _SPEC), lambda tree: {k: k != 'ids' for k in tree}
  )
  params = {**tiny.draw_params(_SPEC), 'ids': jnp.arange(3)}
  gradients = {**tiny.draw_params(_SPEC, 1), 'ids': jnp.zeros(3, jnp.int32)}
  updates, _ = jax.eval_shape(
    lambda p: tx.update(gradients, tx.init(p), p), params
  )
  assert updates['layer_1']['kernel'].shape == (2, 3)


def test_a_network_without_dense_layers_is_refused():
  sets = (
    specs.NeuronSet('input', 2, 'input'),
    specs.NeuronSet('output', 2, 'output'),
  )
  block = specs.Block('scale', 'input', 'output', kind='diagonal', type='norm')
  leaf = specs.Leaf('scale', 'target', 'scale')
  spec = specs.NetworkSpec(sets, (block,), (leaf,))
  with pytest.raises(ValueError, match='at least one dense block.*scale'):
    tiny.draw_theta(tiny.create('nfn', spec))
  assert np.shape(tiny.draw_params(spec)['scale']) == (2,)
