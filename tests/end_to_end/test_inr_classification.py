# SPDX-License-Identifier: Apache-2.0
"""The binaries run their smoke configs: train, evaluate, predict, demo."""

import csv
import json

import pytest

from tests.end_to_end import binaries

CONFIGS = binaries.ROOT / 'configs' / 'inr_classification'
# For the others, the modes after training differ in nothing: one with a batch
# norm, one without.
_ALL_MODES = ('gnn', 'mlp')


@pytest.mark.slow
def test_demo(shared, tmp_path):
  done = binaries.call(
    'demo.py',
    '--variant=smoke',
    f'--data_dir={shared / "data"}',
    shared=shared,
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr
  printed = done.stdout.splitlines()
  last = (tmp_path / 'runs/demo/metrics.jsonl').read_text().splitlines()[-1]
  accuracy = json.loads(last)['test_accuracy']
  assert printed[-1] == f'test accuracy: {accuracy:.3f}'
  assert 'What to try next' in done.stdout
  assert (tmp_path / 'runs/demo/pictures/inr_renderings.png').exists()


@pytest.mark.parametrize(
  'model',
  [
    'gnn',
    *(
      pytest.param(name, marks=pytest.mark.slow)
      for name in (
        'transformer',
        'probing',
        'dws',
        'mlp',
        'nfn',
        'statnn',
      )
    ),
  ],
)
def test_train_evaluate_predict(model, shared, tmp_path):
  def run(mode):
    return binaries.succeed(
      'inr_classification.py',
      f'--config={CONFIGS / model}.py:smoke',
      f'--config.data.data_dir={shared / "data"}',
      '--config.log_every=2',
      f'--mode={mode}',
      '--workdir=run',
      shared=shared,
      cwd=tmp_path,
    )

  printed = run('train')
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  last = json.loads(lines[-1])
  assert printed[-1] == f'test accuracy: {last["test_accuracy"]:.3f}'
  steps = [json.loads(line)['step'] for line in lines]
  assert steps == sorted(set(steps))
  config = json.loads((tmp_path / 'run' / 'config.json').read_text())
  assert f'{model}.py' in config['_source']
  assert 'log_every' in config['_source']
  pictures = {path.name for path in (tmp_path / 'run' / 'pictures').iterdir()}
  assert pictures == {
    'learning_curves.png',
    'confusion_matrix.png',
    'inr_renderings.png',
  }
  if model not in _ALL_MODES:
    return
  found = dict(line.split(': ') for line in run('evaluate'))
  assert float(found['test_accuracy']) == last['test_accuracy']
  assert float(found['test_loss']) == pytest.approx(last['test_loss'], rel=1e-5)
  assert int(found['step']) == last['best_step']
  assert run('predict') == ['predictions: run/predictions.csv']
  with (tmp_path / 'run' / 'predictions.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == config['data']['num_test']
  right = [row['label'] == row['prediction'] for row in rows]
  assert sum(right) / len(right) == last['test_accuracy']


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--config=gnn.py:tiny'], "unknown variant 'tiny'"),
    (
      ['--config=gnn.py:smoke', '--config.model.hiden_size=3'],
      'hidden_size',
    ),
    (['--config=gnn.py:smoke', '--config.batch_size=big'], 'batch_size'),
  ],
)
def test_bad_command_lines_say_what_is_wrong(
  arguments, message, shared, tmp_path
):
  arguments[0] = arguments[0].replace('gnn.py', str(CONFIGS / 'gnn.py'))
  done = binaries.call(
    'inr_classification.py',
    *arguments,
    '--workdir=run',
    shared=shared,
    cwd=tmp_path,
  )
  assert done.returncode != 0
  assert message in done.stderr
  assert not (tmp_path / 'run').exists()
