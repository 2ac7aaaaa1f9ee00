# SPDX-License-Identifier: Apache-2.0
"""Every model equals recordings of the official implementation.

Predictions, updates and gradients of all official classes, from their
configuration and state alone. In parity mode ours depend on the batch as the
reference does; by default they equal the reference run on one graph at a time.
"""

import jax
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax.models.official import recordings
from tests import repeats
from tests.models import readers
from tests.models import recorded

# Together these reach every line; the others are slow, all in all.
_QUICK = (
  'cnn_gnn_rev_linsep',
  'cnn_rt_linsep',
  'dws_cls_long_ds',
  'dynamic_stat_net',
  'edit_gnn_rev',
  'edit_rt_probe',
  'inr_gnn_concat_edges',
  'inr_gnn_probe',
  'inr_rt_rev',
  'nfn_np_normalize',
  'nfn_transfer',
  'onfn_hnp',
  'stat_net',
)
_QUICK_GRADIENTS = (
  'edit_rt_probe',
  'inr_gnn_concat_edges',
  'onfn_hnp',
  'stat_net',
)
_IN_FLOAT64 = tuple(name for name in recorded.CASES if name != 'stat_net')
# The reference normalises over a whole batch and attends to padding; run on one
# graph at a time, it is our default.
_ALONE = tuple(
  name for name in recorded.CASES if recorded.arrays(name, 'out64_single/')
)


def test_all_recordings_are_here():
  assert len(recorded.CASES) == 52
  assert len(_ALONE) == 20
  found = {
    recorded.read(name).config['model']['_target_'] for name in recorded.CASES
  }
  assert found == set(recordings.READERS)
  assert set(_QUICK_GRADIENTS) < set(_QUICK) < set(recorded.CASES)


def _segments(case, graph):
  """Outputs of the same graphs in the general layout."""
  result = case.model.apply(case.variables, graphs.flatten(graph))
  if case.name.endswith('_edit'):
    result = graphs.decode(graph.edges['weight'].topology, result)
  return case.reader.name_outputs(result)


@pytest.mark.parametrize('name', repeats.cases(_IN_FLOAT64, quick=_QUICK))
def test_float64_outputs(x64, name):
  # What float32 cannot see: epsilons, floors of standard deviations.
  case = recorded.build(name, np.float64)
  has_two_paths = (
    case.name.removesuffix('_edit') in readers.GRAPH_MODELS
    and isinstance(case.argument.edges['weight'], graphs.EdgeBlocks)
    and not getattr(case.model, 'biases_from_start', False)
  )

  def run(variables, graph):
    found = {
      'whole': case.reader.name_outputs(case.model.apply(variables, graph))
    }
    if has_two_paths:
      found['segments'] = _segments(case, graph)
    if name in _ALONE:
      model = case.model.copy(**recorded.ALONE[case.name])
      alone = model.apply(variables, graph)
      found['alone'] = case.reader.name_outputs(alone)
    return found

  found = jax.jit(run)(case.variables, case.argument)
  assert {x.dtype for x in jax.tree.leaves(found)} == {np.dtype(np.float64)}
  recorded.assert_close(found['whole'], recorded.arrays(name, 'out64/'), 1e-7)
  if has_two_paths:
    recorded.assert_close(found['segments'], found['whole'], 1e-10)
  if name in _ALONE:
    expected = recorded.arrays(name, 'out64_single/')
    recorded.assert_close(found['alone'], expected, 1e-7)


@pytest.mark.parametrize(
  'name',
  repeats.cases(recorded.CASES, quick=_QUICK_GRADIENTS),
)
def test_float32_outputs_and_gradients(name):
  recorded.check_float32(name)


_SEGMENT_GRADIENTS = tuple(
  f'inr_{model}_{suffix}'
  for model in ('gnn', 'rt')
  for suffix in ('base', 'rev', 'probe')
)


@pytest.mark.parametrize(
  'name',
  repeats.cases(_SEGMENT_GRADIENTS, quick=('inr_rt_rev',)),
)
def test_float32_gradients_by_segments(name):
  recorded.check_float32(name, view=graphs.flatten)


@pytest.mark.parametrize(
  'name',
  [
    'inr_gnn_base',
    pytest.param('cnn_gnn_base', marks=pytest.mark.repeated),
    pytest.param('cnn_rt_base', marks=pytest.mark.repeated),
  ],
)
def test_float32_gradients_of_graphs_alone(name):
  kind = 'ng_t' if name.startswith('cnn_rt') else 'ng_gnn'
  recorded.check_float32(name, suffix='_single', **recorded.ALONE[kind])


def test_reading_biases_from_the_start_changes_biases_only(x64):
  official = recorded.arrays('edit_gnn_base', 'out64/')
  fixed = recorded.arrays('edit_gnn_base_fixed', 'out64/')
  assert recorded.build('edit_gnn_base', np.float64).model.biases_from_start
  case = recorded.build('edit_gnn_base', np.float64, biases_from_start=False)
  update = jax.jit(case.model.apply)(case.variables, case.argument)
  recorded.assert_close(recordings.name_updates(update), fixed, 1e-7)
  for key in official:
    same = np.allclose(official[key], fixed[key], rtol=1e-6)
    assert same == key.startswith('weights')
