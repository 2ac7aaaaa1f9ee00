# SPDX-License-Identifier: Apache-2.0
"""Fixtures of tests that run binaries."""

import pytest


@pytest.fixture(scope='module')
def shared(tmp_path_factory):
  """A folder for what all runs share: made data and compiled programs."""
  return tmp_path_factory.mktemp('shared')
