# SPDX-License-Identifier: Apache-2.0
"""Runs that are killed go on and end as if nothing had happened."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from ng_jax.meta import records
from ng_jax.train import logging as logging_lib
from tests.end_to_end import binaries

CONFIGS = binaries.ROOT / 'configs'
EXPERIMENTS = {
  'inr_classification': 'gnn',
  'inr_editing': 'gnn',
  'cnn_generalization': 'statnn',
  'learned_optimizer': 'ff',
}
NUM_STEPS, EVAL_EVERY = 120, 20


def arguments(experiment, shared, workdir):
  config = CONFIGS / experiment / f'{EXPERIMENTS[experiment]}.py'
  data = [f'--config.data.data_dir={shared / "data"}']
  return [
    f'--config={config}:smoke',
    *(data if experiment != 'learned_optimizer' else []),
    f'--config.num_steps={NUM_STEPS}',
    f'--config.eval_every={EVAL_EVERY}',
    '--config.log_every=3',
    f'--workdir={workdir}',
  ]


def start(experiment, shared, workdir):
  return subprocess.Popen(
    [
      sys.executable,
      str(binaries.ROOT / 'experiments' / f'{experiment}.py'),
      *arguments(experiment, shared, workdir),
    ],
    env=binaries.environment(shared),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )


def wait_for(process, condition):
  """Looks again and again; True once the condition holds."""
  while process.poll() is None:
    if condition():
      return True
    time.sleep(0.0005)
  return False


def finish(experiment, shared, workdir):
  """Runs to the end; returns the first step and the steps of the log."""
  done = binaries.call(
    f'{experiment}.py',
    *arguments(experiment, shared, workdir),
    shared=shared,
    cwd=workdir.parent,
  )
  assert done.returncode == 0, done.stderr
  (first,) = re.findall(r'Begins at step (\d+) of', done.stderr)
  return int(first), [
    int(n) for n in re.findall(r'\] step (\d+): ', done.stderr)
  ]


def untimed(workdir):
  return [
    {k: v for k, v in line.items() if k != 'steps_per_second'}
    for line in logging_lib.read_metrics(workdir / 'metrics.jsonl')
  ]


def whole_steps(workdir):
  folder = workdir / 'checkpoints'
  names = os.listdir(folder) if folder.exists() else []
  return [int(name) for name in names if name.isdecimal()]


def half_written(workdir):
  folder = workdir / 'checkpoints'
  return folder.exists() and any('tmp' in name for name in os.listdir(folder))


@pytest.fixture(scope='module')
def whole_runs(shared):
  """Metrics of uninterrupted runs, each made once."""
  made = {}

  def get(experiment):
    if experiment not in made:
      workdir = shared / f'whole_{experiment}'
      assert finish(experiment, shared, workdir)[0] == 0
      made[experiment] = untimed(workdir)
    return made[experiment]

  return get


@pytest.mark.slow
@pytest.mark.parametrize(
  ('number', 'experiment'),
  [
    (signal.SIGKILL, 'inr_classification'),
    pytest.param(signal.SIGKILL, 'inr_editing', marks=pytest.mark.repeated),
    (signal.SIGKILL, 'cnn_generalization'),
    (signal.SIGKILL, 'learned_optimizer'),
    (signal.SIGTERM, 'inr_classification'),
    *(
      pytest.param(signal.SIGTERM, name, marks=pytest.mark.repeated)
      for name in ('inr_editing', 'cnn_generalization', 'learned_optimizer')
    ),
  ],
)
def test_killed_in_training(number, experiment, whole_runs, shared, tmp_path):
  expected = whole_runs(experiment)
  workdir = tmp_path / 'run'
  process = start(experiment, shared, workdir)
  with process:
    assert wait_for(process, lambda: whole_steps(workdir))
    process.send_signal(number)
    text = process.communicate()[1]
  if number == signal.SIGTERM:
    assert process.returncode == 143
    assert 'the same command goes on there' in text
    assert 'Traceback' not in text
  else:
    assert process.returncode == -signal.SIGKILL
  latest = max(whole_steps(workdir))
  assert 0 < latest < NUM_STEPS
  first, steps = finish(experiment, shared, workdir)
  # No step is made twice; the line of the checkpoint is written again.
  assert first == latest
  assert min(steps) >= latest
  assert untimed(workdir) == expected


@pytest.mark.slow
def test_killed_while_it_writes_a_checkpoint(whole_runs, shared, tmp_path):
  expected = whole_runs('inr_classification')
  workdir = tmp_path / 'run'
  process = start('inr_classification', shared, workdir)

  def caught():
    if not (whole_steps(workdir) and half_written(workdir)):
      return False
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    if half_written(workdir):
      return True
    process.send_signal(signal.SIGCONT)  # It was faster; the next one then.
    return False

  with process:
    assert wait_for(process, caught)
    process.kill()
    process.communicate()
  assert half_written(workdir)
  latest = max(whole_steps(workdir))
  first, steps = finish('inr_classification', shared, workdir)
  assert first == latest
  assert min(steps) >= latest
  assert untimed(workdir) == expected
  assert not half_written(workdir)
  assert pathlib.Path(workdir / 'pictures').is_dir()


def start_smoke(config, shared, workdir, *more):
  """Meta-trains, or tunes Adam, and measures; what it says is dropped."""
  return subprocess.Popen(
    [
      sys.executable,
      str(binaries.ROOT / 'experiments' / 'learned_optimizer.py'),
      f'--config={CONFIGS / "learned_optimizer" / config}.py:smoke',
      f'--workdir={workdir}',
      *more,
    ],
    env=binaries.environment(shared),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )


def untimed_records(path):
  timed = ('seconds', 'compile_seconds', 'seconds_per_step')
  return [
    {k: v for k, v in record.items() if k not in timed}
    for record in records.read(path)
  ]


@pytest.mark.slow
@pytest.mark.parametrize(
  'config, file, more',
  [
    ('adam', 'tuning.jsonl', ()),
    ('adam', 'records.jsonl', ()),
    (
      'ff',
      'records.jsonl',
      ("--config.evaluation.tasks=('digits_mlp','digits_cnn')",),
    ),
  ],
  ids=['tuning', 'adam', 'evaluation'],
)
def test_killed_between_measurements(config, file, more, shared, tmp_path):
  whole, killed = tmp_path / 'whole', tmp_path / 'killed'
  assert start_smoke(config, shared, whole, *more).wait(500) == 0
  process = start_smoke(config, shared, killed, *more)
  path = killed / file
  with process:
    assert wait_for(process, lambda: path.exists() and path.stat().st_size)
    process.kill()
  before = records.read(path)
  assert 0 < len(before) < len(records.read(whole / file))
  assert start_smoke(config, shared, killed, *more).wait(500) == 0
  # Nothing is measured twice, and the rest is what it would have been.
  assert records.read(path)[: len(before)] == before
  names = ['records.jsonl'] + ['tuning.jsonl'] * (config == 'adam')
  for name in names:
    assert untimed_records(killed / name) == untimed_records(whole / name)
