# SPDX-License-Identifier: Apache-2.0
"""Loss and evaluation of editors, checked against renderings in NumPy."""

import functools

import jax
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import specs
from ng_jax import testing
from ng_jax.train import editor
from ng_jax.train import evaluate
from ng_jax.train import metrics
from ng_jax.train import state as state_lib
from ng_jax.train import steps
from tests import repeats
from tests.models import readers
from tests.train import numpy_siren

# Slow sines: those of real INRs magnify rounding.
_SIREN = networks.Siren((2, 4, 3, 1), w0=3.0)
_SHAPE = (5, 6)
_EDITORS = ('dws_edit', 'mlp_edit', 'nfn_edit', 'ng_gnn_edit', 'ng_t_edit')


def make_data(network=_SIREN, *, num=5, dtype=np.float32):
  rng = np.random.default_rng(3)
  shape = (num, *_SHAPE, network.layer_sizes[-1])
  return {
    'weights': readers.draw_weights(network.spec, num=num, dtype=dtype),
    'target': rng.integers(0, 256, shape).astype(np.uint8),
  }


def make_model(name, *, dtype=np.float32, **options):
  if name.startswith('ng_'):
    options = {'network': _SIREN, 'num_probes': 3, 'dropout': 0.0, **options}
  model = readers.create(name, _SIREN.spec, **options)
  return model, readers.draw_variables(model, _SIREN.spec, dtype=dtype)


def make_state(variables):
  return state_lib.TrainState(
    step=np.int32(0),
    params=variables['params'],
    constants=variables.get('constants', {}),
    batch_stats=variables.get('batch_stats', {}),
    opt_state=(),
    key=jax.random.key(0),
  )


def make_keys(num):
  return steps.Keys(jax.random.split(jax.random.key(1), num), jax.random.key(2))


@pytest.mark.parametrize('variant', networks.siren.VARIANTS)
@pytest.mark.parametrize('channels', [1, 3])
def test_error_of_a_rendering(x64, variant, channels):
  network = networks.Siren((2, 4, 3, channels), variant, w0=30.0)
  data = make_data(network, dtype=np.float64)
  found = editor.squared_errors(network, data['weights'], data['target'])
  expected = numpy_siren.squared_errors(network, **data)
  np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(
  'name', repeats.cases(_EDITORS, repeats=('dws_edit', 'ng_t_edit'))
)
def test_loss_is_the_error_of_the_edited_networks(name):
  model, variables = make_model(name)
  data, keys = make_data(), make_keys(5)
  mask = np.array([True, True, False, True, False])
  loss = jax.jit(editor.make_loss_function(model, _SIREN))
  total, (sums, moved) = loss(variables, data, mask, keys)
  update, expected_stats = apply_in_training(model, variables, data, mask)
  edited = models.apply_update(data['weights'], update)
  errors = numpy_siren.squared_errors(_SIREN, edited, data['target'])
  before = numpy_siren.squared_errors(_SIREN, **data)
  assert (abs(errors - before) > 1e-5).all()
  np.testing.assert_allclose(total, errors[mask].sum(), rtol=1e-4)
  assert (int(sums['count']), float(sums['loss'])) == (3, float(total))
  # Padding does not move the running statistics.
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6),
    moved,
    expected_stats,
  )
  assert bool(moved) == (name == 'dws_edit')


def apply_in_training(model, variables, data, mask):
  """The model as in training, with the mask of real networks."""
  graph = graphs.encode(graphs.topology(_SIREN.spec), data['weights'])
  graph = graph._replace(globals={**graph.globals, 'mask': mask})
  apply = functools.partial(model.apply, train=True, mutable=['batch_stats'])
  found, moved = jax.jit(apply)(variables, graph)
  return found, moved.get('batch_stats', {})


@pytest.mark.slow
def test_padding_may_hold_anything():
  model, variables = make_model('dws_edit')
  data, keys = make_data(), make_keys(5)
  mask = np.arange(5) < 3
  rubbish = jax.tree.map(
    lambda x: np.concatenate([x[:3], np.full_like(x[3:], 50)]), data
  )
  loss_function = editor.make_loss_function(model, _SIREN)

  def loss(params, data):
    return loss_function({**variables, 'params': params}, data, mask, keys)

  gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
  expected = gradient(variables['params'], data)
  found = gradient(variables['params'], rubbish)
  for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
  assert max(np.max(np.abs(x)) for x in jax.tree.leaves(found[1])) > 0.1


@pytest.mark.parametrize('name', ['mlp_edit', 'ng_gnn_edit'])
def test_no_update_gives_the_error_without_an_edit(name):
  model, variables = make_model(name)
  arrays = specs.leaf_arrays(variables)
  silent = specs.from_leaf_arrays(
    {
      path: np.zeros_like(x) if 'scale' in path.split('/', 1)[1] else x
      for path, x in arrays.items()
    }
  )
  data, mask = make_data(), np.ones(5, bool)
  measure = jax.jit(editor.make_metric_function(model, _SIREN))
  sums, results = measure(silent, data, mask)
  np.testing.assert_allclose(results['mse'], results['no_edit_mse'], rtol=1e-5)
  np.testing.assert_allclose(sums['mse'], sums['no_edit_mse'], rtol=1e-5)
  for path, leaf in specs.leaf_arrays(data['weights']).items():
    np.testing.assert_array_equal(results[editor.WEIGHTS + path], leaf)
  sums, _ = measure(variables, data, mask)
  assert abs(float(sums['mse'] - sums['no_edit_mse'])) > 1e-3


@pytest.mark.parametrize(('batch_size', 'microbatch_size'), [(2, 0), (4, 2)])
def test_evaluation_counts_every_network_once(batch_size, microbatch_size):
  model, variables = make_model('mlp_edit')
  data = make_data(num=7)
  step = jax.jit(
    functools.partial(
      steps.eval_step,
      metric_function=editor.make_metric_function(model, _SIREN),
      microbatch_size=microbatch_size,
    )
  )
  leaf = 'weights/layer_1/kernel'
  sums, results = evaluate.measure_split(
    step,
    make_state(variables),
    data,
    names=('mse', 'no_edit_mse', leaf),
    num_examples=5,
    batch_size=batch_size,
    first_row=2,
    multiple_of=max(1, microbatch_size),
  )
  data = jax.tree.map(lambda x: x[2:], data)
  before = numpy_siren.squared_errors(_SIREN, **data)
  np.testing.assert_allclose(results['no_edit_mse'], before, rtol=1e-4)
  means = metrics.averages(sums)
  assert set(means) == {'mse', 'no_edit_mse'}
  for name, mean in means.items():
    np.testing.assert_allclose(mean, results[name].mean(), rtol=1e-6)
  topology = graphs.topology(_SIREN.spec)
  edited = editor.edit(model, variables, data['weights'], topology=topology)
  np.testing.assert_allclose(
    results[leaf], edited['layer_1']['kernel'], rtol=1e-5, atol=1e-6
  )
  after = numpy_siren.squared_errors(_SIREN, edited, data['target'])
  np.testing.assert_allclose(results['mse'], after, rtol=1e-4)


@pytest.mark.parametrize(
  'name',
  repeats.cases(['dws_edit', 'ng_gnn_edit', 'ng_t_edit'], repeats=['dws_edit']),
)
def test_the_whole_edit_does_not_see_the_order_of_neurons(x64, name):
  model, variables = make_model(name, dtype=np.float64)
  topology = graphs.topology(_SIREN.spec)

  @jax.jit
  def edit(weights):
    return editor.edit(model, variables, weights, topology=topology)

  weights = readers.draw_weights(_SIREN.spec, num=2, dtype=np.float64)
  options = {
    'spec': _SIREN.spec,
    'weights': weights,
    'key': jax.random.key(1),
    'atol': 1e-10,
    'rtol': 0,
  }
  testing.assert_equivariant(edit, **options)
  # So the drawn image is the same, though the network is another.
  testing.assert_invariant(
    lambda weights: _SIREN.render_pixels(edit(weights), _SHAPE), **options
  )
  assert not np.allclose(
    _SIREN.render_pixels(edit(weights), _SHAPE),
    _SIREN.render_pixels(weights, _SHAPE),
  )
