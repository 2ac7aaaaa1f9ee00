# SPDX-License-Identifier: Apache-2.0
"""A record holds all that a workdir says, and nothing of the machine."""

import json
import math
import os

import pytest

from ng_jax.results import collecting
from ng_jax.results import commands
from ng_jax.results import store
from ng_jax.train import provenance
from tests.results import tiny_tables
from tests.train import linear_run
from tests.train import test_failures


@pytest.fixture
def places(tmp_path):
  return tiny_tables.make_places(tmp_path)


def collect(places, workdir, row='ours', **stated):
  table = tiny_tables.make_table()
  return collecting.collect(
    table, table.row(row), workdir, root=places.root, stated=stated
  )


def test_record_of_a_run(places, tmp_path):
  tiny_tables.write_run(tmp_path / 'run', 0.8, seed=1)
  tiny_tables.write_provenance(tmp_path / 'run', 61.0)
  record = collect(places, tmp_path / 'run')
  assert record['row'] == 'ours' and record['seed'] == 1
  assert record['metrics']['test_accuracy'] == 0.8
  assert record['num_parameters'] == 1234 and record['num_steps'] == 10
  assert record['sizes'] == {'train': 10, 'test': 100}
  assert record['seconds'] == 61.0 and record['calls'] == 1
  assert record['standard_errors'] == {'test_accuracy': 0.04}
  assert record['command'] == (
    'python experiments/tiny.py --config=configs/tiny/model.py:ours '
    '--config.seed=1 --config.data.image_dir=FOLDER --workdir=RUN'
  )
  assert record['config']['data'] == {'num_train': 10, 'seed': 4}
  assert 'somewhere' not in json.dumps(record)
  store.add(places.store, record)


def test_facts_may_be_stated_where_the_run_says_nothing(places, tmp_path):
  tiny_tables.write_run(tmp_path / 'run')
  facts = {'hardware': 'two cores', 'seconds': 30.0, 'sizes': {'test': 25}}
  record = collect(places, tmp_path / 'run', **facts)
  assert record['hardware'] == 'two cores'
  assert record['stated'] == ['hardware', 'seconds', 'sizes']
  assert record['standard_errors'] == {'test_accuracy': 0.1}
  with pytest.raises(ValueError, match=r"may be stated, got \['metrics'\]"):
    collect(places, tmp_path / 'run', metrics={})
  tiny_tables.write_provenance(tmp_path / 'run')
  with pytest.raises(ValueError, match=r"'seconds'.* must not be stated"):
    collect(places, tmp_path / 'run', seconds=3.0)


def test_only_finished_runs_of_the_row_are_collected(places, tmp_path):
  with pytest.raises(ValueError, match='has no config.json'):
    collect(places, tmp_path / 'none')
  tiny_tables.write_run(tmp_path / 'run')
  with pytest.raises(ValueError, match="batch_size: 8, not 16\n.*name: 'ours'"):
    collect(places, tmp_path / 'run', row='rival')
  (tmp_path / 'run' / 'metrics.jsonl').write_text('{"step": 3}\n')
  with pytest.raises(ValueError, match="must be finished.*'test_accuracy'"):
    collect(places, tmp_path / 'run')


def test_later_fields_and_places_do_not_matter(places):
  table = tiny_tables.make_table()
  wanted = commands.resolve(table, table.row('ours'), places.root)
  made_with = json.loads(wanted.to_json())
  made_with['data']['data_dir'] = 'elsewhere'
  made_with['seed'] = 5
  assert commands.fingerprint(made_with) == commands.fingerprint(wanted)
  # ng_jax did not have them yet; of fields that all runs have it knows what
  # they were.
  del made_with['model']['sizes']
  wanted = wanted.copy_and_resolve_references()
  with wanted.unlocked():
    wanted.precise_batch_stats = 0
  assert commands.differences(made_with, wanted) == []
  wanted.precise_batch_stats = 8
  assert commands.differences(made_with, wanted) == [
    'precise_batch_stats: 0, not 8'
  ]
  wanted.precise_batch_stats = 0
  made_with['data']['seed'] = 5  # Other data.
  assert commands.differences(made_with, wanted) == ['data.seed: 5, not 4']


def test_only_places_may_be_given(places):
  with pytest.raises(ValueError, match=r"got \['batch_size'\]"):
    commands.find_places({'batch_size': 3}, {'batch_size': '4'})


def test_standard_errors():
  tau = collecting.standard_errors({'test_tau': 0.6}, {'test': 32}, {})
  assert tau == {'test_tau': 0.2}
  config = {'evaluation': {'num_seeds': 5}}
  metrics = {'test_accuracy': 0.8, 'test_std_cnn': 0.02}
  found = collecting.standard_errors(metrics, {'test': 100}, config)
  assert found == {'test_accuracy_cnn': 0.01}


@pytest.mark.parametrize('text', ['/home/me', '--workdir=/tmp/run', '~/run'])
def test_records_name_no_folders(places, text):
  record = tiny_tables.make_record(command=['python', text])
  with pytest.raises(ValueError, match='must not name folders'):
    store.add(places.store, record)


def test_lines_that_are_no_records_are_refused(places):
  path = store.path_of(places.store, 'tiny')
  path.parent.mkdir(parents=True)
  path.write_text('{"row": "ours"}\n')
  with pytest.raises(ValueError, match=r"\['config', 'metrics', 'seed'"):
    store.read(places.store, 'tiny', 'two_cores')


def test_runs_note_where_and_how_long(tmp_path):
  test_failures.run(tmp_path)
  found = provenance.read(tmp_path)
  assert found['calls'] == 1 and found['num_steps'] == 8
  assert found['sizes'] == {'train': linear_run.NUM_EXAMPLES}
  assert found['num_parameters'] == 18
  assert 0 <= found['seconds_preparing'] <= found['seconds']
  assert found['hardware']['devices'] == ['cpu']
  assert found['hardware']['cores'] >= 1 and found['hardware']['cpu']
  assert {'jax', 'flax', 'numpy'} <= set(found['packages'])
  assert math.isfinite(found['seconds'])


def test_calls_add_up(tmp_path):
  before_step = test_failures.Terminated(4)
  with pytest.raises(SystemExit):
    test_failures.run(
      tmp_path, task=linear_run.make_task(before_step=before_step)
    )
  first = provenance.read(tmp_path)['seconds']
  test_failures.run(tmp_path)
  found = provenance.read(tmp_path)
  assert found['calls'] == 2 and found['seconds'] >= first


def test_killed_calls_count_up_to_their_last_metrics(tmp_path):
  path = tmp_path / provenance.FILE
  path.write_text('{"event": "start", "time": 1000.0}\n')
  metrics = tmp_path / 'metrics.jsonl'
  metrics.write_text('')
  os.utime(metrics, (1090.0, 1090.0))
  with provenance.noting(tmp_path):
    pass
  assert 90.0 <= provenance.read(tmp_path)['seconds'] < 120.0
  assert provenance.read(tmp_path / 'other') == {}
