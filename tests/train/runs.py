# SPDX-License-Identifier: Apache-2.0
"""What tests read of finished runs, and how two of them are compared."""

import json

import jax
import numpy as np

from ng_jax import pretrained
from ng_jax.train import checkpoints
from ng_jax.train import logging as logging_lib


def untimed_lines(workdir):
  """Lines of metrics.jsonl without the speed."""
  return [
    {k: v for k, v in line.items() if k != 'steps_per_second'}
    for line in logging_lib.read_metrics(workdir / 'metrics.jsonl')
  ]


def latest_state(workdir, like, *, metric='validation_accuracy'):
  """State of the latest checkpoint."""
  folder = workdir / 'checkpoints'
  with checkpoints.CheckpointStore(folder, metric=metric) as store:
    return store.restore(like, step=store.latest_step())


def assert_equal_states(a, b):
  """Compares what training moves, to the bit."""
  leaves = [
    jax.tree.leaves((s.params, s.batch_stats, s.opt_state, s.step))
    for s in (a, b)
  ]
  for x, y in zip(*leaves, strict=True):
    np.testing.assert_array_equal(x, y)


def assert_equal_metrics(a, b):
  """Compares the last lines of two runs, all but their speed."""
  assert set(a) == set(b)
  for name in set(a) - {'steps_per_second'}:
    assert a[name] == b[name], name


def load_exported(folder, config, found):
  """Loads what `export` wrote, and checks what it says of the run."""
  model = pretrained.load_pretrained(folder)
  assert model.details['scores'] == found
  saved = model.details['config']
  assert saved['optimizer'] == config.optimizer.to_dict()
  assert not {'data_dir', 'image_dir'} & set(saved['data'])
  assert '/' not in json.dumps(model.details)
  return model
