# SPDX-License-Identifier: Apache-2.0
"""Epochs visit every row once, in an order that depends on step and seed."""

import numpy as np
import pytest

from ng_jax.train import sampler


def epoch_rows(batches, epoch):
  first = epoch * batches.steps_per_epoch
  steps = range(first, first + batches.steps_per_epoch)
  return np.concatenate([batches.batch(step) for step in steps])


def test_every_row_once_an_epoch_and_the_last_batch_is_kept():
  batches = sampler.IndexSampler(num_examples=10, batch_size=4, seed=3)
  assert batches.steps_per_epoch == 3
  for epoch in range(3):
    rows = epoch_rows(batches, epoch)
    assert rows.shape == (12,)
    assert rows.dtype == np.int32
    assert sorted(rows[rows >= 0]) == list(range(10))
    assert list(rows[-2:]) == [-1, -1]


def test_order_differs_between_epochs_and_seeds_but_not_between_calls():
  batches = sampler.IndexSampler(num_examples=50, batch_size=50, seed=1)
  other = sampler.IndexSampler(num_examples=50, batch_size=50, seed=2)
  assert (batches.batch(0) != batches.batch(1)).any()
  assert (batches.batch(0) != other.batch(0)).any()
  late = batches.batch(7)
  batches.batch(0)
  np.testing.assert_array_equal(batches.batch(7), late)


def test_padding_makes_the_length_divisible():
  batches = sampler.IndexSampler(
    num_examples=10, batch_size=5, multiple_of=4, shuffle=False
  )
  assert batches.padded_size == 8
  np.testing.assert_array_equal(batches.batch(1), [5, 6, 7, 8, 9, -1, -1, -1])


def test_empty_split_is_an_error():
  with pytest.raises(ValueError, match='is the split empty'):
    sampler.IndexSampler(num_examples=0, batch_size=4)


def test_a_split_that_begins_later():
  batches = sampler.IndexSampler(
    num_examples=3, batch_size=4, shuffle=False, first_row=10
  )
  np.testing.assert_array_equal(batches.batch(0), [10, 11, 12, -1])
