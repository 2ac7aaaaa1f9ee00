# SPDX-License-Identifier: Apache-2.0
"""Tests the builder of image files and the reading of prepared TFDS sets."""

import sys
import types

import numpy as np
import pytest

from ng_jax.data import images
from ng_jax.data import prepared
from tests.data import publisher_files

tfds = pytest.importorskip('tensorflow_datasets')


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """Fashion-MNIST in small, prepared by our builder."""
  from ng_jax.data.builders import image_files

  folder = tmp_path_factory.mktemp('tfds')
  publisher_files.write_mnist(folder / 'files', num_train=30, num_test=7)
  builder = image_files.ImageFiles(
    config='fashion_mnist',
    data_dir=str(folder),
    image_dir=str(folder / 'files'),
  )
  builder.download_and_prepare(download_dir=str(folder / 'downloads'))
  return folder


def test_prepared_set_equals_the_files(data_dir):
  direct = images.read('fashion_mnist', image_dir=str(data_dir / 'files'))
  found = images.read('tfds:image_files/fashion_mnist', image_dir=str(data_dir))
  for split in ('train', 'test'):
    assert found[split].class_names == direct[split].class_names
    assert found[split].max_value == 255
    for field in ('pixels', 'labels', 'index'):
      np.testing.assert_array_equal(
        getattr(found[split], field), getattr(direct[split], field)
      )


def test_needs_no_tensorflow(data_dir):
  assert 'tensorflow' not in sys.modules


def test_tfds_alone_can_read_it(data_dir):
  builder = tfds.builder_from_directory(
    data_dir / 'image_files' / 'fashion_mnist' / '1.0.0'
  )
  example = builder.as_data_source('train[10:]')[0]
  assert example['image'].shape == (6, 6, 1) and example['index'] == 10


def test_refuses_a_set_that_is_not_prepared(tmp_path):
  with pytest.raises(
    ValueError, match="TFDS data set 'mnist' must be prepared .* none was found"
  ):
    images.read('tfds:mnist', image_dir=str(tmp_path))


class _Builder:
  """What `prepared` asks a TFDS builder for."""

  data_path = 'folder'

  def __init__(self, file_format, fields, splits, example=None):
    self.info = types.SimpleNamespace(
      file_format=types.SimpleNamespace(value=file_format),
      features=dict.fromkeys(fields),
      splits=splits,
      metadata=None,
    )
    self._example = example

  def as_data_source(self, split):
    return self._example


@pytest.mark.parametrize(
  ('builder', 'message'),
  [
    (_Builder('tfrecord', ['image', 'label'], ['train']), "format 'tfrecord'"),
    (
      _Builder('array_record', ['text', 'label'], ['train', 'test']),
      r"fields 'image' and 'label', got \['label', 'text'\]",
    ),
    (
      _Builder('array_record', ['image', 'label'], ['train']),
      r"splits 'train' and 'test', got \['train'\]",
    ),
    (
      _Builder(
        'array_record',
        ['image', 'label'],
        ['train', 'test'],
        [{'image': np.zeros((4, 4)), 'label': 0}],
      ),
      r'must all be uint8 \[rows, columns, channels\] of one shape, got',
    ),
  ],
)
def test_refuses_sets_that_are_no_images(monkeypatch, builder, message):
  monkeypatch.setattr(
    tfds.core.read_only_builder,
    'builder_from_files',
    lambda name, data_dir: builder,
  )
  with pytest.raises(ValueError, match=message):
    prepared.read('tfds:x', image_dir=None)


def test_labels_without_names_are_numbered(monkeypatch):
  examples = [{'image': np.zeros((4, 4, 1), np.uint8), 'label': 2}] * 3
  builder = _Builder(
    'array_record', ['image', 'label'], ['train', 'test'], examples
  )
  monkeypatch.setattr(
    tfds.core.read_only_builder,
    'builder_from_files',
    lambda name, data_dir: builder,
  )
  found = prepared.read('tfds:x', image_dir=None)
  assert found['train'].class_names == ('0', '1', '2')
