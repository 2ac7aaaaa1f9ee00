# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a run ends in one clear error, and a rerun goes on."""

import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from ng_jax.train import checkpoint_repair
from ng_jax.train import checkpoints
from ng_jax.train import loop
from ng_jax.train import preemption
from ng_jax.train import running
from ng_jax.train import sampler
from tests.train import linear_run
from tests.train import linear_task
from tests.train import runs

ROOT = pathlib.Path(__file__).parents[2]


def run(workdir, *, task=None, **changes):
  task = task or linear_run.make_task()
  return running.run(task, linear_run.make_config(**changes), workdir)


def saved_steps(workdir):
  return sorted(int(x.name) for x in (workdir / 'checkpoints').iterdir())


def latest(workdir):
  return runs.latest_state(workdir, linear_task.make_state()[0])


class Terminated:
  """Sends SIGTERM before one step; remembers which steps were made."""

  def __init__(self, at):
    self.at = at
    self.steps = []

  def __call__(self, step):
    self.steps.append(step)
    if step == self.at:
      signal.raise_signal(signal.SIGTERM)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('whole')
  return workdir, run(workdir)


# In the middle of a line, at a line, at an evaluation, at the end.
@pytest.mark.parametrize(
  'at',
  [3, 4, 5, *(pytest.param(n, marks=pytest.mark.repeated) for n in (0, 7))],
)
def test_sigterm_saves_and_the_rerun_ends_with_the_same_numbers(
  at, whole, tmp_path
):
  terminated, rerun = Terminated(at), Terminated(None)
  before = signal.getsignal(signal.SIGTERM)
  with pytest.raises(preemption.Interrupted) as leaving:
    run(tmp_path, task=linear_run.make_task(before_step=terminated))
  assert leaving.value.code == 143
  assert signal.getsignal(signal.SIGTERM) is before
  assert terminated.steps == list(range(at + 1))
  assert max(saved_steps(tmp_path)) == at + 1
  found = run(tmp_path, task=linear_run.make_task(before_step=rerun))
  # No step is made twice.
  assert rerun.steps == list(range(at + 1, 8))
  runs.assert_equal_metrics(found, whole[1])
  runs.assert_equal_states(latest(tmp_path), latest(whole[0]))
  assert runs.untimed_lines(tmp_path) == runs.untimed_lines(whole[0])


def test_a_run_that_was_stopped_before_an_evaluation_has_no_best(tmp_path):
  task = linear_run.make_task(before_step=Terminated(0))
  with pytest.raises(preemption.Interrupted):
    run(tmp_path, task=task)
  with pytest.raises(ValueError, match='holds no evaluated checkpoint; train'):
    running.restore_best(task, linear_run.make_config(), tmp_path)


def damage(workdir, step, how):
  folder = workdir / f'checkpoints/{step}'
  if how == 'array':  # Which the formats of the checkpoint would not notice.
    path = folder / 'progress' / 'metadata'
    content = json.loads(path.read_text())
    content['checksums']['params/kernel'] += 1
    path.write_text(json.dumps(content))
    return
  for path in (x for x in (folder / 'state').rglob('*') if x.is_file()):
    if how == 'delete':
      path.unlink()
    else:
      content = path.read_bytes()
      path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
  'how',
  ['truncate', 'array', pytest.param('delete', marks=pytest.mark.repeated)],
)
def test_damaged_checkpoint_falls_back_to_the_one_before(
  how, whole, tmp_path, caplog
):
  run(tmp_path)
  damage(tmp_path, 8, how)
  rerun = Terminated(None)
  found = run(tmp_path, task=linear_run.make_task(before_step=rerun))
  assert rerun.steps == [6, 7]
  runs.assert_equal_metrics(found, whole[1])
  runs.assert_equal_states(latest(tmp_path), latest(whole[0]))
  assert runs.untimed_lines(tmp_path) == runs.untimed_lines(whole[0])
  assert 'The checkpoint at step 8 in' in caplog.text
  assert 'the run goes on from step 6' in caplog.text
  assert (tmp_path / checkpoint_repair.DAMAGED / '8').is_dir()


def test_only_damaged_checkpoints_are_an_error(tmp_path):
  run(tmp_path)
  for step in saved_steps(tmp_path):
    damage(tmp_path, step, 'truncate')
  with pytest.raises(ValueError, match='cannot be read; it is truncated or da'):
    run(tmp_path)
  assert not (tmp_path / checkpoint_repair.DAMAGED).exists()


def test_changed_config_is_refused_and_nothing_is_touched(tmp_path):
  run(tmp_path)
  before = (tmp_path / 'config.json').read_text()
  with pytest.raises(ValueError, match='seed: 7 in the checkpoint, 8 now'):
    run(tmp_path, seed=8)
  assert (tmp_path / 'config.json').read_text() == before


@pytest.mark.allow_nans
@pytest.mark.parametrize(
  'value', [np.nan, pytest.param(1e30, marks=pytest.mark.repeated)]
)
def test_loss_that_is_not_finite_names_step_rows_and_checkpoint(
  value, tmp_path
):
  batches = sampler.IndexSampler(
    num_examples=linear_run.NUM_EXAMPLES, batch_size=linear_run.BATCH_SIZE
  )
  earlier = np.concatenate([batches.batch(n) for n in range(3)])
  fifth = batches.batch(4)
  data = linear_task.make_data(linear_run.NUM_EXAMPLES)
  assert set(fifth) <= set(earlier)  # So the run is resumed with bad data.
  run(tmp_path, num_steps=4)
  data['x'] = data['x'].at[fifth[0]].set(value)
  with pytest.raises(loop.NonFiniteLossError) as error:
    run(tmp_path, task=linear_run.make_task(data=data))
  text = str(error.value)
  assert 'at step 5, whose batch has the rows' in text
  assert f'rows {", ".join(map(str, fifth))} of the training split' in text
  assert 'the last good checkpoint is step 4' in text
  assert max(saved_steps(tmp_path)) == 4


@pytest.mark.parametrize(
  ('code', 'message'),
  [
    (errno.EROFS, 'Read-only file system.*choose another workdir'),
    (errno.EACCES, 'Permission denied.*choose another workdir'),
    (errno.ENOSPC, 'No space left on device.*the same command then goes on'),
  ],
)
def test_workdir_that_cannot_be_written(code, message, monkeypatch, tmp_path):
  def refuse(self, *args, **kwargs):
    raise OSError(code, os.strerror(code), str(self))

  monkeypatch.setattr(pathlib.Path, 'mkdir', refuse)
  with pytest.raises(ValueError, match=message):
    run(tmp_path / 'new')


def test_workdir_inside_a_file(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(ValueError, match='must be a folder that can be written'):
    run(tmp_path / 'file' / 'run')


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can leave root')
def test_read_only_workdir():
  with tempfile.TemporaryDirectory() as folder:  # Others may look into it.
    os.chmod(folder, 0o555)
    os.seteuid(65_534)
    try:
      with pytest.raises(ValueError, match='Permission denied'):
        run(folder)
    finally:
      os.seteuid(0)


def test_metrics_on_a_full_disk(monkeypatch, tmp_path):
  path = tmp_path / 'metrics.jsonl'

  def fill(step):
    if step == 6:
      path.unlink()
      path.symlink_to('/dev/full')  # Writing there is ENOSPC.

  if not pathlib.Path('/dev/full').exists():
    pytest.skip('no /dev/full')
  with pytest.raises(ValueError, match='No space left on device'):
    run(tmp_path, task=linear_run.make_task(before_step=fill))
  path.unlink()
  assert run(tmp_path)['step'] == 8


_FULL_DISK = """
import os, resource, sys, time
from ng_jax.train import running
from tests.train import linear_run

def limit(step):
  if step == 4:
    while not os.path.exists(sys.argv[1] + '/checkpoints/3'):
      time.sleep(0.01)
    # A checkpoint has larger files.
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))

task = linear_run.make_task(before_step=limit)
try:
  running.run(task, linear_run.make_config(), sys.argv[1])
except ValueError as error:
  resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
  print(error)
"""


@pytest.mark.slow
def test_checkpoint_on_a_full_disk(whole, tmp_path):
  # A limit on the size of files is as good as a full disk.
  done = subprocess.run(
    [sys.executable, '-c', _FULL_DISK, str(tmp_path)],
    cwd=ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 0, done.stderr
  assert 'the checkpoint at step 6 cannot be written into' in done.stdout
  assert 'the last whole one is step 3' in done.stdout
  runs.assert_equal_metrics(run(tmp_path), whole[1])
  assert saved_steps(tmp_path)[-1] == 8
  assert runs.untimed_lines(tmp_path) == runs.untimed_lines(whole[0])


def test_first_error_is_the_one_that_is_raised(monkeypatch, tmp_path):
  def fail(self):
    raise ValueError('later')

  store = checkpoints.CheckpointStore(tmp_path)
  with pytest.raises(RuntimeError, match='earlier'):
    with store:
      monkeypatch.setattr(type(store), 'close', fail)
      raise RuntimeError('earlier')
  monkeypatch.undo()
  store.close()
