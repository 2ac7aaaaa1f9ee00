# SPDX-License-Identifier: Apache-2.0
"""A repository with a small table, and runs of it that take no time."""

import json

from ng_jax.meta import records
from ng_jax.results import driving
from ng_jax.results import executing
from ng_jax.results import tables
from ng_jax.train import provenance

_CONFIG = """
import ml_collections

def get_config(variant):
  return ml_collections.ConfigDict({
    'seed': 0,
    'batch_size': 8,
    'compilation_cache': True,
    'data': {'num_train': 10, 'seed': 4, 'data_dir': 'data', 'image_dir': ''},
    'model': {'name': variant, 'sizes': (1, 2)},
  })
"""
ACCURACY = tables.Metric(
  'test_accuracy', 'accuracy, %', scale=100, digits=1, chance=0.1
)


def make_table(*, rows=None, num_seeds=2, metrics=(ACCURACY,), **changes):
  """Two rows of two seeds, a minute each."""
  rows = rows or [
    tables.Row('ours', 'Ours', 'model.py:ours', paper='91.4 ± 0.6'),
    tables.Row('rival', 'Rival', 'model.py:rival', ('batch_size=16',)),
  ]
  texts = {
    'name': 'tiny',
    'variant': 'two_cores',
    'title': 'Tiny',
    'binary': 'tiny',
    'protocol': 'As small as can be.',
  }
  config = tables.make_config(
    metrics=metrics, rows=rows, num_seeds=num_seeds, **(texts | changes)
  )
  return tables.from_config(config)


def make_places(folder):
  """A repository with the config of the table, runs and records beside it."""
  configs = folder / 'root' / 'configs' / 'tiny'
  configs.mkdir(parents=True, exist_ok=True)
  (configs / 'model.py').write_text(_CONFIG)
  return driving.Places(
    root=folder / 'root',
    runs=folder / 'runs',
    store=folder / 'root' / 'docs' / 'results',
    fields={'data_dir': str(folder / 'made')},
  )


def write_run(workdir, accuracy=0.5, *, seed=0, batch_size=8, model='ours'):
  """Writes what a finished run leaves."""
  workdir.mkdir(parents=True, exist_ok=True)
  config = {
    '_source': '/somewhere/model.py',
    'seed': seed,
    'batch_size': batch_size,
    'compilation_cache': False,
    'data': {
      'num_train': 10,
      'seed': 4,
      'data_dir': '/somewhere/data',
      'image_dir': '/somewhere/images',
    },
    'model': {'name': model, 'sizes': [1, 2]},
  }
  (workdir / 'config.json').write_text(json.dumps(config))
  lines = [
    {'step': 5, 'train_loss': 2.0},
    {'step': 10, 'best_step': 5, 'test_accuracy': accuracy},
  ]
  text = ''.join(json.dumps(line) + '\n' for line in lines)
  (workdir / 'metrics.jsonl').write_text(text)


def write_provenance(workdir, seconds=60.0):
  """Writes what a run notes of itself, as one call of so many seconds."""
  path = workdir / provenance.FILE
  hardware = {'cpu': 'A', 'cores': 2, 'devices': ['cpu'], 'num_devices': 1}
  for line in (
    {
      'event': provenance.START,
      'time': 0.0,
      'date': '2026-11-25',
      'python': '3.11.0',
      'packages': {'jax': '0.10.1'},
      'hardware': hardware,
    },
    {
      'event': provenance.READY,
      'seconds': 0.0,
      'sizes': {'train': 10, 'test': 100},
      'num_parameters': 1234,
      'num_steps': 10,
    },
    {'event': provenance.END, 'seconds': seconds},
  ):
    records.append(path, line)


class Machine:
  """Makes runs in no time, on a clock of its own.

  Attributes:
    made: (row, seed) in the order in which they were finished.
    commands: that were asked for.
    seconds: on the clock.
  """

  def __init__(self, *, seconds_per_run=60.0, codes=None):
    self.made = []
    self.commands = []
    self.seconds = 0.0
    self._seconds_per_run = seconds_per_run
    self._codes = codes or {}
    self._done = {}

  def clock(self):
    return self.seconds

  def execute(self, arguments, workdir, seconds):
    """Works until the run or the time is over; goes on where it stopped."""
    self.commands.append(list(arguments))
    row, seed = workdir.parts[-2:]
    if '--mode=check' in arguments:
      (workdir / 'check.json').write_text('{"checked": 0.25}')
      return 0
    code = self._codes.get(f'{row}/{seed}', 0)
    if code:
      return code
    left = self._seconds_per_run - self._done.get(workdir, 0.0)
    worked = min(left, seconds)
    self.seconds += worked
    self._done[workdir] = self._done.get(workdir, 0.0) + worked
    if worked < left:
      return executing.STOPPED
    options = {'batch_size': 16} if row == 'rival' else {}
    write_run(workdir, model=row, seed=int(seed), **options)
    write_provenance(workdir, self._seconds_per_run)
    self.made.append(f'{row}/{seed}')
    return 0


def run(table, places, machine, *, minutes=10.0, rows=()):
  """Calls the driver on a machine."""
  return driving.run_missing(
    table,
    places,
    minutes=minutes,
    rows=rows,
    execute=machine.execute,
    clock=machine.clock,
  )


def make_record(row='ours', seed=0, accuracy=0.9, **facts):
  """A record as the store has it."""
  config = {
    'seed': seed,
    'batch_size': 16 if row == 'rival' else 8,
    'data': {'num_train': 10, 'seed': 4},
    'model': {'name': row, 'sizes': [1, 2]},
  }
  return {
    'table': 'tiny',
    'variant': 'two_cores',
    'row': row,
    'seed': seed,
    'config': config,
    'metrics': {'test_accuracy': accuracy},
    **facts,
  }
