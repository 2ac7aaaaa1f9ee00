# SPDX-License-Identifier: Apache-2.0
"""Tests which images go into which split, and the keys of their networks."""

import dataclasses

import jax
import numpy as np
import pytest

from ng_jax.data import images
from ng_jax.data import inr_settings
from ng_jax.data import jobs

_SETTINGS = inr_settings.InrSettings(
  source='digits', num_train=100, num_validation=20, num_test=30, num_views=3
)


@pytest.fixture(scope='module')
def source():
  return images.read('digits')


def _members(found, split):
  rows = found.split == jobs.SPLITS.index(split)
  return rows, set(found.image_index[rows].tolist())


def test_splits_share_no_image_and_keep_all_views(source):
  found = jobs.choose(_SETTINGS, source)
  assert len(found) == 150 * 3
  sets = [_members(found, split)[1] for split in jobs.SPLITS]
  assert [len(s) for s in sets] == [100, 20, 30]
  assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
  np.testing.assert_array_equal(found.view[:6], [0, 1, 2, 0, 1, 2])
  assert (found.image_index[:3] == found.image_index[0]).all()


def test_test_images_are_the_sources(source):
  found = jobs.choose(_SETTINGS, source)
  rows, members = _members(found, 'test')
  assert members <= set(source['test'].index.tolist())
  np.testing.assert_array_equal(rows, found.is_test)
  labels = dict(zip(source['test'].index, source['test'].labels, strict=True))
  assert all(
    labels[i] == label
    for i, label in zip(found.image_index[rows], found.label[rows], strict=True)
  )


def test_validation_does_not_depend_on_the_size_of_train(source):
  more = dataclasses.replace(_SETTINGS, num_train=500)
  assert (
    _members(jobs.choose(_SETTINGS, source), 'validation')[1]
    == _members(jobs.choose(more, source), 'validation')[1]
  )


def test_split_seed_draws_other_splits(source):
  other = dataclasses.replace(_SETTINGS, split_seed=1)
  assert (
    _members(jobs.choose(_SETTINGS, source), 'train')[1]
    != _members(jobs.choose(other, source), 'train')[1]
  )


def _keys(settings, source):
  """{(image, view): key data} of all networks."""
  found = jobs.choose(settings, source)
  data = np.asarray(jax.random.key_data(jobs.initial_keys(settings, found)))
  pairs = zip(found.image_index.tolist(), found.view.tolist(), strict=True)
  return dict(zip(pairs, map(tuple, data.tolist()), strict=True))


def test_keys_depend_on_image_and_view_alone(source):
  few = _keys(_SETTINGS, source)
  many = _keys(
    dataclasses.replace(_SETTINGS, num_train=400, num_views=4), source
  )
  assert len(set(few.values())) == len(few)
  assert all(many[pair] == key for pair, key in few.items())


def test_keys_depend_on_the_seed(source):
  other = _keys(dataclasses.replace(_SETTINGS, seed=1), source)
  assert not set(other.values()) & set(_keys(_SETTINGS, source).values())


def test_shared_init_has_one_key_a_view(source):
  keys = _keys(dataclasses.replace(_SETTINGS, init='shared'), source)
  assert len(set(keys.values())) == 3


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    (
      {'num_train': 1438},
      r'num_train \+ num_validation must be at most the 1,438 train images of '
      "'digits', got 1,458; ask for fewer",
    ),
    ({'num_test': 360}, 'num_test must be at most the 359 test images'),
  ],
)
def test_refuses_more_images_than_there_are(source, fields, message):
  with pytest.raises(ValueError, match=message):
    jobs.choose(dataclasses.replace(_SETTINGS, **fields), source)
