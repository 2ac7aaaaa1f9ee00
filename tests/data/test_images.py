# SPDX-License-Identifier: Apache-2.0
"""Tests that images are found by name, and that bad folders are refused."""

import sys

import numpy as np
import pytest

from ng_jax.data import images
from tests.data import publisher_files


def test_digits_are_whole_and_scaled_exactly():
  found = images.read('digits')
  train, test = found['train'], found['test']
  assert train.pixels.shape == (1438, 8, 8, 1)
  assert test.pixels.shape == (359, 8, 8, 1)
  assert train.max_value == train.pixels.max() == 16
  np.testing.assert_array_equal(
    images.scale(np.arange(17, dtype=np.uint8), 16), np.arange(17) / 16
  )
  together = np.sort(np.concatenate([train.index, test.index]))
  np.testing.assert_array_equal(together, np.arange(1797))


def test_digits_split_is_stratified_and_seeded():
  one, same, other = (images.read('digits', split_seed=i) for i in (0, 0, 1))
  np.testing.assert_array_equal(one['test'].index, same['test'].index)
  assert not np.array_equal(one['test'].index, other['test'].index)
  share = np.bincount(one['test'].labels) / np.bincount(
    np.concatenate([one['train'].labels, one['test'].labels])
  )
  np.testing.assert_allclose(share, 0.2, atol=0.005)


@pytest.mark.parametrize('gzipped', [True, False])
@pytest.mark.parametrize('source', ['mnist', 'fashion_mnist'])
def test_reads_idx_folders(tmp_path, source, gzipped):
  arrays = publisher_files.write_mnist(tmp_path, gzipped=gzipped)
  found = images.read(source, image_dir=str(tmp_path))
  np.testing.assert_array_equal(
    found['test'].pixels[..., 0], arrays['t10k-images-idx3']
  )
  np.testing.assert_array_equal(
    found['train'].labels, arrays['train-labels-idx1']
  )
  assert found['train'].note == 'train: 12 images, of 60,000 published'
  assert found['train'].class_names[9] in ('9', 'Ankle boot')
  assert found['train'].name == source and found['train'].split == 'train'


@pytest.mark.parametrize('binary', [True, False])
def test_reads_cifar_folders(tmp_path, binary):
  arrays = publisher_files.write_cifar(tmp_path, binary=binary)
  found = images.read('cifar10', image_dir=str(tmp_path))
  assert found['train'].pixels.shape == (15, 32, 32, 3)
  np.testing.assert_array_equal(
    found['train'].labels[3:6], arrays['data_batch_2'][1]
  )
  # Numbers are those of the whole published set.
  np.testing.assert_array_equal(
    found['train'].index[:5], [0, 1, 2, 10_000, 10_001]
  )
  ending = '.bin' if binary else ''
  assert f'data_batch_2{ending} 3, ' in found['test'].note
  assert 'of 10,000 published' in found['test'].note


def test_one_folder_for_all_sources(tmp_path):
  publisher_files.write_mnist(tmp_path / 'mnist', num_train=12)
  publisher_files.write_mnist(tmp_path / 'fashion_mnist', num_train=13)
  publisher_files.write_cifar(tmp_path / 'cifar10_subset', binary=True)
  sizes = {
    source: len(images.read(source, image_dir=str(tmp_path))['train'].labels)
    for source in ('mnist', 'fashion_mnist', 'cifar10')
  }
  assert sizes == {'mnist': 12, 'fashion_mnist': 13, 'cifar10': 15}
  # The whole set, once it is there, goes before its part.
  (tmp_path / 'cifar-10-batches-bin').mkdir()
  with pytest.raises(ValueError, match='cifar-10-batches-bin lacks all'):
    images.read('cifar10', image_dir=str(tmp_path))


def test_fingerprint_depends_on_pixels_and_labels(tmp_path):
  publisher_files.write_mnist(tmp_path)
  found = images.read('mnist', image_dir=str(tmp_path))['train']
  before = found.fingerprint()
  found.labels[0] += 1
  assert found.fingerprint() != before


def test_refuses_unknown_sources():
  with pytest.raises(
    ValueError, match=r"unknown image source 'mnits'; .* 'digits', 'fashion_mn"
  ):
    images.read('mnits')


def test_refuses_no_folder():
  with pytest.raises(
    ValueError, match="image_dir must name the folder of the 'mnist' files"
  ):
    images.read('mnist')


@pytest.mark.parametrize('source', ['mnist', 'cifar10'])
def test_refuses_folders_without_images(tmp_path, source):
  (tmp_path / 'notes.txt').write_text('no images here')
  name = 'train-images-idx3-ubyte' if source == 'mnist' else 'data_batch_1'
  with pytest.raises(ValueError, match=f'{name}, .* lacks all of them; fetch'):
    images.read(source, image_dir=str(tmp_path))
  with pytest.raises(ValueError, match='nowhere does not exist; fetch'):
    images.read(source, image_dir=str(tmp_path / 'nowhere'))


def test_refuses_folders_that_lack_a_file(tmp_path):
  publisher_files.write_mnist(tmp_path)
  (tmp_path / 't10k-labels-idx1-ubyte.gz').unlink()
  with pytest.raises(ValueError, match='lacks t10k-labels-idx1-ubyte; fetch'):
    images.read('mnist', image_dir=str(tmp_path))


def test_refuses_another_number_of_labels(tmp_path):
  publisher_files.write_mnist(tmp_path, gzipped=False)
  (tmp_path / 'train-labels-idx1-ubyte').write_bytes(
    publisher_files.idx_bytes(np.arange(11) % 10)
  )
  with pytest.raises(
    ValueError, match="the train split of 'mnist' .* 12 images and 11 labels"
  ):
    images.read('mnist', image_dir=str(tmp_path))


def test_refuses_labels_of_another_source(tmp_path):
  publisher_files.write_mnist(tmp_path, gzipped=False)
  (tmp_path / 'train-labels-idx1-ubyte').write_bytes(
    publisher_files.idx_bytes(np.arange(12))
  )
  with pytest.raises(ValueError, match="of 'mnist' must be below 10, got 11"):
    images.read('mnist', image_dir=str(tmp_path))


def test_says_that_scikit_learn_is_missing(monkeypatch):
  monkeypatch.setitem(sys.modules, 'sklearn', None)
  with pytest.raises(ImportError, match='scikit-learn, which is not installed'):
    images.read('digits')
