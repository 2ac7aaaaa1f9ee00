# SPDX-License-Identifier: Apache-2.0
"""Fixtures of tests that make whole runs: what the runs of a file share."""

import jax
from jax.experimental.compilation_cache import compilation_cache as cache
import pytest


@pytest.fixture(scope='module')
def compilation_cache(tmp_path_factory):
  """Compiles each program once for all runs of a file."""
  names = {
    'jax_compilation_cache_dir': str(tmp_path_factory.mktemp('compiled')),
    'jax_persistent_cache_min_compile_time_secs': 0.0,
  }
  before = {name: getattr(jax.config, name) for name in names}
  cache.reset_cache()
  for name, value in names.items():
    jax.config.update(name, value)
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  cache.reset_cache()


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """A folder for the networks that all runs of a file read."""
  return str(tmp_path_factory.mktemp('data'))
