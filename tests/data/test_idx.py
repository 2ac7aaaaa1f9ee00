# SPDX-License-Identifier: Apache-2.0
"""Tests reading of IDX files, whole and damaged."""

import gzip

import numpy as np
import pytest

from ng_jax.data import idx
from tests.data import publisher_files

_IMAGES = np.arange(24).reshape(2, 3, 4)


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'train-images-idx3-ubyte'


def test_reads_plain_and_gzipped(path):
  content = publisher_files.idx_bytes(_IMAGES)
  path.write_bytes(content)
  zipped = path.with_name(path.name + '.gz')
  zipped.write_bytes(gzip.compress(content))
  for file in (path, zipped):
    found = idx.read(file, num_axes=3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, _IMAGES)


def test_refuses_a_truncated_file(path):
  path.write_bytes(publisher_files.idx_bytes(_IMAGES)[:-1])
  with pytest.raises(
    ValueError,
    match=r'idx3-ubyte must hold 24 values for its shape \(2, 3, 4\), but '
    'holds 23; it was cut short',
  ):
    idx.read(path, num_axes=3)


def test_refuses_trailing_bytes(path):
  path.write_bytes(publisher_files.idx_bytes(_IMAGES) + b'xy')
  with pytest.raises(ValueError, match='holds 26; it has trailing bytes'):
    idx.read(path, num_axes=3)


def test_refuses_a_cut_header(path):
  path.write_bytes(publisher_files.idx_bytes(_IMAGES)[:9])
  with pytest.raises(ValueError, match='3 axis lengths .* after 9 bytes'):
    idx.read(path, num_axes=3)


@pytest.mark.parametrize(
  ('content', 'found'),
  [
    (b'\x89PNG----', '89 50 4e 47'),
    (publisher_files.idx_bytes(np.arange(3)), '00 00 08 01'),
    (b'', 'nothing'),
  ],
)
def test_refuses_a_wrong_magic_number(path, content, found):
  path.write_bytes(content)
  with pytest.raises(
    ValueError, match=f'magic number 00 00 08 03, but it begins with {found}'
  ):
    idx.read(path, num_axes=3)


@pytest.mark.parametrize('damage', ['cut', 'flipped', 'no gzip'])
def test_refuses_a_damaged_gzip(path, damage):
  zipped = path.with_name(path.name + '.gz')
  content = gzip.compress(publisher_files.idx_bytes(_IMAGES))
  middle = len(content) // 2
  content = {
    'cut': content[:middle],
    'flipped': content[:middle] + b'\xff' * 4 + content[middle + 4 :],
    'no gzip': b'<html>not found</html>',
  }[damage]
  zipped.write_bytes(content)
  with pytest.raises(
    ValueError, match='ubyte.gz must be a gzip file, but it cannot be unpacked'
  ):
    idx.read(zipped, num_axes=3)


def test_refuses_an_axis_of_nothing(path):
  content = bytearray(publisher_files.idx_bytes(_IMAGES))
  content[4:8] = bytes(4)
  path.write_bytes(content)
  with pytest.raises(ValueError, match=r'at least one value, got .*\(0, '):
    idx.read(path, num_axes=3)
