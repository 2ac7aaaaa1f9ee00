# SPDX-License-Identifier: Apache-2.0
"""Reader of the CNN Wild Park, on a small tree in exactly its format."""

import json
import pickle
import sys

import numpy as np
import pytest

from ng_jax import networks
from ng_jax.data.cnn_zoo import wild_park
from tests.data import torch_trees
from tests.data import zoo_files


@pytest.fixture
def park(tmp_path, monkeypatch):
  """With torch's own files where torch is installed."""
  torch_trees.stand_in(monkeypatch)
  zoo_files.write_park(tmp_path)
  return tmp_path


def _check_park(zoo):
  assert {n: len(s) for n, s in zoo.splits.items()} == {
    'train': 2,
    'validation': 2,
    'test': 2,
  }
  test = zoo.splits['test']
  np.testing.assert_allclose(test.accuracy, [0.3, 0.4], rtol=1e-6)
  assert test.epoch.tolist() == [10, 20]
  assert len(set(test.run.tolist())) == 1
  network = networks.Cnn(
    (3, 2, 4, 3),
    (3, 5, 3),
    ('relu', 'gelu', 'none'),
    num_classes=4,
    residual=(-1, -1, 0),
  )
  assert test.network_specs[0] == network.spec
  kernel = zoo_files.state_dict(zoo_files.CONFIG, 210)['layers.1.weight']
  np.testing.assert_array_equal(
    test.weights[0]['conv_2']['kernel'], kernel.transpose(2, 3, 1, 0)
  )


def test_the_wild_park(park):
  _check_park(wild_park.read(park))


def test_arrays_may_not_contradict_the_config(park):
  path = next(park.glob('cifar10_zooV2/run_0/*20/checkpoint.pt'))
  shorter = {
    name: x[:2] if isinstance(x, list) else x
    for name, x in zoo_files.CONFIG.items()
  }
  for changes, message in (
    ({'channels': [3, 2, 8, 3]}, 'conv_2/kernel must have shape'),
    (
      {**shorter, 'channels': [3, 2, 4]},
      "by its config it has the layers .*'layers.1', 'fc'",
    ),
  ):
    model = zoo_files.state_dict(zoo_files.CONFIG, 1)
    config = {**zoo_files.CONFIG, **changes}
    torch_trees.write(path, {'model': model, 'config': config})
    with pytest.raises(
      ValueError, match=f'run_0/.*20/.*contradict the config .*{message}'
    ):
      wild_park.read(park)


def test_a_bad_wild_park_is_named(park):
  path = next(park.glob('cifar10_zooV2/run_1/*20/checkpoint.pt'))
  torch_trees.write(path, {'model': {}, 'config': {'channels': [3]}})
  with pytest.raises(ValueError, match='run_1/.* must be a checkpoint with'):
    wild_park.read(park)
  (park / 'cnn_park_splits.json').unlink()
  with pytest.raises(ValueError, match="must have the entries 'train', 'val'"):
    wild_park.read(park)


def _edit_park(path, edit):
  file = path / 'cnn_park_splits.json'
  table = json.loads(file.read_text())
  edit(table)
  file.write_text(json.dumps(table))


@pytest.mark.parametrize(
  ('edit', 'message'),
  [
    (
      lambda table: table['val'].update(score=[0.1, 1.5]),
      r'between 0 and 1, but cifar10_zooV2/run_1/.* has 1.5 \(1 of 6',
    ),
    (
      lambda table: table['val'].update(score=[0.1, float('nan')]),
      r'between 0 and 1, but cifar10_zooV2/run_1/.* has nan',
    ),
    (
      lambda table: table['test']['score'].pop(),
      'lists of different lengths',
    ),
    (
      lambda table: table.update(test=table['train']),
      'must name every file once, but names 2 again:\n  .*10/check.*\n  .*20/',
    ),
    (
      lambda table: (
        [x.pop() for x in table['test'].values()]
        and table['train']['path'].__setitem__(
          1, 'cifar10_zooV2/run_2/checkpoint_000020/checkpoint.pt'
        )
      ),
      r'train and test of .* share the runs',
    ),
  ],
)
def test_what_the_splits_of_the_wild_park_may_not_say(park, edit, message):
  _edit_park(park, edit)
  with pytest.raises(ValueError, match=message):
    wild_park.list_checkpoints(park)


def test_all_missing_files_of_the_wild_park_are_listed(park):
  gone = sorted(park.glob('cifar10_zooV2/*/*20/checkpoint.pt'))
  for path in gone:
    path.unlink()
  with pytest.raises(ValueError, match='names 3 files that are not in') as info:
    wild_park.read(park)
  for path in gone:
    assert str(path.relative_to(park)) in str(info.value)


def test_the_wild_park_needs_torch(tmp_path, monkeypatch):
  def save(path, content):
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps({}, protocol=2))  # Asks for nothing.

  zoo_files.write_park(tmp_path, save=save)
  monkeypatch.setitem(sys.modules, 'torch', None)
  with pytest.raises(ImportError, match=r"pip install 'ng_jax\[torch\]'"):
    wild_park.read(tmp_path)
