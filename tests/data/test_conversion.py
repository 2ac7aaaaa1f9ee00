# SPDX-License-Identifier: Apache-2.0
"""Converters of published sets: equal contents, streaming, kills included."""

import json
import weakref

import jax
import numpy as np
import pytest

from ng_jax.data import cnn_zoo
from ng_jax.data import conversion
from ng_jax.data import inr
from ng_jax.data import inr_files
from ng_jax.data import published
from ng_jax.data import tfds_folder
from ng_jax.data.cnn_zoo import small_zoo
from ng_jax.data.cnn_zoo import wild_park
from ng_jax.files import torch_files
from tests.data import torch_trees
from tests.data import zoo_files

tfds = pytest.importorskip('tensorflow_datasets')

_INRS = ('dws_mnist', 'dws_fashion_mnist', 'nfn_mnist')


@pytest.fixture(autouse=True)
def torch_or_its_stand_in(monkeypatch):
  torch_trees.stand_in(monkeypatch)


@pytest.fixture
def files(tmp_path):
  """A folder of each published set, and one of images."""
  torch_trees.write_images(tmp_path / 'images')
  folder = tmp_path / 'files'
  folder.mkdir()
  torch_trees.write_mnist(folder)
  torch_trees.write_fashion_mnist(folder, processed=False)
  torch_trees.write_sirens(folder)
  zoo_files.write_small_zoo(folder)
  zoo_files.write_park(folder)
  return folder


def _settings(source):
  return published.PublishedSettings(
    source=source, split_points=(6, 8), chunk_size=4
  )


def _contents(folder):
  return {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in sorted(folder.rglob('*'))
    if path.is_file()
  }


@pytest.mark.parametrize('image_dir', ['', 'images'])
@pytest.mark.parametrize('source', _INRS)
def test_converted_inrs_are_those_of_the_files(files, source, image_dir):
  image_dir = image_dir and str(files.parent / image_dir)
  settings = _settings(source)
  path = conversion.convert(
    settings, files.parent / 'data', source_dir=files, image_dir=image_dir
  )
  found = inr.load(path)
  expected = inr_files.read(settings, files, image_dir=image_dir)
  assert found.network == expected.network
  assert found.class_names == expected.class_names
  for name in inr.SPLITS:
    jax.tree.map(
      np.testing.assert_array_equal,
      vars(found.split(name)),
      vars(expected.split(name)),
    )
  assert (found.split('test').images is None) == (not image_dir)
  assert found.card['num_networks'] == {'train': 6, 'validation': 2, 'test': 4}
  assert '| train | 6 |' in (path / 'README.md').read_text()
  builder = tfds.builder_from_directory(path / 'inr_set' / '1.0.0')
  assert builder.info.splits['train'].shard_lengths == [4, 2]
  assert (
    builder.as_data_source('train')[5]['image_index']
    == (expected.split('train').image_index[5])
  )


@pytest.mark.parametrize('source', ['small_zoo', 'wild_park'])
def test_converted_zoos_are_those_of_the_files(files, source):
  reader = {'small_zoo': small_zoo, 'wild_park': wild_park}[source]
  path = conversion.convert(
    _settings(source), files.parent / 'data', source_dir=files
  )
  found, expected = cnn_zoo.load(path), reader.read(files)
  assert found.name == source
  for name, split in expected.splits.items():
    assert found.splits[name].network_specs == split.network_specs
    assert found.splits[name].names == split.names
    for field in ('accuracy', 'run', 'epoch', 'weights'):
      jax.tree.map(
        np.testing.assert_array_equal,
        getattr(found.splits[name], field),
        getattr(split, field),
      )


@pytest.mark.parametrize('source', ['dws_fashion_mnist', 'wild_park'])
@pytest.mark.parametrize('num_shards', [0, 2])
def test_a_killed_conversion_goes_on(
  files, monkeypatch, source, num_shards, caplog
):
  whole = conversion.convert(
    _settings(source), files.parent / 'whole', source_dir=files
  )
  read, written = [], []
  read_file, write_shard = torch_files.read, tfds_folder.write_shard

  def killed(path, features, examples):
    if len(written) == num_shards:
      next(iter(examples))  # In the midst of a shard.
      path.parent.mkdir(parents=True, exist_ok=True)
      path.parent.with_name(f'.{path.name}.tmp').write_bytes(b'half')
      raise KeyboardInterrupt
    write_shard(path, features, examples)
    written.append(path)

  with monkeypatch.context() as patch:
    patch.setattr(tfds_folder, 'write_shard', killed)
    with pytest.raises(KeyboardInterrupt):
      conversion.convert(
        _settings(source), files.parent / 'data', source_dir=files
      )
  monkeypatch.setattr(
    torch_files,
    'read',
    lambda path, **kwargs: read.append(path) or read_file(path, **kwargs),
  )
  with caplog.at_level('INFO', logger='absl'):
    path = conversion.convert(
      _settings(source), files.parent / 'data', source_dir=files
    )
  lengths = {'dws_fashion_mnist': [4, 2, 2, 4], 'wild_park': [2, 2, 2]}[source]
  num_made = len(lengths) - num_shards
  assert (
    f'{num_shards} of {len(lengths)} shards found, {num_made} to make'
    in caplog.text
  )
  assert len(read) == sum(lengths[num_shards:])
  assert _contents(path) == _contents(whole)


def test_a_kill_after_the_last_shard(files, monkeypatch):
  whole = conversion.convert(
    _settings('small_zoo'), files.parent / 'whole', source_dir=files
  )
  (whole / 'card.json').rename(whole / '.card.json.tmp1')
  before = _contents(whole)
  monkeypatch.setattr(tfds_folder, 'write_shard', None)
  path = conversion.convert(
    _settings('small_zoo'), files.parent / 'whole', source_dir=files
  )
  after = _contents(path)
  assert path == whole and after.pop('card.json') == before['.card.json.tmp1']
  before.pop('.card.json.tmp1')
  assert after == before


def test_finished_conversions_are_reused(files, monkeypatch):
  path = conversion.convert(
    _settings('dws_mnist'), files.parent / 'data', source_dir=files
  )
  monkeypatch.setattr(torch_files, 'read', None)
  again = conversion.convert(
    _settings('dws_mnist'), files.parent / 'data', source_dir=files
  )
  assert again == path


def test_other_files_are_another_data_set(files):
  data, settings = files.parent / 'data', _settings('wild_park')
  path = conversion.convert(settings, data, source_dir=files)
  table = json.loads((files / 'cnn_park_splits.json').read_text())
  table['val']['score'][0] = 0.25
  (files / 'cnn_park_splits.json').write_text(json.dumps(table))
  with pytest.raises(ValueError, match=r'other settings:\n  fingerprint: '):
    conversion.convert(settings, data, source_dir=files, name=path.name)
  assert conversion.convert(settings, data, source_dir=files) != path


def test_one_network_is_in_memory_at_once(files, monkeypatch):
  alive, most = set(), []
  draw = small_zoo.SmallZoo.weights

  def counted(zoo, row):
    weights = draw(zoo, row)
    alive.add(row)
    weakref.finalize(weights['linear']['kernel'], alive.discard, row)
    most.append(len(alive))
    return weights

  monkeypatch.setattr(small_zoo.SmallZoo, 'weights', counted)
  conversion.convert(
    _settings('small_zoo'), files.parent / 'data', source_dir=files
  )
  assert len(most) == 10 and max(most) <= 2


def test_bad_files_leave_no_data_set(files):
  path = files / 'fmnist_inrs' / 'test' / 'model_0.pth'
  torch_trees.save(path, torch_trees.state_dict(0, num_channels=3), label=1)
  with pytest.raises(ValueError, match='model_0.pth must be the state_dict of'):
    conversion.convert(
      _settings('dws_fashion_mnist'), files.parent / 'data', source_dir=files
    )
  (folder,) = (files.parent / 'data').iterdir()
  with pytest.raises(ValueError, match='must hold a finished INR data set'):
    inr.load(folder)


def test_what_is_converted_must_be_named(tmp_path):
  with pytest.raises(ValueError, match="unknown source 'x'; .*'dws_mnist'"):
    conversion.convert(_settings('x'), tmp_path, source_dir=tmp_path)
  with pytest.raises(ValueError, match='source_dir must name the folder of'):
    conversion.convert(_settings('small_zoo'), tmp_path, source_dir='')
