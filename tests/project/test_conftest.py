# SPDX-License-Identifier: Apache-2.0
"""Checks that tests run under the settings which conftest.py promises."""

import warnings

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


@pytest.mark.parametrize(
  ('kind', 'text'),
  [
    (DeprecationWarning, 'ng_jax: old'),
    (PendingDeprecationWarning, 'ng_jax: soon old'),
    (FutureWarning, 'in a future JAX release this will be an error'),
  ],
)
def test_deprecations_are_errors(kind, text):
  with pytest.raises(kind, match=text):
    warnings.warn(text, kind, stacklevel=2)


def test_deprecations_of_jax_are_errors():
  from jax._src import deprecations

  name = 'ng-jax-test'
  deprecations.register(name)
  with pytest.raises(DeprecationWarning, match='jax: old'):
    deprecations.warn(name, 'jax: old', stacklevel=1)


def test_x64_is_on(x64):
  assert jnp.ones(3).dtype == jnp.float64


def test_x64_is_off_without_the_fixture():
  assert jnp.ones(3).dtype == jnp.float32
