# SPDX-License-Identifier: Apache-2.0
"""Runs the converter of published data sets as a user does."""

import pytest

from ng_jax.data import cnn_zoo
from tests.data import zoo_files
from tests.end_to_end import binaries

_CONFIGS = binaries.ROOT / 'configs' / 'convert_dataset' / 'published.py'


@pytest.fixture
def arguments(tmp_path):
  zoo_files.write_small_zoo(tmp_path)
  return [
    f'--config={_CONFIGS}:smoke',
    f'--config.source_dir={tmp_path}',
    f'--workdir={tmp_path / "data"}',
  ]


def test_converts_once(arguments, tmp_path):
  first, second = (
    binaries.call(
      'convert_dataset.py', *arguments, shared=tmp_path, cwd=tmp_path
    )
    for _ in range(2)
  )
  assert first.returncode == 0, first.stderr
  assert '0 of 4 shards found, 4 to make' in first.stderr
  assert 'converting: 100%' in first.stderr
  assert 'Found the finished data set' in second.stderr
  (path,) = (tmp_path / 'data').iterdir()
  assert first.stdout == second.stdout == f'converted: {path}\n'
  zoo = cnn_zoo.load(path)
  assert [len(split) for split in zoo.splits.values()] == [4, 1, 5]


def test_says_what_is_wrong(arguments, tmp_path):
  (tmp_path / 'layout.csv').unlink()
  done = binaries.call(
    'convert_dataset.py', *arguments, shared=tmp_path, cwd=tmp_path
  )
  assert done.returncode == 1
  assert 'not converted: ' in done.stderr
  assert 'layout.csv must have the columns' in done.stderr
  assert 'Traceback' not in done.stderr
  assert not (tmp_path / 'data').exists()
