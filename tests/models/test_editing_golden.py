# SPDX-License-Identifier: Apache-2.0
"""Updates and gradients equal recordings of the official editors.

tests/golden/README.md says where the recordings come from and what their
tolerances are.
"""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import specs
from ng_jax.models import official
from ng_jax.models.official import recordings
from ng_jax.models.official import reruns
from tests import fast_jit

_GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden'
_CASES = tuple(sorted(path.stem for path in _GOLDEN.glob('edit_*.npz')))
# Together these differentiate every line; the others are slow, all in all.
_QUICK = ('edit_gnn_rev', 'edit_gnn_sinemb_normalize', 'edit_rt_probe')


@functools.cache
def _outputs(name, prefix):
  with np.load(_GOLDEN / f'{name}.npz') as file:
    return {
      key.removeprefix(prefix): file[key]
      for key in file.files
      if key.startswith(prefix)
    }


def _build(name, dtype, **changes):
  """The model, its variables and the graph of a recording."""
  recording = recordings.read(_GOLDEN / f'{name}.npz')
  kind, options = official.model_options(recording.config)
  options |= recordings.patched_options(recording.config) | changes
  model = models.create(kind, **options)
  cast = lambda x: x.astype(dtype)  # noqa: E731
  graph = recordings.read_inrs(jax.tree.map(cast, recording.inputs), {})
  expected = reruns.expected_variables(model, graph)
  state = jax.tree.map(cast, recording.state)
  return model, official.convert(kind, state, expected), graph


def _assert_close(found, expected, relative):
  __tracebackhide__ = True
  assert set(found) == set(expected)
  largest = max(np.max(np.abs(x)) for x in expected.values())
  for key, value in expected.items():
    assert found[key].shape == value.shape
    assert np.max(np.abs(found[key] - value)) <= relative * largest, key


def test_all_recordings_are_here():
  assert len(_CASES) == 9
  assert sum(name.endswith('_fixed') for name in _CASES) == 2


@pytest.mark.parametrize('name', _CASES)
def test_float64_updates_by_both_paths(x64, name):
  model, variables, graph = _build(name, np.float64)
  if name.startswith('edit_gnn'):
    assert model.biases_from_start == (not name.endswith('_fixed'))

  def run(variables, graph):
    update = model.apply(variables, graph)
    if getattr(model, 'biases_from_start', False):
      return recordings.name_updates(update), None
    topology = graph.edges['weight'].topology
    flat = model.apply(variables, graphs.flatten(graph))
    flat_update = graphs.decode(topology, flat)
    return tuple(map(recordings.name_updates, (update, flat_update)))

  blocks, segments = fast_jit.jit(run)(variables, graph)
  _assert_close(blocks, _outputs(name, 'out64/'), 1e-7)
  if segments is not None:
    _assert_close(segments, blocks, 1e-10)


@pytest.mark.parametrize('name', ['edit_gnn_base_fixed', 'edit_gnn_base'])
def test_the_default_norm_equals_graphs_alone(x64, name):
  model, variables, graph = _build(name, np.float64, norm_mode='graph')
  found = fast_jit.jit(model.apply)(variables, graph)
  _assert_close(
    recordings.name_updates(found), _outputs(name, 'out64_single/'), 1e-7
  )


def test_reading_biases_from_the_start_changes_biases_only(x64):
  found = _outputs('edit_gnn_base', 'out64/')
  fixed = _outputs('edit_gnn_base_fixed', 'out64/')
  model, variables, graph = _build(
    'edit_gnn_base', np.float64, biases_from_start=False
  )
  update = recordings.name_updates(fast_jit.jit(model.apply)(variables, graph))
  _assert_close(update, fixed, 1e-7)
  for key in found:
    same = np.allclose(found[key], fixed[key], rtol=1e-6)
    assert same == key.startswith('weights')


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow)
    for name in _CASES
  ],
)
def test_float32_updates_and_gradients(name):
  model, variables, graph = _build(name, np.float32)

  def loss(params, graph):
    update = model.apply({**variables, 'params': params}, graph)
    outputs = recordings.name_updates(update)
    flat = jnp.concatenate([x.reshape(-1) for x in outputs.values()])
    return jnp.mean(flat**2), outputs

  run = fast_jit.jit(jax.value_and_grad(loss, has_aux=True))
  (value, outputs), grads = run(variables['params'], graph)
  _assert_close(outputs, _outputs(name, 'out/'), 1e-4)
  with np.load(_GOLDEN / f'{name}.npz') as file:
    np.testing.assert_allclose(value, file['loss'], rtol=2e-4)
    config = json.loads(str(file['config']))
  recording = recordings.read(_GOLDEN / f'{name}.npz')
  kind, _ = official.model_options(config)
  # Buffers have no gradient; their values fill the places.
  state = recording.state | _outputs(name, 'grad/')
  expected = specs.leaf_arrays(
    official.convert(kind, state, reruns.expected_variables(model, graph))[
      'params'
    ]
  )
  largest = max(np.max(np.abs(g)) for g in expected.values())
  found = specs.leaf_arrays(grads)
  assert set(found) == set(expected)
  for parameter, grad in expected.items():
    # Some gradients are zero in exact arithmetic.
    allowed = 5e-4 * (np.max(np.abs(grad)) + 1e-3 * largest)
    error = np.max(np.abs(found[parameter] - grad))
    assert error <= allowed, f'{parameter}: {error:.3g} > {allowed:.3g}'
