# SPDX-License-Identifier: Apache-2.0
"""Comparisons go on where they stopped and report from records alone."""

import json

import numpy as np
import pytest

from ng_jax import meta
from ng_jax import optimizers
from ng_jax import processes
from ng_jax.meta import measuring
from ng_jax.meta import records
from ng_jax.meta import tuning
from ng_jax.train import comparison_config
from ng_jax.train import optimizer_comparison

_VARIANTS = (
  *('unseen', 'paper', 'fashion_mnist', 'cifar10', 'generalisation'),
  *('generalisation_14', 'long', 'smoke'),
)


def make_config(**changes):
  config = comparison_config.make_config('smoke')
  config.update(
    {
      'optimizers': ('ff_fashion_mnist',),
      'tasks': ('digits_mlp',),
      'num_steps': 4,
      'test_every': 2,
      'num_seeds': 1,
      **changes,
    }
  )
  config.adam.tuned_on = ''
  return config


@pytest.fixture
def pretended(monkeypatch):
  """Tasks of evaluations that are not made."""
  made = []

  def pretend(task, make_tx, theta, train, *, held, seeds, **options):
    made.append(task.name)
    one = np.full((len(seeds), 1), 0.5, np.float32)
    return meta.Evaluation(
      seeds=tuple(seeds),
      steps=np.array([options['num_steps']]),
      accuracy=dict.fromkeys(held, one),
      loss=dict.fromkeys(held, one),
      train_losses=np.ones((len(seeds), options['num_steps']), np.float32),
      frozen_at=np.full(len(seeds), -1),
      seconds=1.0,
      compile_seconds=1.0,
    )

  monkeypatch.setattr(measuring.evaluation, 'evaluate', pretend)
  monkeypatch.setattr(
    measuring.evaluation, 'measure_step', lambda *_, **__: 0.01
  )
  return made


def test_a_comparison_goes_on_and_reports(tmp_path, pretended):
  config = make_config()
  paths = optimizer_comparison.run(config, tmp_path)
  assert pretended == ['digits_mlp'] * 2
  assert [path.name for path in paths] == [
    'tables.md',
    'digits_mlp_4_steps.png',
  ]
  table = paths[0].read_text()
  rows = [line.split(' | ')[0] for line in table.splitlines()[2:4]]
  assert rows == [f'| {tuning.UNTUNED}', '| ff_fashion_mnist']
  file = tmp_path / 'records.jsonl'
  lines = file.read_text().splitlines(keepends=True)
  file.write_text(lines[0] + lines[1][:30])  # Killed while it wrote.
  optimizer_comparison.run(config, tmp_path)
  assert pretended == ['digits_mlp'] * 3
  kept, again = records.read(file)
  assert kept['optimizer'] == tuning.UNTUNED
  assert again == json.loads(lines[1])
  # A report trains nothing, here or of records elsewhere.
  (tmp_path / 'tables.md').unlink()
  optimizer_comparison.report(tmp_path)
  first = table.splitlines()[2]
  assert first == (tmp_path / 'tables.md').read_text().splitlines()[2]
  optimizer_comparison.report(tmp_path / 'other', [file])
  assert (tmp_path / 'other' / 'tables.md').exists()
  assert pretended == ['digits_mlp'] * 3


def test_processes_share_the_optimizers(tmp_path, pretended):
  config = make_config()
  second = processes.Share(1, 2)
  # The first one measures Adam and the first optimizer, so the second is done.
  assert optimizer_comparison.run(config, tmp_path, share=second) == []
  assert pretended == []
  theta = tmp_path / 'own' / 'theta.safetensors'
  theta.parent.mkdir()
  trained = optimizers.read('ff_fashion_mnist')
  optimizers.save(theta, trained.optimizer, trained.theta)
  config.optimizers = ('ff_fashion_mnist', str(theta))
  assert optimizer_comparison.run(config, tmp_path, share=second) == []
  first = processes.Share(0, 2)
  paths = optimizer_comparison.run(config, tmp_path, share=first)
  assert len(pretended) == 3
  table = paths[0].read_text()
  assert '| own |' in table and '| ff_fashion_mnist |' in table


def test_adam_is_tuned_on_the_task_that_is_asked_for(
  tmp_path, monkeypatch, pretended
):
  found = []

  def tune(task, *arguments, **options):
    found.append((task.name, len(options['settings'])))
    return tuning.Tuned(tuning.AdamSetting(3e-3), {}, {})

  monkeypatch.setattr(tuning, 'tune_adam', tune)
  config = make_config(optimizers=())
  config.adam.tuned_on = 'digits_mlp_32'
  optimizer_comparison.run(config, tmp_path)
  config.adam.tuned_on = comparison_config.EACH
  optimizer_comparison.run(config, tmp_path)
  assert found == [('digits_mlp_32', 2), ('digits_mlp', 2)]
  assert pretended == ['digits_mlp'] * 2
  labels = [r['optimizer'] for r in optimizer_comparison.read(tmp_path)]
  assert labels == [tuning.TUNED, tuning.UNTUNED]


@pytest.mark.parametrize('variant', _VARIANTS)
def test_variants_pass_the_check(variant):
  comparison_config.check(comparison_config.make_config(variant))


def test_unseen_networks_are_no_training_tasks():
  config = comparison_config.make_config('unseen')
  for name in optimizers.trained_names():
    details = optimizers.read(name).details
    assert not set(config.tasks) & set(details['config']['tasks'])
  network = meta.create_task(config.tasks[0]).network
  sets = [s.size for s in network.spec.neuron_sets]
  assert sets == [64, 64, 32, 10]


@pytest.mark.parametrize(
  'field, value, message',
  [
    ('num_steps', 0, 'config.num_steps must be positive, got 0'),
    ('test_every', 3, 'test_every must divide config.num_steps, got 3 and 20'),
    ('tasks', ('mnist',), r"config.tasks must name at least one .*\('mnist',"),
    ('adam.tuned_on', 'mnist', "tuned_on must be '', 'each' or a task, got"),
  ],
)
def test_bad_values(field, value, message):
  config = comparison_config.make_config('smoke')
  config.update_from_flattened_dict({field: value})
  with pytest.raises(ValueError, match=message):
    comparison_config.check(config)


def test_errors_name_the_rule(tmp_path):
  with pytest.raises(ValueError, match="unknown variant 'tiny'"):
    comparison_config.make_config('tiny')
  config = make_config(
    optimizers=('a/theta.safetensors', 'b/a/theta.safetensors')
  )
  with pytest.raises(ValueError, match="different names, .* are both 'a'"):
    optimizer_comparison.run(config, tmp_path)
  with pytest.raises(ValueError, match='records must be files that exist'):
    optimizer_comparison.report(tmp_path, [tmp_path / 'none.jsonl'])
  with pytest.raises(ValueError, match='at least one evaluation, got none'):
    optimizer_comparison.report(tmp_path)
