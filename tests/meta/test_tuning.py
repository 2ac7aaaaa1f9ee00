# SPDX-License-Identifier: Apache-2.0
"""Tests of tuned Adam: the grid, the choice, and going on after a kill."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ng_jax import meta
from ng_jax.meta import measuring
from ng_jax.meta import optimizees
from ng_jax.meta import records
from ng_jax.meta import tuning
from tests.meta import tiny_pixels

_TASK = meta.Task('tiny', optimizees.Mlp((36, 5, 4)), batch_size=8)
_SPLITS = meta.Splits(
  tiny_pixels.draw(28),
  tiny_pixels.draw(20, seed=1),
  tiny_pixels.draw(20, seed=2),
  'tiny',
)
_GRID = tuning.make_grid((1e-5, 3e-2, 1e-1), (0.0, 1e-3))[:6]


def _tune(path, settings=_GRID, **options):
  options = {'num_steps': 30, 'test_every': 15, 'seeds': (5, 6)} | options
  return meta.tune_adam(_TASK, _SPLITS, path, settings=settings, **options)


def test_the_grid_has_both_decays():
  grid = tuning.GRID
  assert len(grid) == len(set(grid)) == 35
  assert tuning.AdamSetting(3e-3, 1e-4, 'decoupled') in grid
  assert tuning.AdamSetting() in grid
  assert not [s for s in grid if not s.weight_decay and s.decay != 'coupled']


@pytest.mark.parametrize(
  'setting, expected',
  [
    (tuning.AdamSetting(1e-2), optax.adam(1e-2)),
    (
      tuning.AdamSetting(1e-2, 0.1, 'decoupled'),
      optax.adamw(1e-2, weight_decay=0.1),
    ),
    (
      tuning.AdamSetting(1e-2, 0.1, 'coupled'),
      optax.chain(optax.add_decayed_weights(0.1), optax.adam(1e-2)),
    ),
  ],
  ids=['plain', 'decoupled', 'coupled'],
)
def test_updates_are_those_of_optax(setting, expected):
  params = {'w': jnp.array([1.0, -2.0, 0.5])}
  grads = {'w': jnp.array([0.1, 0.3, -0.2])}
  found = tuning.adam(setting.theta)
  state, other = found.init(params), expected.init(params)
  for _ in range(2):
    update, state = found.update(grads, state, params)
    reference, other = expected.update(grads, other, params)
    np.testing.assert_allclose(update['w'], reference['w'], rtol=1e-6)


def test_the_best_is_chosen_on_the_hold_out(tmp_path):
  path = tmp_path / 'results' / 'adam.jsonl'
  tuned = _tune(path)
  assert set(tuned.grid) == set(_GRID)
  ranked = sorted(tuned.grid, key=lambda s: (-tuned.grid[s], s))
  assert set(tuned.finals) == {*ranked[:3], tuning.AdamSetting()}
  means = {
    setting: np.mean([runs[-1] for runs in record['accuracy']['hold_out']])
    for setting, record in tuned.finals.items()
  }
  assert means[tuned.best] == max(means.values())
  assert tuned.grid[tuned.best] > tuned.grid[tuning.AdamSetting(1e-5)]
  record = tuned.finals[tuned.best]
  assert np.shape(record['accuracy']['test']) == (2, 2)
  assert record['seconds_per_step'] > 0
  assert len(records.read(path)) == len(_GRID) + len(tuned.finals)
  names = [r['optimizer'] for r in tuning.for_report(tuned)]
  assert names == [tuning.TUNED, tuning.UNTUNED]


def test_a_killed_run_goes_on(tmp_path, monkeypatch):
  path = tmp_path / 'adam.jsonl'
  settings = _GRID[:2]
  whole = _tune(path, settings)
  lines = path.read_text().splitlines(keepends=True)
  assert len(lines) == 5
  # Killed while its fourth line was written.
  path.write_text(''.join(lines[:3]) + lines[3][:40])
  made = []
  evaluate = measuring.evaluation.evaluate

  def count(*args, **options):
    made.append(args)
    return evaluate(*args, **options)

  monkeypatch.setattr(measuring.evaluation, 'evaluate', count)
  again = _tune(path, settings)
  assert len(made) == 2
  assert again.best == whole.best and again.grid == whole.grid
  for setting, record in whole.finals.items():
    assert again.finals[setting]['accuracy'] == record['accuracy']
  assert len(records.read(path)) == 5
  _tune(path, settings)
  assert len(made) == 2
  # Other steps are other results.
  _tune(path, settings[:1], num_steps=15)
  assert len(made) == 5


def test_errors_name_the_rule(tmp_path):
  with pytest.raises(ValueError, match='settings must hold at least one'):
    _tune(tmp_path / 'adam.jsonl', ())
  with pytest.raises(ValueError, match="unknown decay 'cosine'"):
    tuning.AdamSetting(decay='cosine')
  with pytest.raises(ValueError, match='learning_rate must be above 0'):
    tuning.AdamSetting(learning_rate=0.0)
  path = tmp_path / 'broken.jsonl'
  path.write_text('{"task": 1}\nnot json\n')
  with pytest.raises(ValueError, match="line 2 is 'not json'"):
    records.read(path)


def test_records_survive_an_incomplete_line(tmp_path):
  path = tmp_path / 'records.jsonl'
  assert records.read(path) == []
  records.append(path, {'a': 1})
  with path.open('a') as file:
    file.write('{"a": 2')
  assert records.read(path) == [{'a': 1}]
  records.append(path, {'a': 3})
  assert records.read(path) == [{'a': 1}, {'a': 3}]
  with pytest.raises(ValueError, match='JSON compliant'):
    records.append(path, {'a': float('nan')})


def test_one_program_serves_the_whole_grid():
  shapes = {
    str(jax.tree.map(jnp.shape, setting.theta)) for setting in tuning.GRID
  }
  assert len(shapes) == 1
