# SPDX-License-Identifier: Apache-2.0
"""The driver makes what is missing, in order, within its budget."""

import json

import pytest

from ng_jax.results import executing
from ng_jax.results import scheduling
from ng_jax.results import store
from ng_jax.results import tables
from tests.results import tiny_tables

ALL = ['ours/0', 'rival/0', 'ours/1', 'rival/1']


@pytest.fixture
def places(tmp_path):
  return tiny_tables.make_places(tmp_path)


def names(places):
  found = store.read(places.store, 'tiny', 'two_cores')
  return [f'{row}/{seed}' for row, seed in found]


def test_one_seed_of_every_row_comes_first(places):
  table, machine = tiny_tables.make_table(), tiny_tables.Machine()
  report = tiny_tables.run(table, places, machine)
  assert report.finished == machine.made == names(places) == ALL
  assert not (report.missing or report.failed or report.stopped)
  assert tiny_tables.run(table, places, machine).finished == []


def test_commands_are_those_of_the_binary(places):
  table, machine = tiny_tables.make_table(), tiny_tables.Machine()
  tiny_tables.run(table, places, machine, rows=['rival'])
  workdir = places.runs / 'tiny-two_cores' / 'rival' / '1'
  assert machine.commands[1] == [
    'experiments/tiny.py',
    '--config=configs/tiny/model.py:rival',
    '--config.batch_size=16',
    '--config.seed=1',
    f'--config.data.data_dir={places.fields["data_dir"]}',
    f'--workdir={workdir}',
  ]
  assert len(machine.commands) == 2


def test_runs_that_do_not_fit_are_not_started(places):
  table = tiny_tables.make_table()
  machine = tiny_tables.Machine()
  report = tiny_tables.run(table, places, machine, minutes=3.6)
  assert report.finished == ALL[:3]  # Each is 1.5 minutes with its start.
  assert report.missing == ALL[3:]
  assert not report.stopped
  assert tiny_tables.run(table, places, machine).finished == ALL[3:]


def test_measured_minutes_replace_the_estimate(places):
  table = tiny_tables.make_table()
  machine = tiny_tables.Machine(seconds_per_run=240.0)
  report = tiny_tables.run(table, places, machine, minutes=12.0)
  # After two runs of 4 minutes, 4 are left, and the third would take 4.5.
  assert report.finished == ALL[:2]


def test_a_long_run_is_made_in_parts(places):
  rows = [tables.Row('ours', 'Ours', 'model.py:ours', minutes=10)]
  table = tiny_tables.make_table(rows=rows, num_seeds=1)
  machine = tiny_tables.Machine(seconds_per_run=600.0)
  for _ in range(3):
    report = tiny_tables.run(table, places, machine, minutes=3)
    assert report.stopped == ['ours/0']
  assert tiny_tables.run(table, places, machine, minutes=3).finished


def test_begun_runs_come_first_and_cost_less(places):
  table = tiny_tables.make_table()
  folder = places.folder(table)
  workdir = folder / 'rival' / '1'
  tiny_tables.write_run(workdir)
  tiny_tables.write_provenance(workdir)
  (workdir / 'metrics.jsonl').write_text('{"step": 4}\n')
  pending = scheduling.list_pending(table, {}, folder)
  assert [run.name for run in pending] == ['rival/1', *ALL[:3]]
  assert pending[0].minutes == pytest.approx(0.6 + 0.5)
  assert pending[1].minutes == 1.5


def test_short_runs_are_preferred_to_parts():
  row = tables.Row('long', 'Long', 'model.py:long')
  long = scheduling.Pending(row, 0, 30.0, measured=False, begun=False)
  short = scheduling.Pending(row, 1, 4.0, measured=False, begun=False)
  choose = scheduling.choose
  assert choose([long, short], minutes_left=9, budget=10) is short
  assert choose([long], minutes_left=9, budget=10) is long
  assert choose([long], minutes_left=9, budget=40) is None
  assert choose([long], minutes_left=1, budget=10) is None
  assert choose([], minutes_left=9, budget=10) is None


def test_finished_runs_without_a_record_are_collected(places):
  table = tiny_tables.make_table()
  tiny_tables.write_run(places.folder(table) / 'ours' / '0')
  machine = tiny_tables.Machine()
  report = tiny_tables.run(table, places, machine)
  assert sorted(report.finished) == sorted(ALL)
  assert machine.made == ALL[1:]  # As after kill -9 of the driver.


def test_failed_and_busy_runs_do_not_stop_the_others(places):
  table = tiny_tables.make_table()
  codes = {'ours/0': 1, 'rival/0': executing.BUSY}
  log = places.folder(table) / 'ours' / '0' / executing.LOG
  log.parent.mkdir(parents=True)
  log.write_text('ValueError: what was wrong\n')
  machine = tiny_tables.Machine(codes=codes)
  report = tiny_tables.run(table, places, machine)
  assert report.failed == {'ours/0': 'left with 1:\nValueError: what was wrong'}
  assert report.busy == ['rival/0']
  assert report.finished == ALL[2:]
  assert report.missing == ALL[:2]


def test_a_run_of_other_settings_fails(places):
  table = tiny_tables.make_table()
  tiny_tables.write_run(places.folder(table) / 'ours' / '0', batch_size=4)
  report = tiny_tables.run(table, places, tiny_tables.Machine())
  assert 'batch_size: 4, not 8' in report.failed['ours/0']


def test_records_of_former_settings_do_not_count(places):
  table, machine = tiny_tables.make_table(), tiny_tables.Machine()
  record = tiny_tables.make_record()
  record['config']['batch_size'] = 4
  store.add(places.store, record)
  assert tiny_tables.run(table, places, machine).finished == ALL


def test_modes_follow_the_training(places):
  checked = tables.Metric('checked', 'checked')
  table = tiny_tables.make_table(
    modes=['check'], metrics=[tiny_tables.ACCURACY, checked], num_seeds=1
  )
  tiny_tables.write_run(places.folder(table) / 'ours' / '0')  # And killed.
  machine = tiny_tables.Machine()
  tiny_tables.run(table, places, machine)
  first, second, third = machine.commands
  assert first[-1] == third[-1] == '--mode=check'
  assert third[:-1] == second and machine.made == ['rival/0']
  found = store.read(places.store, 'tiny', 'two_cores')
  assert [r['metrics']['checked'] for r in found.values()] == [0.25, 0.25]


def test_unknown_rows_are_refused(places):
  with pytest.raises(ValueError, match="unknown row 'his'.*'ours', 'rival'"):
    tiny_tables.run(
      tiny_tables.make_table(), places, tiny_tables.Machine(), rows=['his']
    )


def test_rows_must_set_fields_that_exist(places):
  rows = [tables.Row('ours', 'Ours', 'model.py:ours', ('data.num_trian=3',))]
  table = tiny_tables.make_table(rows=rows)
  with pytest.raises(ValueError, match="got 'data.num_trian=3'"):
    tiny_tables.run(table, places, tiny_tables.Machine())


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'num_seeds': 0}, 'must have rows, metrics and seeds'),
    ({'name': 'Tiny table'}, r"'_', got \['Tiny table'\]"),
    (
      {'rows': [tables.Row('a', 'A', 'm.py:a'), tables.Row('a', 'B', 'm.py')]},
      'must have a name of its own',
    ),
  ],
)
def test_tables_are_checked(changes, message):
  with pytest.raises(ValueError, match=message):
    tiny_tables.make_table(**changes)


def test_records_are_whole_lines(places):
  tiny_tables.run(tiny_tables.make_table(), places, tiny_tables.Machine())
  path = store.path_of(places.store, 'tiny')
  text = path.read_text()
  path.write_text(text + text.splitlines()[0][:40])  # Killed while it wrote.
  assert names(places) == ALL
  store.add(places.store, tiny_tables.make_record(seed=7))
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  assert [line['seed'] for line in lines] == [0, 0, 1, 1, 7]
