# SPDX-License-Identifier: Apache-2.0
"""The binaries of CNN zoos run their smoke configs."""

import csv
import json

import pytest

import ng_jax
from ng_jax.data import cnn_zoo
from tests.end_to_end import binaries

CONFIGS = binaries.ROOT / 'configs'
# One that reads graphs, one that reads statistics.
_ALL_MODES = ('gnn', 'statnn')


@pytest.fixture(scope='module')
def made(shared):
  """The smoke zoo, made by two processes one after the other."""
  config = CONFIGS / 'make_cnn_zoo' / 'wild_park.py'
  return [
    binaries.call(
      'make_cnn_zoo.py',
      f'--config={config}:smoke',
      f'--workdir={shared / "data"}',
      f'--process_index={index}',
      '--num_processes=2',
      shared=shared,
      cwd=shared,
    )
    for index in (0, 1)
  ]


@pytest.mark.slow
def test_two_processes_make_a_zoo(made, shared):
  first, second = made
  assert first.returncode == 0, first.stderr
  assert '0 of 4 units found, 4 to train' in first.stderr
  assert first.stdout.endswith('waiting for the other processes\n')
  assert second.returncode == 0, second.stderr
  (path,) = (shared / 'data').iterdir()
  zoo = cnn_zoo.load(path)
  counts = {name: len(split) for name, split in zoo.splits.items()}
  assert counts == {'train': 18, 'validation': 3, 'test': 3}
  assert second.stdout.startswith(f'{path}: {counts}, median accuracy ')


def evaluate_and_predict(run, last, tmp_path):
  found = dict(line.split(': ') for line in run('evaluate'))
  assert float(found['test_tau']) == pytest.approx(last['test_tau'], rel=1e-5)
  assert run('predict') == ['predictions: run/predictions.csv']
  with (tmp_path / 'run' / 'predictions.csv').open(newline='') as file:
    assert len(list(csv.DictReader(file))) == 3


@pytest.mark.parametrize(
  ('model', 'variant'),
  [
    *(
      pytest.param(name, 'smoke', marks=pytest.mark.slow)
      for name in ('gnn', 'transformer', 'statnn', 'nfn')
    ),
    pytest.param('nfn', 'smoke+np', marks=pytest.mark.repeated),
  ],
)
def test_train_evaluate_predict(model, variant, made, shared, tmp_path):
  def run(mode):
    done = binaries.call(
      'cnn_generalization.py',
      f'--config={CONFIGS / "cnn_generalization" / model}.py:smoke',
      f'--config.data.data_dir={shared / "data"}',
      f'--mode={mode}',
      '--workdir=run',
      shared=shared,
      cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()

  printed = run('train')
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  last = json.loads(lines[-1])
  assert printed[-1] == (
    f'test tau: {last["test_tau"]:.3f}, R2: {last["test_r2"]:.3f}'
  )
  if variant == 'smoke+np':
    return  # Nothing is new after training.
  if model in _ALL_MODES:
    evaluate_and_predict(run, last, tmp_path)
  assert run('export') == ['model: run/model']
  exported = ng_jax.load_pretrained(tmp_path / 'run' / 'model')
  assert exported.details['scores']['test_tau'] == pytest.approx(
    last['test_tau'], rel=1e-5
  )


def test_unknown_variants_are_listed(shared, tmp_path):
  done = binaries.call(
    'make_cnn_zoo.py',
    f'--config={CONFIGS / "make_cnn_zoo" / "wild_park.py"}:huge',
    '--workdir=zoo',
    shared=shared,
    cwd=tmp_path,
  )
  assert done.returncode != 0
  assert "unknown variant 'huge'; expected one of" in done.stderr
  assert not (tmp_path / 'zoo').exists()
