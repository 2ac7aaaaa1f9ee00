# SPDX-License-Identifier: Apache-2.0
"""Readers meet damaged files: they read them or say in one ValueError why not.

2,000 inputs a reader in the quick tests and 100,000 in the slow ones, which
stop after a minute each. Readers that read a whole zoo, build a model
or open a store for each input (`targets.ZOOS`, `targets.SLOW`) get fewer.
"""

import gzip
import os
import random
import time

import hypothesis
from hypothesis import strategies
import pytest

from tests.fuzz import targets

# Inputs of one example of hypothesis, whose own work takes longer than theirs.
_OF_AN_EXAMPLE = 50
_QUICK = {
  **dict.fromkeys(targets.FAST, 2_000),
  # Readers of the list above, whose files are written otherwise.
  **dict.fromkeys(('npz_packed', 'idx_packed', 'spec_text'), 500),
  **dict.fromkeys(targets.ZOOS, 300),
  **dict.fromkeys(targets.SLOW, 10),
}
_MAX_SECONDS = 30.0
_MAX_MESSAGE = 20_000


def damaged(target, content, seed):
  """One damaged file."""
  rng = random.Random(seed)
  if target.packed and rng.random() < 0.5:
    inner = target.mutate(rng, gzip.decompress(content), target.tokens)
    return gzip.compress(inner, 1)
  return target.mutate(rng, content, target.tokens)


def read(target):
  """Reads; what is raised must be ours, with a message one can read."""
  try:
    target.read()
  except ValueError as error:
    # Other kinds of ValueError (of UTF-8, of JSON) come from below.
    assert type(error) is ValueError, repr(error)
    assert 20 < len(str(error)) < _MAX_MESSAGE


def fuzz(target, num_inputs, *, max_seconds=float('inf'), derandomize=True):
  """Lets a reader read damaged files; returns how many."""
  content = target.path.read_bytes()
  target.read()
  size = min(_OF_AN_EXAMPLE, num_inputs)
  end, counts = time.monotonic() + max_seconds, []

  @hypothesis.settings(
    max_examples=num_inputs // size,
    deadline=None,
    derandomize=derandomize,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
  )
  @hypothesis.given(strategies.integers(0, 2**40))
  def run(seed):
    for i in range(size):
      if time.monotonic() > end:
        return
      target.path.write_bytes(damaged(target, content, f'{seed} {i}'))
      read(target)
      counts.append(i)

  try:
    run()
  finally:
    target.path.write_bytes(content)
  target.read()
  return len(counts)


@pytest.mark.allow_nans
@pytest.mark.parametrize('name', targets.NAMES)
def test_damaged_files_are_read_or_refused(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)  # Where the code in them would leave its mark.
  target = targets.make(name, tmp_path)
  assert fuzz(target, _QUICK[name]) >= 0.9 * _QUICK[name]
  assert 'hacked' not in os.listdir(tmp_path)


@pytest.mark.slow
@pytest.mark.allow_nans
@pytest.mark.parametrize('name', targets.NAMES)
def test_many_damaged_files_are_read_or_refused(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  target = targets.make(name, tmp_path)
  found = fuzz(target, 100_000, max_seconds=_MAX_SECONDS, derandomize=False)
  print(f'{name}: {found:,} inputs')
  assert found >= (10 if name in targets.SLOW else 100)
  assert 'hacked' not in os.listdir(tmp_path)
