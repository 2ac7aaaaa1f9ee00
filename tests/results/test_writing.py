# SPDX-License-Identifier: Apache-2.0
"""Tables and plots are made from records, RESULTS.md among them."""

import functools
import pathlib

import pytest

from ng_jax import plots
from ng_jax.results import command_line
from ng_jax.results import commands
from ng_jax.results import markdown
from ng_jax.results import store
from ng_jax.results import tables
from ng_jax.results import writing
from tests.results import tiny_tables

_ROOT = pathlib.Path(__file__).parents[2]
_TABLES = sorted(path.stem for path in (_ROOT / 'configs/results').glob('*.py'))


def write(*records, **changes):
  table = tiny_tables.make_table(**changes)
  found = {(record['row'], record['seed']): record for record in records}
  return markdown.write(table, found).splitlines()


def test_rows_without_records_say_what_they_cost():
  lines = write()
  assert (
    lines[2] == '| Ours | not run: about 1 min, `--rows=ours` | 91.4 ± 0.6 |'
  )
  assert '4 of 4 runs are missing, about 4 min on two CPU cores:' in lines
  assert any('--config=configs/results/tiny.py:two_cores' in x for x in lines)


def test_seeds_are_averaged_and_rows_ranked():
  lines = write(
    *(tiny_tables.make_record('ours', i, 0.8 + 0.02 * i) for i in range(3)),
    tiny_tables.make_record('rival', 0, 0.9, seconds=90.0),
    num_seeds=3,
  )
  assert lines[0].startswith('| method | accuracy, % | place | seeds | minutes')
  assert lines[2] == '| Ours | 82.0 ± 2.0 | 2 | 3 |  | 91.4 ± 0.6 |'
  assert lines[3] == '| Rival | 90.0 | 1 | 1 | 1.5 |  |'


def test_rows_near_chance_are_not_ranked():
  lines = write(
    tiny_tables.make_record('ours', 0, 0.14),
    tiny_tables.make_record('rival', 0, 0.16),
    num_seeds=1,
  )
  assert lines[2].startswith('| Ours | not trained (14.0) |')
  assert lines[3].startswith('| Rival | 16.0 |')
  assert 'place' not in lines[0]  # Nothing is left to compare.


def test_rows_of_other_data_are_ranked_apart():
  rows = [
    tables.Row('a', 'A', 'model.py:a', data='easy'),
    tables.Row('b', 'B', 'model.py:b', data='hard'),
    tables.Row('c', 'C', 'model.py:c', data='easy'),
  ]
  lines = write(
    tiny_tables.make_record('a', 0, 0.6),
    tiny_tables.make_record('b', 0, 0.9),
    tiny_tables.make_record('c', 0, 0.7),
    rows=rows,
    num_seeds=1,
  )
  places = [line.split('|')[4].strip() for line in lines[2:5]]
  assert places == ['2', '', '1']


def test_lower_may_be_better_and_chance_another_metric():
  metric = tables.Metric(
    'mse', 'error', higher_is_better=False, chance='no_edit'
  )
  found = [
    tiny_tables.make_record('ours') | {'metrics': {'mse': m, 'no_edit': 1.0}}
    for m in (0.96,)
  ] + [tiny_tables.make_record('rival') | {'metrics': {'mse': 0.5}}]
  lines = write(*found, metrics=[metric], num_seeds=1)
  assert lines[2].startswith('| Ours | not trained (0.960) |')
  assert lines[3].startswith('| Rival | 0.500 |')


def test_one_seed_shows_its_spread_and_what_it_was_measured_with():
  metric = tables.Metric('test_accuracy', 'accuracy', spread='std')
  record = tiny_tables.make_record(
    date='2026-11-25',
    hardware={
      'cpu': 'Fast 1000',
      'cores': 2,
      'devices': ['cpu'],
      'num_devices': 1,
    },
    packages={'jax': '0.10.1'},
    sizes={'test': 100, 'train': 1000},
    standard_errors={'test_accuracy': 0.03},
    num_parameters=4321,
    operations_per_network=5e6,
  )
  record['metrics']['std'] = 0.02
  lines = write(record, metrics=[metric], num_seeds=1)
  assert lines[2].startswith('| Ours | 4,321 | 5,000,000 | 0.900 ± 0.020 |')
  assert 'Measured: 2026-11-25; Fast 1000, 2 cores; jax 0.10.1.' in lines
  (protocol,) = (line for line in lines if line.startswith('As small'))
  assert '1,000 train / 100 test' in protocol and 'at most 0.030' in protocol


def test_text_around_the_tables_stays(tmp_path):
  places = tiny_tables.make_places(tmp_path)
  store.add(places.store, tiny_tables.make_record())
  text = (
    'Before.\n\n<!-- table: tiny:two_cores -->\nold\n<!-- end of table -->\n'
    '\nAfter.\n'
  )
  find = lambda name, variant: tiny_tables.make_table()  # noqa: E731
  new = writing.write_tables(text, find, places)
  assert new.startswith('Before.\n\n<!-- table: tiny:two_cores -->\n\n| method')
  assert new.endswith('<!-- end of table -->\n\nAfter.\n') and 'old' not in new
  assert '![Tiny](docs/results/tiny_two_cores.png)' in new
  assert writing.write_tables(new, find, places) == new
  (path,) = writing.write_plots([tiny_tables.make_table()], places)
  assert path.read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('Nothing.', 'must hold a marker'),
    ('<!-- table: tiny:two_cores -->\n', 'must end with <!-- end of table'),
  ],
)
def test_markers_are_checked(text, message, tmp_path):
  places = tiny_tables.make_places(tmp_path)
  with pytest.raises(ValueError, match=message):
    writing.write_tables(text, tiny_tables.make_table, places)


def test_a_figure_needs_dots():
  with pytest.raises(ValueError, match='at least one dot'):
    plots.dots([])


def test_a_figure_has_room_for_its_words():
  note = 'bars: standard deviation over seeds; of one seed, standard error'
  label = 'NG-GNN, activations unknown, mixed architectures'
  figure = plots.dots(
    [plots.Dot(label, 0.5, 0.1, (0.4, 0.6))], title='Title', note=note
  )
  plots.to_array(figure)  # Lays it out.
  texts = [*figure.axes[0].get_yticklabels(), *figure.texts]
  texts += [figure.axes[0].xaxis.label]
  assert {label, note} <= {text.get_text() for text in texts}
  width = figure.bbox.width
  for text in texts:
    box = text.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= width, text.get_text()


def test_results_are_generated():
  """The tables of RESULTS.md are what the records say, and cannot be typed."""
  call = command_line.Call(root=_ROOT, runs='runs')
  text = (_ROOT / command_line.REPORT).read_text(encoding='utf-8')
  find = functools.partial(command_line.find_table, _ROOT)
  assert writing.write_tables(text, find, call.places) == text, (
    'run: python experiments/results.py --mode=write'
  )
  for name, variant in writing.list_markers(text):
    picture = writing.picture_of(find(name, variant), call.places.store)
    linked = picture.relative_to(_ROOT).as_posix() in text
    assert picture.exists() == linked


@pytest.mark.parametrize('name', _TABLES)
@pytest.mark.parametrize('variant', ['two_cores', 'paper', 'smoke'])
def test_every_row_is_a_config(name, variant):
  table = command_line.find_table(_ROOT, name, variant)
  assert (table.name, table.variant) == (name, variant)
  assert (_ROOT / 'experiments' / f'{table.binary}.py').exists()
  found = [
    commands.fingerprint(commands.resolve(table, row, _ROOT))
    for row in table.rows
  ]
  assert len(set(found)) == len(found)  # No row is there twice.


def test_unknown_tables_and_variants_are_refused():
  with pytest.raises(ValueError, match="unknown config 'his'.*inr_editing"):
    command_line.find_table(_ROOT, 'his', 'paper')
  with pytest.raises(ValueError, match="unknown variant 'his'.*'two_cores'"):
    command_line.find_table(_ROOT, 'inr_editing', 'his')


def test_costs_and_collecting_need_a_row(tmp_path):
  places = tiny_tables.make_places(tmp_path)
  call = command_line.Call(
    places.root, str(places.runs), str(places.store), image_dir='images'
  )
  table = tiny_tables.make_table(num_seeds=1)
  first, _, last = call.list_costs(table, [])
  assert first.startswith('ours/0: 1.5 minutes (estimated): python experiments')
  assert f'--config.data.image_dir={pathlib.Path("images").resolve()}' in first
  assert last == '2 runs, 3 minutes on two CPU cores'
  with pytest.raises(ValueError, match='needs --run=<its workdir>'):
    call.collect(table, ['ours'], None, {})
  tiny_tables.write_run(tmp_path / 'run')
  said = call.collect(table, ['ours'], str(tmp_path / 'run'), {})
  assert said == 'tiny:two_cores ours/0: test_accuracy 0.5000'
  assert len(call.list_costs(table, [])) == 2
