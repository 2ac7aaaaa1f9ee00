# SPDX-License-Identifier: Apache-2.0
"""Lengths of episodes are whole windows, spread evenly on a log scale."""

import jax
import numpy as np
import pytest

from ng_jax.meta import horizons


def draw(function, count=400):
  keys = jax.random.split(jax.random.key(0), count)
  return np.asarray(jax.jit(jax.vmap(function))(keys))


def test_constant():
  assert (draw(lambda key: horizons.constant(40).draw(key, 10)) == 40).all()


def test_log_uniform():
  lengths = draw(lambda key: horizons.Horizon(10, 1000).draw(key, 10))
  assert lengths.dtype == np.int32
  assert (lengths % 10 == 0).all()
  assert lengths.min() >= 10 and lengths.max() <= 1000
  assert 0.42 < (lengths < 100).mean() < 0.58  # Half of the log range.


def test_stagger():
  horizon = horizons.Horizon(10, 40)
  places = draw(lambda key: horizons.draw_stagger(key, horizon, 10))
  assert set(places) == {0, 10, 20, 30}


def test_errors():
  with pytest.raises(ValueError, match='1 <= shortest <= longest, got short'):
    horizons.Horizon(20, 10)
  with pytest.raises(ValueError, match='longest must be a multiple of the win'):
    horizons.Horizon(20, 50).check(20)
  with pytest.raises(ValueError, match='window must be positive, got 0'):
    horizons.constant(20).check(0)
