# SPDX-License-Identifier: Apache-2.0
"""Fixtures of tests that run binaries."""

import os

import pytest


@pytest.fixture(scope='module')
def shared(tmp_path_factory):
  """A folder for what all runs share: made data and compiled programs.

  Compiled programs are those of all files and test processes of this session.
  """
  folder = tmp_path_factory.mktemp('shared')
  if 'PYTEST_XDIST_WORKER' in os.environ:
    compiled = tmp_path_factory.getbasetemp().parent / 'compiled'
    compiled.mkdir(exist_ok=True)
    (folder / 'cache').symlink_to(compiled)
  return folder
