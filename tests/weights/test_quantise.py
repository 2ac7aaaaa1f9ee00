# SPDX-License-Identifier: Apache-2.0
"""Rounding of weights to a few bits."""

import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax.weights import edits


def test_entries_take_evenly_spaced_values():
  kernel = jnp.array([[-0.7, 0.16], [0.0, 0.24]])
  weights = {'layer_1': {'kernel': kernel, 'bias': jnp.zeros(2)}}
  found = edits.quantise(weights, num_bits=4)['layer_1']
  expected = [[-0.7, 0.2], [0.0, 0.2]]  # Steps of 0.7 / 7.
  np.testing.assert_allclose(found['kernel'], expected, atol=1e-6)
  np.testing.assert_array_equal(found['bias'], 0)
  assert found['kernel'].dtype == kernel.dtype


def test_the_error_is_at_most_half_a_step():
  kernel = jnp.asarray(np.random.default_rng(0).normal(size=(30, 20)))
  weights = {'layer_1': {'kernel': kernel}}
  for num_bits in (2, 4, 8):
    found = edits.quantise(weights, num_bits=num_bits)['layer_1']['kernel']
    step = float(jnp.abs(kernel).max()) / (2 ** (num_bits - 1) - 1)
    assert float(jnp.abs(found - kernel).max()) <= 0.5001 * step
    assert len(np.unique(np.round(found / step))) <= 2**num_bits - 1


def test_a_sign_and_a_value_need_two_bits():
  with pytest.raises(ValueError, match='at least 2.*got 1; try 8'):
    edits.quantise({'layer_1': {'kernel': jnp.ones(3)}}, num_bits=1)
