# SPDX-License-Identifier: Apache-2.0
"""Checks that tests run under the settings which conftest.py promises."""

import jax
import jax.numpy as jnp
import pytest


def test_runs_on_cpu():
  assert jax.default_backend() == 'cpu'


def test_nans_are_errors():
  with pytest.raises(FloatingPointError, match='nan'):
    jax.jit(jnp.log)(-jnp.ones(3)).block_until_ready()


@pytest.mark.allow_nans
def test_nans_are_allowed_by_marker():
  assert jnp.isnan(jax.jit(jnp.log)(-jnp.ones(3))).all()


def test_x64_is_on(x64):
  assert jnp.ones(3).dtype == jnp.float64


def test_x64_is_off_without_the_fixture():
  assert jnp.ones(3).dtype == jnp.float32
