# SPDX-License-Identifier: Apache-2.0
"""Tests reading of CIFAR-10 files, binary and Python version."""

import pathlib
import pickle

import numpy as np
import pytest

from ng_jax.data import cifar
from tests.data import publisher_files

_PIXELS, _LABELS = publisher_files.cifar_arrays(4)


def _expect_same(found):
  pixels, labels = found
  assert pixels.shape == (4, 32, 32, 3) and pixels.dtype == np.uint8
  assert labels.dtype == np.int32
  np.testing.assert_array_equal(labels, _LABELS)
  # Green, row 1, column 2 of image 3 is byte 1024 + 32 + 2.
  assert pixels[3, 1, 2, 1] == _PIXELS[3, 1024 + 32 + 2]
  np.testing.assert_array_equal(
    pixels[..., 2].reshape(4, -1), _PIXELS[:, 2048:]
  )


def test_reads_the_binary_version(tmp_path):
  path = tmp_path / 'data_batch_1.bin'
  path.write_bytes(publisher_files.cifar_binary(_PIXELS, _LABELS))
  _expect_same(cifar.read_binary(path))


@pytest.mark.parametrize('protocol', range(5))
def test_reads_the_python_version(tmp_path, protocol):
  path = tmp_path / 'data_batch_1'
  content = {b'data': _PIXELS, b'labels': _LABELS.tolist()}
  path.write_bytes(pickle.dumps(content, protocol=protocol))
  _expect_same(cifar.read_python(path))


@pytest.mark.parametrize('content', [b'', b'x' * 3074])
def test_refuses_a_wrong_record_size(tmp_path, content):
  path = tmp_path / 'data_batch_1.bin'
  path.write_bytes(content)
  with pytest.raises(
    ValueError, match=f'whole records of 3,073 bytes .* has {len(content):,} by'
  ):
    cifar.read_binary(path)


def test_refuses_labels_above_nine(tmp_path):
  path = tmp_path / 'data_batch_1.bin'
  labels = np.array([1, 2, 30, 4])
  path.write_bytes(publisher_files.cifar_binary(_PIXELS, labels))
  with pytest.raises(ValueError, match='from 0 to 9, but record 2 has 30'):
    cifar.read_binary(path)


class _Bomb:
  """Unpickled plainly, it makes a file."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return pathlib.Path.touch, (self.path,)


def test_never_runs_what_a_pickle_contains(tmp_path):
  path, made = tmp_path / 'data_batch_1', tmp_path / 'made'
  path.write_bytes(pickle.dumps({b'data': _Bomb(made), b'labels': []}))
  with pytest.raises(ValueError, match=r'asks for pathlib.* so it is not read'):
    cifar.read_python(path)
  assert not made.exists()


@pytest.mark.parametrize(
  'data',
  [
    np.array([object()], object),
    np.zeros(3, np.complex64),
    np.ma.zeros(3),
  ],
)
def test_refuses_arrays_that_are_not_plain(tmp_path, data):
  path = tmp_path / 'data_batch_1'
  path.write_bytes(pickle.dumps({b'data': data, b'labels': []}, protocol=2))
  with pytest.raises(ValueError, match='must be a pickle of arrays, numbers'):
    cifar.read_python(path)


def test_refuses_other_encodings_inside_a_pickle(tmp_path):
  path = tmp_path / 'data_batch_1'
  path.write_bytes(b'c_codecs\nencode\n(Vtext\nVrot13\ntR.')
  with pytest.raises(ValueError, match="the encoding 'rot13'"):
    cifar.read_python(path)


def test_refuses_other_subclasses_of_arrays(tmp_path):
  path = tmp_path / 'data_batch_1'
  path.write_bytes(
    b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntVb\ntR.'
  )
  with pytest.raises(ValueError, match='an array of type'):
    cifar.read_python(path)


@pytest.mark.parametrize('content', [b'', b'junk', b'\x80\x02}q\x00'])
def test_refuses_a_damaged_pickle(tmp_path, content):
  path = tmp_path / 'data_batch_1'
  path.write_bytes(content)
  with pytest.raises(
    ValueError, match='data_batch_1 must be a pickle .* fetch'
  ):
    cifar.read_python(path)


@pytest.mark.parametrize(
  'content',
  [
    [1, 2],
    {b'data': _PIXELS},
    {b'data': _PIXELS[:, :10], b'labels': [1] * 4},
    {b'data': _PIXELS, b'labels': ['a'] * 4},
  ],
)
def test_refuses_other_contents(tmp_path, content):
  path = tmp_path / 'data_batch_1'
  path.write_bytes(pickle.dumps(content, protocol=2))
  with pytest.raises(
    ValueError, match=r"must hold b'data', \[num_images, 3072"
  ):
    cifar.read_python(path)


def test_refuses_a_label_too_few(tmp_path):
  path = tmp_path / 'data_batch_1'
  path.write_bytes(publisher_files.cifar_python(_PIXELS, _LABELS[:3]))
  with pytest.raises(ValueError, match='got 4 images and 3 labels'):
    cifar.read_python(path)
