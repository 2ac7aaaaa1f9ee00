# SPDX-License-Identifier: Apache-2.0
"""Tests INR data sets from images to disk and back, kills included."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

from ng_jax.data import images
from ng_jax.data import inr
from ng_jax.data import making
from ng_jax.data import shards

tfds = pytest.importorskip('tensorflow_datasets')

_SETTINGS = inr.InrSettings(
  source='digits',
  num_train=20,
  num_validation=6,
  num_test=8,
  num_views=2,
  hidden_sizes=(8, 8),
  num_steps=60,
  chunk_size=24,
)


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
  return inr.make_or_load(_SETTINGS, tmp_path_factory.mktemp('data'))


@pytest.fixture
def copy(dataset, tmp_path):
  """The folder of the data set, to be damaged."""
  path = tmp_path / dataset.path.name
  shutil.copytree(dataset.path, path)
  return path


def _assert_equal(one, other):
  for name in inr.SPLITS:
    jax.tree.map(
      np.testing.assert_array_equal,
      vars(one.split(name)),
      vars(other.split(name)),
    )


def test_splits_hold_what_was_asked_for(dataset):
  assert [len(dataset.split(name)) for name in inr.SPLITS] == [40, 12, 16]
  train = dataset.split('train')
  assert train.weights['layer_2']['kernel'].shape == (40, 8, 8)
  assert train.labels.dtype == train.image_index.dtype == np.int32
  assert dataset.network == _SETTINGS.network(1)
  assert dataset.class_names == tuple('0123456789')
  source = images.read('digits')['train']
  row = np.flatnonzero(source.index == train.image_index[5])[0]
  np.testing.assert_array_equal(train.images[5], source.pixels[row])
  assert train.labels[5] == source.labels[row]


def test_views_are_different_networks_of_one_image(dataset):
  train = dataset.split('train')
  np.testing.assert_array_equal(train.images[0], train.images[1])
  kernel = train.weights['layer_1']['kernel']
  assert not np.allclose(kernel[0], kernel[1])


def test_psnr_is_that_of_the_stored_weights(dataset):
  test = dataset.split('test')
  rendered = np.asarray(dataset.network.render(test.weights, (8, 8)))
  pixels = images.scale(test.images, dataset.max_value)
  error = np.mean((rendered - pixels) ** 2, axis=(1, 2, 3))
  np.testing.assert_allclose(test.psnr, -10 * np.log10(error), atol=1e-3)


def test_tfds_reads_it_alone(dataset):
  builder = tfds.builder_from_directory(dataset.path / 'inr_set' / '1.0.0')
  source = builder.as_data_source('validation')
  example = source[3]
  validation = dataset.split('validation')
  np.testing.assert_array_equal(
    example['weights']['layer_3']['kernel'],
    validation.weights['layer_3']['kernel'][3],
  )
  assert set(example) == {
    'weights',
    'image',
    'label',
    'image_index',
    'view',
    'psnr',
  }
  assert example['image_index'] == validation.image_index[3]
  assert builder.info.features['label'].names == list('0123456789')


def test_array_record_and_the_fast_copy_are_equal(dataset, copy):
  shutil.rmtree(copy / 'arrays')
  _assert_equal(dataset, inr.load(copy))


def test_card_says_what_it_is(dataset):
  card = json.loads((dataset.path / 'card.json').read_text())
  assert card['settings'] == _SETTINGS.to_dict()
  assert card['num_networks'] == {'train': 40, 'validation': 12, 'test': 16}
  assert len(card['statistics_of_train']['weight_std']) == 3
  assert sum(card['psnr']['histogram']['counts']) == 68
  assert card['fit']['jax'] == jax.__version__
  assert card['images']['notes'] == [
    '26 of 1,438 train images',
    '8 of 359 test images',
  ]
  text = (dataset.path / 'README.md').read_text()
  for part in ('2-8-8-1', '| train | 40 |', 'median', '| 3 |', 'seed'):
    assert part in text
  kernel = dataset.split('train').weights['layer_2']['kernel']
  assert card['statistics_of_train']['weight_std'][1] == pytest.approx(
    np.std(kernel, ddof=1), rel=1e-5
  )


def test_finished_sets_are_reused(dataset, monkeypatch):
  # Neither images nor a fit are needed again.
  monkeypatch.setattr(images, 'read', None)
  path = inr.make(_SETTINGS, dataset.path.parent, image_dir='gone')
  assert path == dataset.path


def _killed_run(monkeypatch, data_dir, num_shards):
  """Runs `make` until so many shards are written."""
  written = []

  def write(path, arrays):
    if len(written) == num_shards:
      raise KeyboardInterrupt
    shards_write(path, arrays)
    written.append(path)

  shards_write = shards.write
  monkeypatch.setattr(shards, 'write', write)
  with pytest.raises(KeyboardInterrupt):
    inr.make(_SETTINGS, data_dir)
  monkeypatch.undo()
  return written


def test_a_killed_run_continues_bit_for_bit(
  dataset, monkeypatch, tmp_path, caplog
):
  written = _killed_run(monkeypatch, tmp_path, 2)
  times = [path.stat().st_mtime_ns for path in written]
  fitted = []
  fit_chunk = making._fit_chunk
  monkeypatch.setattr(
    making,
    '_fit_chunk',
    lambda *args: fitted.append(args[-2]) or fit_chunk(*args),
  )
  with caplog.at_level('INFO', logger='absl'):
    resumed = inr.make_or_load(_SETTINGS, tmp_path)
  assert '2 of 3 shards found, 1 to make' in caplog.text
  assert len(times) == 2 and len(fitted) == 1
  _assert_equal(dataset, resumed)
  assert not (resumed.path / 'shards').exists()


def test_an_unfinished_set_is_not_loaded(monkeypatch, tmp_path):
  _killed_run(monkeypatch, tmp_path, 1)
  with pytest.raises(
    ValueError, match='must hold a finished INR data set.* card.json cannot be'
  ):
    inr.load(tmp_path / _SETTINGS.folder_name())


def test_a_corrupted_shard_is_named(monkeypatch, tmp_path):
  (path,) = _killed_run(monkeypatch, tmp_path, 1)
  content = pathlib.Path(path).read_bytes()
  pathlib.Path(path).write_bytes(content[: len(content) // 2])
  with pytest.raises(
    ValueError,
    match=r'shard_00000_of_00003.* must hold 24 networks.* delete it',
  ):
    inr.make(_SETTINGS, tmp_path)
  pathlib.Path(path).unlink()
  inr.load(inr.make(_SETTINGS, tmp_path))


def test_images_may_not_change_on_the_way(monkeypatch, tmp_path):
  _killed_run(monkeypatch, tmp_path, 1)
  source = images.read('digits')
  source['train'].pixels[0] += 1
  monkeypatch.setattr(images, 'read', lambda *args, **options: source)
  with pytest.raises(
    ValueError, match='begun with other images than image_dir'
  ):
    inr.make(_SETTINGS, tmp_path)


def _contents(folder):
  return {p: p.stat().st_mtime_ns for p in sorted(folder.rglob('*'))}


def test_refuses_a_folder_with_other_settings(copy):
  before = _contents(copy)
  other = dataclasses.replace(_SETTINGS, num_steps=61, variant='nfn')
  with pytest.raises(
    ValueError,
    match=r'holds an INR data set with other settings:\n  num_steps: 60 there, '
    r"61 asked for\n  variant: 'dws' there, 'nfn' asked for\n.*Nothing was ch",
  ):
    inr.make(other, copy.parent, name=copy.name)
  assert _contents(copy) == before


def test_refuses_a_folder_of_something_else(tmp_path):
  (tmp_path / 'mine').mkdir()
  (tmp_path / 'mine' / 'thesis.tex').write_text('words')
  with pytest.raises(
    ValueError, match='mine must be new, empty, or an INR data'
  ):
    inr.make(_SETTINGS, tmp_path, name='mine')
  assert [p.name for p in (tmp_path / 'mine').iterdir()] == ['thesis.tex']


def test_a_name_may_be_given(copy):
  named = copy.rename(copy.parent / 'my_digits')
  assert inr.make(_SETTINGS, copy.parent, name='my_digits') == named


@pytest.mark.parametrize('file', ['train.safetensors', 'card.json'])
def test_damaged_files_are_named(copy, file):
  path = copy / 'arrays' / file if 'safe' in file else copy / file
  path.write_bytes(path.read_bytes()[:50])
  with pytest.raises(ValueError, match=f'{file}.* cannot be read'):
    inr.load(copy)


def test_a_set_without_labels_is_named(copy):
  path = copy / 'arrays' / 'test.safetensors'
  arrays = safetensors.numpy.load_file(path)
  del arrays['label']
  safetensors.numpy.save_file(arrays, path)
  with pytest.raises(ValueError, match="split 'test' of .* not .'label'.; del"):
    inr.load(copy)


def test_damaged_array_record_is_named(copy):
  shutil.rmtree(copy / 'arrays')
  (copy / 'inr_set' / '1.0.0' / 'features.json').unlink()
  with pytest.raises(
    ValueError, match="the split 'train' of .*inr_set.* cannot"
  ):
    inr.load(copy)


@pytest.mark.allow_nans
def test_a_fit_that_diverges_is_named(tmp_path):
  settings = dataclasses.replace(_SETTINGS, learning_rate=1e30, num_steps=20)
  with pytest.raises(
    ValueError, match=r'networks diverged .* \(images \[.* learning_rate=1e\+30'
  ):
    inr.make(settings, tmp_path)


def test_float64_needs_x64(tmp_path):
  settings = dataclasses.replace(_SETTINGS, dtype='float64')
  with pytest.raises(ValueError, match='set JAX_ENABLE_X64=1'):
    inr.make(settings, tmp_path)


def test_unknown_splits_list_the_known(dataset):
  with pytest.raises(
    ValueError, match=r"unknown split 'valid'; .*'test', 'train', 'validation'"
  ):
    dataset.split('valid')


def test_a_config_is_split_into_settings_and_folders():
  config = {**_SETTINGS.to_dict(), 'data_dir': 'data', 'image_dir': ''}
  settings, folders = inr.split_config(config)
  assert settings == _SETTINGS
  assert folders == {'data_dir': 'data', 'image_dir': ''}
