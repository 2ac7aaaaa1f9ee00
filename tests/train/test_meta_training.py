# SPDX-License-Identifier: Apache-2.0
"""Meta-training resumes to the bit and does not depend on the devices."""

import pathlib
import shutil
import subprocess
import sys
import types

import jax
import ml_collections
import numpy as np
import pytest

from ng_jax.meta import estimators
from ng_jax.meta import horizons
from ng_jax.meta import outer
from ng_jax.train import devices as devices_lib
from ng_jax.train import logging
from ng_jax.train import meta_training
from ng_jax.train import running
from tests import programs
from tests.meta import influence_balancing as balancing


def make_experiment(config):
  """Two tasks in turn, the second one without targets that move."""
  devices = devices_lib.choose(config.num_devices)
  problem = balancing.InfluenceBalancing(noise=0.1)
  kinds = [
    estimators.Pes(problem, 4, 5, horizons.Horizon(5, 15), sigma=0.1),
    estimators.Greedy(problem, 4, num_steps=3),
  ]
  update = outer.create('evolution', config.num_steps, learning_rate=0.01)
  data = devices_lib.replicate((np.float32(0.2), np.float32(0.0)), devices)
  return types.SimpleNamespace(
    config=config,
    data=data,
    devices=devices,
    facts={'sizes': {}},
    learning_rate=update.rate,
    init=meta_training.make_init(
      kinds,
      lambda key: {'drive': 0.3 + 0.1 * jax.random.normal(key)},
      update.transformation,
      data,
      seed=config.seed,
    ),
    train_step=meta_training.make_train_step(
      kinds, update.transformation, devices
    ),
    sampler=lambda: meta_training.Rotation(len(kinds), num_examples=0),
  )


def make_config(**changes):
  return ml_collections.ConfigDict(
    {
      'model': {'name': 'drive'},
      'seed': 0,
      'num_steps': 6,
      'eval_every': 3,
      'log_every': 1,
      'num_devices': 1,
      'matmul_precision': 'default',
      **changes,
    }
  )


TASK = running.Task(
  check=lambda config: None,
  defaults=lambda config: config,
  prepare=make_experiment,
  average=meta_training.average,
  # The smaller the drive, the smaller the loss.
  validate=lambda experiment, state: {
    'validation_accuracy': -abs(float(state.params['drive']))
  },
  test=lambda experiment, state: (
    {'test_drive': float(state.params['drive'])},
    None,
  ),
  draw=lambda *_: {},
  metric='validation_accuracy',
  mode='max',
)


def states(workdir, step):
  """The leaves of a checkpoint."""
  config = make_config()
  with TASK.open_store(workdir) as store:
    experiment = make_experiment(config)
    state = store.restore(jax.eval_shape(experiment.init), step=step)
  return jax.tree.leaves(state.replace(key=jax.random.key_data(state.key)))


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
  whole, parts = tmp_path / 'whole', tmp_path / 'parts'
  final = running.run(TASK, make_config(), whole)
  shutil.copytree(whole, parts)
  shutil.rmtree(parts / 'checkpoints' / '6')  # Killed after step 3.
  assert running.run(TASK, make_config(), parts) == {
    **final,
    'steps_per_second': pytest.approx(0, abs=np.inf),
  }
  for a, b in zip(states(whole, 6), states(parts, 6), strict=True):
    np.testing.assert_array_equal(a, b)
  lines = [
    [
      {k: v for k, v in line.items() if k != 'steps_per_second'}
      for line in logging.read_metrics(folder / 'metrics.jsonl')
    ]
    for folder in (whole, parts)
  ]
  assert lines[0] == lines[1]
  assert [line['step'] for line in lines[0]] == [1, 2, 3, 4, 5, 6]
  assert final['test_drive'] == pytest.approx(
    -final['best_validation_accuracy']
  )


def test_tasks_take_turns():
  rotation = meta_training.Rotation(num_tasks=3, num_examples=9)
  found = [rotation.batch(step).tolist() for step in range(5)]
  assert found == [[0], [1], [2], [0], [1]]
  experiment = make_experiment(make_config())
  before = experiment.init()
  source = before.opt_state['estimators'][1].step
  assert np.asarray(source).tolist() == [0, 0, 0, 0]
  state, _ = experiment.train_step(before, experiment.data, rotation.batch(0))
  pes, greedy = state.opt_state['estimators']
  assert np.asarray(greedy.step).tolist() == [0, 0, 0, 0]
  assert np.asarray(pes.episode.source.step).tolist() == [5, 5, 5, 5]
  state, _ = experiment.train_step(state, experiment.data, rotation.batch(1))
  assert np.asarray(state.opt_state['estimators'][1].step).tolist() == [3] * 4
  assert int(state.step) == 2


def test_another_seed_is_another_run():
  first, second = (
    make_experiment(make_config(seed=seed)).init().params['drive']
    for seed in (0, 1)
  )
  assert float(first) != float(second)


def test_means_of_a_window_and_the_sum_of_what_was_not_finite():
  window = {'loss': np.array([1.0, 2.0]), 'nonfinite': np.array([3.0, 1.0])}
  assert meta_training.average(window) == {'loss': 1.5, 'nonfinite': 4.0}


FOUR_DEVICES = """
import pathlib, sys, jax, numpy as np
from ng_jax.train import running
from tests.train import test_meta_training as test

assert jax.local_device_count() == 4
folder = pathlib.Path(sys.argv[1])
found = {}
for num_devices in (1, 4):
  workdir = folder / str(num_devices)
  running.run(test.TASK, test.make_config(num_devices=num_devices), workdir)
  found[num_devices] = test.states(workdir, 6)
for a, b in zip(found[1], found[4], strict=True):
  np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
print('equal')
"""


@pytest.mark.slow
def test_four_devices_equal_one(tmp_path):
  done = subprocess.run(
    [sys.executable, '-c', FOUR_DEVICES, str(tmp_path)],
    env=programs.with_devices(4),
    cwd=pathlib.Path(__file__).parents[2],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == 'equal'
