# SPDX-License-Identifier: Apache-2.0
"""Runs the binaries as a user does."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def call(binary, *arguments, shared, cwd):
  """Runs a binary from a folder of its own, as after an installation."""
  environment = {
    **os.environ,
    'JAX_PLATFORMS': 'cpu',
    'PYTHONPATH': str(ROOT),
    'XDG_CACHE_HOME': str(shared / 'cache'),
    # Nothing here depends on fast programs, but compiling them takes longest.
    'XLA_FLAGS': '--xla_backend_optimization_level=0',
  }
  return subprocess.run(
    [sys.executable, str(ROOT / 'experiments' / binary), *arguments],
    env=environment,
    cwd=cwd,
    capture_output=True,
    text=True,
    check=False,
  )
