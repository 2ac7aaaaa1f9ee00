# SPDX-License-Identifier: Apache-2.0
"""Makes data sets under `kill -9`, at random moments, until they are finished.

The finished set is that of a run that was never killed, and what a killed run
had finished stays as it is, file by file.
"""

import json
import os
import random
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from ng_jax import specs
from ng_jax.data import tfds_folder
from tests import programs
from tests.end_to_end import binaries

_NUM_KILLS = 6
_FOUND = re.compile(r'(\d+) of (\d+) (?:shards|units) found, (\d+) to ')
_LONGEST = 600.0  # Seconds until a run counts as hanging.

_KINDS = {
  'inr': {
    'command': (
      'make_inr_dataset.py',
      f'--config={binaries.ROOT}/configs/make_inr_dataset/siren.py:smoke',
      *('--config.num_steps=400', '--config.chunk_size=4'),
    ),
    # It fits for longer than it compiles.
    'flags': '',
    'pieces': 'shards/*.safetensors',
    'num_pieces': 15,
  },
  'zoo': {
    'command': (
      'make_cnn_zoo.py',
      f'--config={binaries.ROOT}/configs/make_cnn_zoo/wild_park.py:smoke',
    ),
    'flags': programs.RUNS,
    'pieces': 'runs/unit_??????.safetensors',
    'num_pieces': 8,
  },
}


class _Run:
  """A run of a binary; what it says goes to a file."""

  def __init__(self, kind, folder, log):
    self.log = log
    binary, *arguments = _KINDS[kind]['command']
    with log.open('w') as file:
      self.process = subprocess.Popen(
        [sys.executable, binaries.ROOT / 'experiments' / binary, *arguments,
         f'--workdir={folder}', '--config.name=set'],
        env={
          **os.environ,
          'JAX_PLATFORMS': 'cpu',
          'PYTHONPATH': str(binaries.ROOT),
          'XLA_FLAGS': _KINDS[kind]['flags'],
        },
        stdout=subprocess.DEVNULL,
        stderr=file,
      )  # fmt: skip

  def wait_for_work(self):
    """Waits until the run says what it found; returns found, all, to do."""
    end = time.monotonic() + _LONGEST
    while time.monotonic() < end:
      found = _FOUND.search(self.log.read_text())
      if found:
        return tuple(map(int, found.groups()))
      assert self.process.poll() in (None, 0), self.log.read_text()
      if self.process.poll() == 0:
        return None  # The set was finished, but for a last word.
      time.sleep(0.01)
    raise AssertionError(f'no work in {_LONGEST} s: {self.log.read_text()}')

  def finish(self):
    assert self.process.wait(_LONGEST) == 0, self.log.read_text()

  def kill_after(self, seconds):
    """Kills the run, and returns whether it was still at work."""
    try:
      self.process.wait(seconds)
    except subprocess.TimeoutExpired:
      self.process.kill()
      self.process.wait()
      return True
    assert self.process.returncode == 0, self.log.read_text()
    return False


def _pieces(kind, folder):
  """Finished work that lies there, with what shows that it was not redone."""
  return {
    path.name: (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes())
    for path in (folder / 'set').glob(_KINDS[kind]['pieces'])
  }


def _contents(folder):
  """All files of a finished set, without what tells of time."""
  found = {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in sorted(folder.rglob('*'))
    if path.is_file() and path.name != 'README.md'
  }
  card = json.loads(found.pop('card.json'))
  for timed in ('fit', 'training'):
    card.pop(timed, None)
  # TFDS leaves the order of the fields inside a record to chance.
  records = [name for name in found if 'array_record' in name]
  for name in records:
    del found[name]
  (data,) = {(folder / name).parent for name in records}
  for split in ('train', 'validation', 'test'):
    found[split] = [
      {path: np.asarray(x).tobytes() for path, x in leaves.items()}
      for leaves in map(
        specs.leaf_arrays, tfds_folder.read(data, split, folder=folder)
      )
    ]
  return {**found, 'card': card, 'records': sorted(records)}


def _assert_equal(found, expected):
  assert sorted(found) == sorted(expected)
  assert [name for name in found if found[name] != expected[name]] == []


def _work_time(kind, folder, log):
  """Makes a set without a kill; returns the seconds of work."""
  run = _Run(kind, folder, log)
  found, total, missing = run.wait_for_work()
  start = time.monotonic()
  run.finish()
  assert (found, total, missing) == (0, *[_KINDS[kind]['num_pieces']] * 2)
  return time.monotonic() - start


@pytest.mark.slow
@pytest.mark.parametrize('kind', sorted(_KINDS))
def test_a_set_that_is_killed_again_and_again(kind, tmp_path):
  whole = tmp_path / 'whole'
  seconds = _work_time(kind, whole, tmp_path / 'whole.log')
  rng, num_kills, num_sets = random.Random(0), 0, 0
  while num_kills < _NUM_KILLS:
    folder = tmp_path / f'killed_{num_sets}'
    num_made, before, finished = 0, {}, False
    while not finished:
      run = _Run(kind, folder, tmp_path / 'killed.log')
      counts = run.wait_for_work()
      if counts is not None:
        # The counter: what lies there is found, the rest is to be made.
        assert counts[0] == len(before)
        assert counts[1] == counts[0] + counts[2] == _KINDS[kind]['num_pieces']
      if num_kills < _NUM_KILLS:
        killed = run.kill_after(rng.uniform(0, seconds))
        num_kills += killed
        finished = not killed
      else:
        run.finish()
        finished = True
      if not finished:
        after = _pieces(kind, folder)
        if after or not before:  # They go when the set is finished.
          assert {name: after[name] for name in before} == before
          num_made += len(set(after) - set(before))
          before = after
    _assert_equal(_contents(folder / 'set'), _contents(whole / 'set'))
    assert num_made <= _KINDS[kind]['num_pieces']
    num_sets += 1
