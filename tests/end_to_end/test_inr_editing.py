# SPDX-License-Identifier: Apache-2.0
"""The editing binary runs its smoke configs: train, evaluate, edit."""

import csv
import json

import pytest
import safetensors.numpy

from tests.end_to_end import binaries

CONFIGS = binaries.ROOT / 'configs' / 'inr_editing'
# One with a batch norm, one without.
_ALL_MODES = ('gnn', 'mlp')


@pytest.mark.slow
@pytest.mark.parametrize(
  'model',
  ['dws', 'gnn', 'mlp', 'nfn', 'transformer'],
)
def test_train_evaluate_edit(model, shared, tmp_path):
  def run(mode):
    return binaries.succeed(
      'inr_editing.py',
      f'--config={CONFIGS / model}.py:smoke',
      f'--config.data.data_dir={shared / "data"}',
      f'--mode={mode}',
      '--workdir=run',
      shared=shared,
      cwd=tmp_path,
    )

  printed = run('train')
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  last = json.loads(lines[-1])
  assert printed[-1] == (
    f'test error x 100: {100 * last["test_mse"]:.3f}, without an edit '
    f'{100 * last["no_edit_mse"]:.3f}'
  )
  config = json.loads((tmp_path / 'run' / 'config.json').read_text())
  assert f'{model}.py' in config['_source']
  pictures = {path.name for path in (tmp_path / 'run/pictures').iterdir()}
  assert pictures == {'learning_curves.png', 'edited.png'}
  if model not in _ALL_MODES:
    return
  found = dict(line.split(': ') for line in run('evaluate'))
  for name in ('test_mse', 'no_edit_mse'):
    assert float(found[name]) == pytest.approx(last[name], rel=1e-4)
  assert int(found['step']) == last['best_step']
  assert run('edit') == ['edited networks: run/edited.safetensors']
  edited = safetensors.numpy.load_file(tmp_path / 'run/edited.safetensors')
  assert edited['layer_1/kernel'].shape == (8, 2, 8)
  with (tmp_path / 'run/edited.csv').open(newline='') as file:
    errors = [float(row['mse']) for row in csv.DictReader(file)]
  assert sum(errors) / len(errors) == pytest.approx(last['test_mse'], rel=1e-4)


def test_an_unknown_edit_says_what_is_known(shared, tmp_path):
  done = binaries.call(
    'inr_editing.py',
    f'--config={CONFIGS / "mlp"}.py:smoke',
    '--config.edit=erode',
    '--workdir=run',
    shared=shared,
    cwd=tmp_path,
  )
  assert done.returncode != 0
  assert "unknown image edit 'erode'; expected one of" in done.stderr
  assert not (tmp_path / 'run').exists()
