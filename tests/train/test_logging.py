# SPDX-License-Identifier: Apache-2.0
"""Metrics are JSON lines; a resumed run leaves no step twice."""

import json

import numpy as np

from ng_jax.train import logging as logging_lib


def test_lines_are_json_with_the_step(tmp_path):
  writer = logging_lib.open_writer(tmp_path, first_step=0)
  writer.scalars(1, {'train_loss': 0.5})
  writer.scalars(2, {'train_loss': 0.25, 'validation_accuracy': 1.0})
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  assert [json.loads(line)['step'] for line in lines] == [1, 2]
  assert json.loads(lines[1])['validation_accuracy'] == 1.0


def test_resuming_drops_later_lines_and_incomplete_ones(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1, "a": 1}\n{"step": 2}\n{"step": 3}\n{"st')
  writer = logging_lib.open_writer(tmp_path, first_step=2)
  writer.scalars(2, {'a': 2})
  assert logging_lib.read_metrics(path) == [
    {'step': 1, 'a': 1},
    {'step': 2, 'a': 2},
  ]


def test_tensorboard_files_are_written(tmp_path):
  writer = logging_lib.open_writer(tmp_path, first_step=0)
  writer.scalars(1, {'train_loss': 0.5})
  writer.images(1, {'panel': np.zeros((4, 6, 3), np.uint8)})
  files = list((tmp_path / 'tensorboard').glob('events*'))
  assert files and files[0].stat().st_size > 0


def test_silent_writer_writes_nothing():
  writer = logging_lib.SilentWriter()
  writer.scalars(1, {'a': 1.0})
  writer.images(1, {})


def test_missing_file_has_no_lines(tmp_path):
  assert logging_lib.read_metrics(tmp_path / 'none.jsonl') == []
