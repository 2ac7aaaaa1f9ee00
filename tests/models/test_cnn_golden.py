# SPDX-License-Identifier: Apache-2.0
"""Recorded CNNs: one by one, in a concatenated batch, and badly made ones.

test_golden.py compares whole batches. tests/golden/README.md has the
tolerances.
"""

import json

import jax
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax.models import official
from ng_jax.models.official import inputs_cnn
from tests import repeats
from tests.models import recorded

_CASES = tuple(name for name in recorded.CASES if name.startswith('cnn_'))
_QUICK = ('cnn_gnn_rev_linsep', 'cnn_rt_linsep')


def _networks(name, dtype):
  inputs = {
    key: x.astype(dtype) if x.dtype == np.float32 else x
    for key, x in recorded.read(name).inputs.items()
  }
  return inputs_cnn.read_graphs(inputs, recorded.read(name).config)


def _alone(case):
  return recorded.ALONE[case.name]


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=() if name in _QUICK else pytest.mark.repeated)
    for name in _CASES
  ],
)
def test_float64_predictions_of_single_graphs_by_blocks(x64, name):
  case = recorded.build(name, np.float64)
  run = jax.jit(case.model.apply)
  # Every architecture is compiled by itself: the largest one says enough.
  topology, weights = _networks(name, np.float64)[-1]
  weights = jax.tree.map(lambda x: x[None], weights)
  found = run(case.variables, graphs.encode(topology, weights))
  expected = recorded.arrays(name, 'out64_single/')['pred']
  scale = np.max(np.abs(expected))
  np.testing.assert_allclose(found[0], expected[-1], rtol=0, atol=1e-7 * scale)


@pytest.mark.parametrize(
  'name',
  repeats.cases(
    ['cnn_gnn_linsep', 'cnn_gnn_mean_all', 'cnn_rt_linsep'],
    repeats=['cnn_gnn_linsep', 'cnn_rt_linsep'],
  ),
)
def test_float64_predictions_of_a_concatenated_batch(x64, name):
  case = recorded.build(name, np.float64)
  pairs = _networks(name, np.float64)
  batch = graphs.concatenate(pairs, graphs.Budget(4, 70, 250), dtype=np.float64)
  model = case.model.copy(**_alone(case))
  if name == 'cnn_rt_linsep':
    model = model.copy(max_nodes=24)
  found = jax.jit(model.apply)(case.variables, batch)[:3]
  expected = recorded.arrays(name, 'out64_single/')
  recorded.assert_close({'pred': found}, expected, 1e-7)
  if name == 'cnn_gnn_mean_all':
    with pytest.raises(
      ValueError, match='pool_padding=True.* use graphs.stack'
    ):
      jax.eval_shape(case.model.apply, case.variables, batch)


def test_unused_arrays_are_known_by_name():
  case = recorded.build('cnn_gnn_linsep', np.float32)
  state = dict(recorded.read('cnn_gnn_linsep').state)
  assert 'construct_graph.proj_mlp_edge_in.weight' in state
  linear = state['construct_graph.proj_mlp_weight.1.weight']
  np.testing.assert_array_equal(
    case.variables['params']['embedding']['linear_projection']['kernel'],
    linear.T,
  )
  state['construct_graph.proj_mlp_other.weight'] = np.zeros(3)
  with pytest.raises(ValueError, match='proj_mlp_other.weight is unknown'):
    official.convert(case.name, state, case.expected)


def test_the_embedding_of_flattened_maps_is_converted():
  # No recording has it; the official name is that of the parameter.
  recording = recorded.read('cnn_gnn_base')
  config = json.loads(json.dumps(recording.config))
  config['model']['graph_constructor']['flattening_method'] = 'repeat_nodes'
  name, options = official.model_options(config)
  assert options['num_places'] == 49
  model = models.create(name, **options)
  key = jax.eval_shape(jax.random.key, 0)
  batch = inputs_cnn.read_stack(recording.inputs, config)
  shapes = jax.eval_shape(model.init, {'params': key}, batch)
  table = np.arange(49 * 9, dtype=np.float32).reshape(49, 9)
  state = {**recording.state, 'construct_graph.spatial_embed': table}
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
  recording = recorded.read('cnn_gnn_base')
  changed = {f'cnn0/{name}': array for name, array in change.items()}
  with pytest.raises(ValueError, match=message):
    inputs_cnn.read_graphs(recording.inputs | changed, recording.config)


def test_a_recording_without_cnns():
  with pytest.raises(ValueError, match="arrays must hold 'cnn0/...'"):
    inputs_cnn.read_graphs({'weights_0': np.zeros(3)}, {})
