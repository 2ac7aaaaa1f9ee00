# SPDX-License-Identifier: Apache-2.0
"""Readers of zoos of others, on small files in their formats."""

import dataclasses
import gzip
import os

import jax
import ml_collections
import numpy as np
import pytest
import safetensors.numpy

from ng_jax import networks
from ng_jax import specs
from ng_jax.data.cnn_zoo import folder
from ng_jax.data.cnn_zoo import small_zoo
from ng_jax.train import zoo_sources
from tests.data import zoo_files

_CNN = networks.Cnn((1, 2, 3), (3, 3), num_classes=4)


# A folder of one's own.


@pytest.fixture
def own(tmp_path):
  """Ten networks, one of them an npz file, one of another architecture."""
  (tmp_path / 'spec.json').write_text(_CNN.spec.to_json())
  other = dataclasses.replace(_CNN, channels=(1, 4, 3))
  rows = []
  for i in range(10):
    name = f'net_{i}.safetensors' if i else 'net_0.npz'
    arrays = specs.leaf_arrays(zoo_files.draw(other if i == 3 else _CNN, i))
    if i:
      safetensors.numpy.save_file(arrays, tmp_path / name)
    else:
      np.savez(tmp_path / name, **arrays)
    split = 'test' if i > 7 else 'validation' if i > 5 else 'train'
    rows.append([name, i / 10, split, i // 2, 5 * (i % 2)])
  (tmp_path / 'net_3.json').write_text(other.spec.to_json())
  zoo_files.write_rows(
    tmp_path / 'labels.csv', ['file', 'accuracy', 'split', 'run', 'epoch'], rows
  )
  return tmp_path


def test_a_folder_of_ones_own(own):
  zoo = folder.read(own)
  train = zoo.splits['train']
  assert [len(zoo.splits[n]) for n in ('train', 'validation', 'test')] == [
    *(6, 2, 2)
  ]
  np.testing.assert_allclose(train.accuracy, np.arange(6) / 10)
  assert train.network_specs[3].neuron_set('hidden_1').size == 4
  assert train.network_specs[0] is train.network_specs[1]
  assert train.epoch.tolist() == [0, 5] * 3
  jax.tree.map(
    np.testing.assert_array_equal, train.weights[0], zoo_files.draw(_CNN, 0)
  )
  jax.tree.map(
    np.testing.assert_array_equal, train.weights[4], zoo_files.draw(_CNN, 4)
  )


def test_splits_are_drawn_by_run(own):
  (own / 'net_0.npz').unlink()
  rows = [[f'net_{i}.safetensors', 0.5, f'run {i // 3}'] for i in range(1, 10)]
  zoo_files.write_rows(own / 'labels.csv', ['file', 'accuracy', 'run'], rows)
  zoo = folder.read(own)
  runs = [set(split.run.tolist()) for split in zoo.splits.values()]
  assert sorted(n for members in runs for n in members) == [0, 1, 2, 3]
  assert all(runs)
  again = folder.read(own)
  assert [s.names for s in zoo.splits.values()] == [
    s.names for s in again.splits.values()
  ]


@pytest.mark.parametrize(
  ('name', 'content', 'message'),
  [
    ('labels.csv', 'file,score\na,1\n', 'labels.csv must be a table with the'),
    ('labels.csv', 'file,accuracy\na.npz,high\n', "table with .*'high'"),
    (
      'labels.csv',
      'file,accuracy,split\nnet_1.safetensors,0.5,valid\n',
      "unknown split 'valid' of net_1.safetensors; expected one of",
    ),
    (
      'labels.csv',
      'file,accuracy\nnet_1.safetensors,50\nnet_2.safetensors,60\n'
      'net_4.safetensors,70\n',
      'must be fractions between 0 and 1, but net_',
    ),
    (
      'labels.csv',
      'file,accuracy,split,run\nnet_1.safetensors,0.5,train,a\n'
      'net_2.safetensors,0.5,test,a\nnet_4.safetensors,0.5,validation,b\n',
      r'train and test of .* share the runs \[0\]',
    ),
    (
      'labels.csv',
      'file,accuracy,split\nnet_1.safetensors,0.5,train\n',
      "the split 'validation' of .* must hold networks, got none",
    ),
    ('net_2.safetensors', 'x', 'net_2.safetensors must be a .safetensors or'),
    ('spec.json', '{}', 'spec.json must be a spec as NetworkSpec.to_json'),
  ],
)
def test_a_bad_folder_is_named(own, name, content, message):
  (own / name).write_text(content)
  with pytest.raises(ValueError, match=message):
    folder.read(own)


def _edit_labels(own, edit):
  path = own / 'labels.csv'
  path.write_text(''.join(edit(path.read_text().splitlines(keepends=True))))


def test_rows_of_the_labels_may_not_be_doubled(own):
  _edit_labels(own, lambda lines: [*lines, lines[2], lines[4]])
  with pytest.raises(
    ValueError,
    match=r'labels.csv must name every file once, but names 2 again:\n'
    r'  net_1.safetensors\n  net_3.safetensors\nLeave one',
  ):
    folder.read(own)


def test_rows_of_the_labels_may_not_be_missing(own):
  _edit_labels(own, lambda lines: [lines[0], *lines[3:]])
  with pytest.raises(
    ValueError,
    match=r'must have a line for every network, but lacks 2 of the files .*\n'
    r'  net_0.npz\n  net_1.safetensors\n',
  ):
    folder.read(own)


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('a' * 5_000, r'(?s)names 1 files that are not in .*\(5,000 characters\)'),
    ('../x.npz', 'must be the name of a file inside'),
    ('out.npz', 'a link that leads elsewhere'),
  ],
)
def test_names_in_the_labels_lead_to_files_inside(own, tmp_path, name, message):
  outside = tmp_path.with_name(f'{tmp_path.name}_outside.npz')
  (own / 'net_0.npz').rename(outside)
  (own / 'out.npz').symlink_to(outside)
  _edit_labels(own, lambda lines: [x.replace('net_0.npz', name) for x in lines])
  with pytest.raises(ValueError, match=message):
    folder.read(own)


def test_all_missing_files_of_the_labels_are_listed(own):
  (own / 'net_2.safetensors').unlink()
  (own / 'net_7.safetensors').unlink()
  with pytest.raises(
    ValueError,
    match=r'labels.csv names 2 files that are not in .*\n'
    r'  net_2.safetensors\n  net_7.safetensors\n',
  ):
    folder.read(own)


def test_weights_must_fit_the_spec(own):
  (own / 'net_3.json').unlink()
  with pytest.raises(
    ValueError,
    match=r'net_3.safetensors: weights do not fit .* conv_1/kernel must have',
  ):
    folder.read(own)


# CIFAR10-GS.


def test_the_small_zoo(tmp_path):
  zoo_files.write_small_zoo(tmp_path)
  order = [0, 0, *reversed(range(20))]  # A header that became a row.
  (tmp_path / 'split.csv').write_text('\n'.join(map(str, order)) + '\n')
  zoo = small_zoo.read(tmp_path, split_file=tmp_path / 'split.csv')
  sizes = {name: len(split) for name, split in zoo.splits.items()}
  assert sizes == {'train': 4, 'validation': 1, 'test': 5}
  # Final checkpoints only, in the order of the file; the second half is test.
  assert zoo.splits['test'].run.tolist() == [9, 7, 5, 3, 1]
  for split in zoo.splits.values():
    for weights, row, accuracy in zip(
      split.weights, split.run, split.accuracy, strict=True
    ):
      assert accuracy == pytest.approx(row / 100)
      jax.tree.map(
        np.testing.assert_array_equal,
        weights,
        zoo_files.draw(zoo_files.SMALL, int(row)),
      )
  assert set(zoo.splits['train'].network_specs) == {zoo_files.SMALL.spec}
  # Without a file, a permutation is drawn.
  drawn = small_zoo.read(tmp_path)
  assert sum(len(split) for split in drawn.splits.values()) == 10


@pytest.mark.parametrize(
  ('name', 'content', 'message'),
  [
    ('metrics.csv.gz', b'x', 'metrics.csv.gz must be a gzipped table with'),
    ('weights.npy', b'x', 'weights.npy must be an array file of NumPy'),
    ('layout.csv', b'a,b\n1,2\n', 'layout.csv must have the columns varname'),
    ('split.csv', b'index\n', 'split.csv must hold one row number a line'),
    ('split.csv', b'1\n99\n', 'row numbers from 0 to 19, got 99'),
  ],
)
def test_a_bad_small_zoo_is_named(tmp_path, name, content, message):
  zoo_files.write_small_zoo(tmp_path)
  (tmp_path / 'split.csv').write_text('1\n3\n')
  (tmp_path / name).write_bytes(content)
  with pytest.raises(ValueError, match=message):
    small_zoo.read(tmp_path, split_file=tmp_path / 'split.csv')


def test_the_layout_must_fit_the_weights(tmp_path):
  zoo_files.write_small_zoo(tmp_path)
  weights = np.load(tmp_path / 'weights.npy')
  np.save(tmp_path / 'weights.npy', weights[:, :-1])
  with pytest.raises(ValueError, match='linear/kernel must have the shape'):
    small_zoo.read(tmp_path)
  np.save(tmp_path / 'weights.npy', weights[:-1])
  with pytest.raises(ValueError, match=r'must be \[20, num_weights\], one row'):
    small_zoo.read(tmp_path)


@pytest.mark.parametrize('accuracy', ['1.2', '-0.1', 'nan'])
def test_accuracies_of_the_small_zoo_must_be_fractions(tmp_path, accuracy):
  zoo_files.write_small_zoo(tmp_path)
  rows = [[86 * (i % 2), accuracy if i == 3 else 0.5] for i in range(20)]
  path = tmp_path / 'metrics.csv.gz'
  zoo_files.write_rows(path, ['step', 'test_accuracy'], rows, gzip.open)
  with pytest.raises(
    ValueError, match=rf'between 0 and 1, but row 3 has {accuracy} \(1 of 10'
  ):
    small_zoo.read(tmp_path)


def test_weights_of_the_small_zoo_must_be_finite(tmp_path):
  zoo_files.write_small_zoo(tmp_path)
  weights = np.load(tmp_path / 'weights.npy')
  weights[7, 0] = np.inf
  np.save(tmp_path / 'weights.npy', weights)
  with pytest.raises(ValueError, match='row 7 of weights.npy must be finite'):
    small_zoo.read(tmp_path)


def test_the_small_zoo_needs_final_checkpoints(tmp_path):
  zoo_files.write_small_zoo(tmp_path)
  with pytest.raises(
    ValueError, match=r'at least 5 checkpoints of step 40, .* \[0, 86\]'
  ):
    small_zoo.read(tmp_path, final_step=40)


class _Evil:
  """Makes a folder when it is unpickled."""

  def __init__(self, path):
    self.path = str(path)

  def __reduce__(self):
    return os.mkdir, (self.path,)


def test_malicious_arrays_are_refused_and_not_run(own, tmp_path):
  mark = tmp_path / 'it_ran'
  evil = np.array([_Evil(mark)], dtype=object)
  np.savez(own / 'net_0.npz', evil=evil)
  with pytest.raises(ValueError, match='net_0.npz must be a .safetensors or'):
    folder.read(own)
  zoo = tmp_path / 'zoo'
  zoo.mkdir()
  zoo_files.write_small_zoo(zoo)
  np.save(zoo / 'weights.npy', np.repeat(evil, 20)[:, None])
  with pytest.raises(ValueError, match='weights.npy must be an array file of'):
    small_zoo.read(zoo)
  assert not mark.exists()
  np.load(zoo / 'weights.npy', allow_pickle=True)
  assert mark.exists()  # The file is one that would have run.


# By name.


def test_kinds_of_data(own):
  fields = ml_collections.ConfigDict(zoo_sources.default_fields())
  fields.kind = 'folder'
  with pytest.raises(ValueError, match='config.data.path must name the zoo'):
    zoo_sources.load(fields)
  fields.path = str(own)
  assert len(zoo_sources.load(fields).splits['train']) == 6
  fields.kind = 'imagenet'
  with pytest.raises(
    ValueError, match=r"unknown kind of data 'imagenet'; .*'made', 'small_zoo'"
  ):
    zoo_sources.load(fields)
