# SPDX-License-Identifier: Apache-2.0
"""Lets the programs of evaluations compile fast in tests."""

import jax
import pytest

from tests import fast_jit


@pytest.fixture(autouse=True)
def cheap_programs(monkeypatch):
  """Ahead-of-time compilation with the options of `fast_jit`."""
  compile_lowered = jax.stages.Lowered.compile
  options = fast_jit.known_options()
  monkeypatch.setattr(
    jax.stages.Lowered,
    'compile',
    lambda lowered: compile_lowered(lowered, compiler_options=options),
  )
