# SPDX-License-Identifier: Apache-2.0
"""Readers meet damaged files: they read them or say in one ValueError why not.

2,000 inputs a reader in the quick tests; in the slow ones 100,000, or as many
as six seconds of processor time allow. They are the same ones every time;
NG_JAX_FUZZ=1 draws others. What reads a whole zoo, builds a model or opens a
store for each input (`targets.WHOLE`) gets fewer; its parts are among the rest.
Memory is held to the rule of `ng_jax.files`, see also `test_bombs.py`.
"""

import gzip
import os
import random
import time

import hypothesis
from hypothesis import strategies
import pytest

from tests.fuzz import resident
from tests.fuzz import targets

# Inputs of one example of hypothesis, whose own work takes longer than theirs.
_OF_AN_EXAMPLE = 200
_QUICK, _QUICK_WHOLE = 2_000, 10
_MANY, _MAX_SECONDS, _MAX_SECONDS_WHOLE = 100_000, 6.0, 6.0
_MAX_MESSAGE = 20_000
# A reader takes at most so many times the size of its file, and so much.
_TIMES, _BYTES = 8, 64 * 2**20


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
    message = str(error)
    assert type(error) is ValueError, repr(error)
    assert 20 < len(message) < _MAX_MESSAGE
    assert not target.names_file or str(target.path) in message, message


def _replace(path, content):
  # A file that is cut and written again would be written to the disk at once
  # (ext4), which takes fifty times as long as all the rest.
  path.unlink()
  path.write_bytes(content)


def fuzz(target, num_inputs, *, max_seconds=float('inf')):
  """Lets a reader read damaged files; returns how many."""
  content = target.path.read_bytes()
  target.read()
  size = min(_OF_AN_EXAMPLE, num_inputs)
  end, counts = time.process_time() + max_seconds, []

  @hypothesis.settings(
    max_examples=num_inputs // size,
    deadline=None,
    derandomize='NG_JAX_FUZZ' not in os.environ,
    database=None,
    # A shorter seed explains nothing.
    phases=(hypothesis.Phase.generate,),
    suppress_health_check=list(hypothesis.HealthCheck),
  )
  @hypothesis.given(strategies.integers(0, 2**40))
  def run(seed):
    largest, before = 0, resident.begin()
    for i in range(size):
      if time.process_time() > end:
        break
      found = damaged(target, content, f'{seed} {i}')
      largest = max(largest, len(found))
      _replace(target.path, found)
      try:
        read(target)
      except BaseException as error:
        error.add_note(f'for the input {seed} {i}: {found[:2000]!r}')
        raise
      counts.append(i)
    grown = resident.peak() - before
    assert grown <= _TIMES * largest + _BYTES, f'{grown:,} bytes, seed {seed}'

  try:
    run()
  finally:
    _replace(target.path, content)
  target.read()
  return len(counts)


def _fuzz_in(folder, make, num_inputs, **options):
  target = make(folder)
  found = fuzz(target, num_inputs, **options)
  assert 'hacked' not in os.listdir(folder)
  return found


@pytest.mark.allow_nans
@pytest.mark.parametrize('name', [*targets.TARGETS, *targets.WHOLE])
def test_damaged_files_are_read_or_refused(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)  # Where the code in them would leave its mark.
  whole = name in targets.WHOLE
  make = (targets.WHOLE if whole else targets.TARGETS)[name]
  wanted = _QUICK_WHOLE if whole else _QUICK
  assert _fuzz_in(tmp_path, make, wanted) >= 0.9 * wanted


@pytest.mark.slow
@pytest.mark.allow_nans
@pytest.mark.parametrize('name', targets.TARGETS)
def test_many_damaged_files_are_read_or_refused(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  found = _fuzz_in(
    tmp_path,
    targets.TARGETS[name],
    _MANY,
    max_seconds=_MAX_SECONDS,
  )
  print(f'{name}: {found:,} of {_MANY:,} inputs')
  assert found >= 1_000


@pytest.mark.slow
@pytest.mark.allow_nans
@pytest.mark.parametrize('name', targets.WHOLE)
def test_whole_sets_and_models_are_read_or_refused(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  found = _fuzz_in(
    tmp_path,
    targets.WHOLE[name],
    _MANY,
    max_seconds=_MAX_SECONDS_WHOLE,
  )
  print(f'{name}: {found:,} of {_MANY:,} inputs')
  assert found >= 10
