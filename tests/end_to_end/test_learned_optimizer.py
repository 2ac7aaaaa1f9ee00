# SPDX-License-Identifier: Apache-2.0
"""The binary meta-trains, measures and tunes with its smoke configs."""

import json

import pytest

from ng_jax import optimizers
from ng_jax.meta import records
from tests.end_to_end import binaries

CONFIGS = binaries.ROOT / 'configs' / 'learned_optimizer'


def run(model, shared, tmp_path, *arguments):
  return binaries.succeed(
    'learned_optimizer.py',
    f'--config={CONFIGS / model}.py:smoke',
    '--workdir=run',
    *arguments,
    shared=shared,
    cwd=tmp_path,
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  'model',
  ['ff', 'lstm', 'nfn', 'ng_gnn', 'ng_t', 'google_ff', 'google_lstm'],
)
def test_meta_train_and_evaluate(model, shared, tmp_path):
  printed = run(model, shared, tmp_path)
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  last = json.loads(lines[-1])
  assert [json.loads(line)['step'] for line in lines] == [2, 4]
  assert printed[-1] == f'test accuracy: {last["test_accuracy"]:.3f}'
  assert last['train_nonfinite'] == 0.0 and last['train_gradient_norm'] > 0.0
  trained = optimizers.read(tmp_path / 'run' / 'theta.safetensors')
  assert trained.details['config']['model']['name'] == model
  if model != 'ff':
    return  # What follows is the same for all.
  printed = run(model, shared, tmp_path, '--mode=evaluate')
  found = json.loads((tmp_path / 'run' / 'evaluation.json').read_text())
  assert found['test_accuracy'] == last['test_accuracy']
  assert found['step'] == last['best_step']
  # The same theta is not measured twice.
  (record,) = records.read(tmp_path / 'run' / 'records.jsonl')
  assert record['optimizer'] == model


@pytest.mark.slow
def test_adam_is_tuned(shared, tmp_path):
  printed = run('adam', shared, tmp_path)
  found = records.read(tmp_path / 'run' / 'records.jsonl')
  assert [record['optimizer'] for record in found] == [
    'Adam (tuned)',
    'Adam (1e-3)',
  ]
  last = [runs[-1] for runs in found[0]['accuracy']['test']]
  assert printed[-1] == f'test accuracy: {sum(last) / len(last):.3f}'


@pytest.mark.slow
def test_trained_optimizers_are_compared(shared, tmp_path):
  config = binaries.ROOT / 'configs' / 'compare_optimizers' / 'shipped.py'
  printed = binaries.succeed(
    'compare_optimizers.py',
    f'--config={config}:smoke',
    '--workdir=run',
    shared=shared,
    cwd=tmp_path,
  )
  assert [line.split(': ')[0] for line in printed] == ['report'] * 3
  table = (tmp_path / 'run' / 'tables.md').read_text()
  assert [row.split(' | ')[0] for row in table.splitlines()[2:6]] == [
    '| Adam (tuned)',
    '| Adam (1e-3)',
    '| ff_fashion_mnist',
    '| ng_t_fashion_mnist',
  ]
  again = binaries.succeed(
    'compare_optimizers.py',
    '--mode=report',
    '--workdir=other',
    f'--records={tmp_path / "run" / "records.jsonl"}',
    shared=shared,
    cwd=tmp_path,
  )
  assert len(again) == 3
  assert (tmp_path / 'other' / 'tables.md').read_text() == table
