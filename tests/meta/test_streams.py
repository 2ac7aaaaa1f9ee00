# SPDX-License-Identifier: Apache-2.0
"""Batches depend on their number alone and fill whole epochs."""

import jax
import numpy as np
import pytest

from ng_jax.meta import streams


def draw(first_step, num_steps, num_images=7, batch_size=2):
  rows = jax.jit(
    lambda first: streams.draw_rows(
      jax.random.key(3),
      first,
      num_steps=num_steps,
      num_images=num_images,
      batch_size=batch_size,
    )
  )(first_step)
  return np.asarray(rows)


def test_an_epoch_has_no_image_twice():
  rows = draw(0, 9)
  assert rows.shape == (9, 2) and rows.dtype == np.int32
  for epoch in rows.reshape(3, 6):
    assert len(set(epoch)) == 6
    assert set(epoch) <= set(range(7))
  assert not np.array_equal(rows[:3], rows[3:6])


@pytest.mark.parametrize('first_step', [0, 1, 2, 3, 5])
def test_a_stream_can_be_entered_anywhere(first_step):
  whole = draw(0, 12)
  np.testing.assert_array_equal(
    draw(first_step, 4), whole[first_step : first_step + 4]
  )


def test_a_stream_from_its_begin_needs_no_other_epoch():
  whole = draw(0, 12)
  for num_steps in (1, 3, 7):
    found = streams.draw_rows(
      jax.random.key(3), num_steps=num_steps, num_images=7, batch_size=2
    )
    np.testing.assert_array_equal(found, whole[:num_steps])
  other = streams.draw_rows(
    jax.random.key(4), num_steps=3, num_images=7, batch_size=2
  )
  assert not np.array_equal(other, whole[:3])
  # Over epochs, what is left out changes.
  assert len(set(whole.ravel())) == 7


def test_a_batch_may_be_the_whole_set():
  rows = draw(2, 3, num_images=4, batch_size=4)
  np.testing.assert_array_equal(np.sort(rows), [range(4)] * 3)


def test_too_few_images():
  rule = 'batch_size must be at least 1 and at most the number'
  for batch_size in (0, 4):
    with pytest.raises(ValueError, match=rule):
      draw(0, 1, num_images=3, batch_size=batch_size)
