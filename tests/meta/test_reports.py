# SPDX-License-Identifier: Apache-2.0
"""Tests of tables and curves of evaluations."""

import numpy as np
import pytest

from ng_jax import plots
from ng_jax.meta import reports
from ng_jax.meta import tuning


def _record(optimizer, task='cifar10_cnn', **more):
  return {
    'task': task,
    'optimizer': optimizer,
    'data': 'CIFAR-10',
    'num_train': 50_000,
    'num_steps': 200,
    'batch_size': 128,
    'seconds_per_step': 0.0123,
    'seeds': [101, 102],
    'steps': [100, 200],
    'accuracy': {'test': [[0.3, 0.5], [0.4, 0.6]]},
    'loss': {'test': [[2.0, 1.0], [2.0, 1.0]]},
    'train_loss': [[2.1, 1.2], [2.2, 1.1]],
    'frozen_at': [-1, -1],
    'seconds': 3.0,
    'compile_seconds': 1.0,
    **more,
  }


def test_the_table_has_tuned_adam_first():
  found = reports.make_table(
    [
      _record('ng_gnn', accuracy={'test': [[0.3, 0.7], [0.4, 0.7]]}),
      _record(tuning.TUNED),
      _record(tuning.TUNED, 'cifar10_vit', seconds_per_step=None),
    ]
  )
  assert found.splitlines() == [
    '| optimizer | cifar10_cnn, 200 steps | ms a step | '
    'cifar10_vit, 200 steps | ms a step |',
    '| --- | ---: | ---: | ---: | ---: |',
    '| Adam (tuned) | 55.00 ± 5.00 | 12.3 | 55.00 ± 5.00 |  |',
    '| ng_gnn | 70.00 ± 0.00 | 12.3 |  |  |',
    '',
    'cifar10_cnn, 200 steps: 2 seeds, mean ± population standard deviation; '
    '50,000 training images, batches of 128.',
    'cifar10_vit, 200 steps: 2 seeds, mean ± population standard deviation; '
    '50,000 training images, batches of 128.',
  ]


def test_runs_that_were_frozen_are_counted():
  found = reports.make_table(
    [_record(tuning.TUNED), _record('ff', frozen_at=[-1, 17])]
  )
  assert '| ff | 55.00 ± 5.00 (1 of 2 not finite) | 12.3 |' in found


def test_a_subset_has_a_column_of_its_own():
  subset = 'CIFAR-10 subset, 5,085 train images'
  records = [_record(tuning.TUNED), _record(tuning.TUNED, data=subset)]
  head = reports.make_table(records).splitlines()[0]
  assert f'cifar10_cnn ({subset}), 200 steps' in head
  assert head.count('ms a step') == 2


def test_curves_show_means_and_deviations():
  pytest.importorskip('matplotlib')
  figure = reports.draw_curves(
    [_record('ff', train_loss=[[2.1, None], [2.2, 1.1]]), _record(tuning.TUNED)]
  )
  accuracy, _ = figure.axes
  assert [line.get_label() for line in accuracy.lines] == [tuning.TUNED, 'ff']
  np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [35.0, 55.0])
  band = accuracy.collections[0].get_paths()[0].vertices
  np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [30.0, 60.0])
  assert figure.get_suptitle() == 'cifar10_cnn, 200 steps'
  picture = plots.to_array(figure)
  assert picture.ndim == 3 and picture.std() > 0


def test_errors_name_the_rule():
  with pytest.raises(ValueError, match='at least one evaluation, got none'):
    reports.make_table([])
  with pytest.raises(ValueError, match=r"baseline 'Adam \(tuned\)' is missing"):
    reports.make_table([_record('ff')])
  with pytest.raises(ValueError, match="no accuracy on 'hold_out'"):
    reports.make_table([_record(tuning.TUNED)], held='hold_out')
  records = [_record(tuning.TUNED), _record(tuning.TUNED, 'cifar10_vit')]
  with pytest.raises(ValueError, match='records must be of one task'):
    reports.draw_curves(records)
