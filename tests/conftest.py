# SPDX-License-Identifier: Apache-2.0
"""Sets up JAX for every test: on the CPU, with NaN checks, and reset after."""

import gc
import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')

from collections.abc import Iterator

import jax
import pytest

from tests import programs

programs.make_cheap()

# Compiled programs are many small objects: looking through all of them as often
# as Python does by default took a seventh of the time of the tests.
gc.set_threshold(50_000, 50, 100)

# The settings that a test may change; all of them are put back after it.
_SETTINGS = (
  'jax_debug_infs',
  'jax_debug_nans',
  'jax_default_matmul_precision',
  'jax_disable_jit',
  'jax_enable_x64',
  'jax_log_compiles',
  'jax_numpy_dtype_promotion',
  'jax_threefry_partitionable',
)


@pytest.fixture(autouse=True)
def jax_settings(request: pytest.FixtureRequest) -> Iterator[None]:
  """Turns NaNs into errors and restores JAX's settings after the test.

  A test that makes NaNs on purpose is marked `@pytest.mark.allow_nans`.
  """
  before = {name: getattr(jax.config, name) for name in _SETTINGS}
  allow_nans = request.node.get_closest_marker('allow_nans') is not None
  jax.config.update('jax_debug_nans', not allow_nans)
  yield
  for name, value in before.items():
    if getattr(jax.config, name) != value:
      jax.config.update(name, value)


@pytest.fixture
def x64(jax_settings: None) -> None:
  """Switches float64 on for one test."""
  jax.config.update('jax_enable_x64', True)
