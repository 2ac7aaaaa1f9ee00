# SPDX-License-Identifier: Apache-2.0
"""Runs the binaries as a user does."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def environment(shared):
  """Environment of a binary: this tree, the CPU."""
  return {
    **os.environ,
    'JAX_PLATFORMS': 'cpu',
    'PYTHONPATH': str(ROOT),
    'XDG_CACHE_HOME': str(shared / 'cache'),
  }


def call(binary, *arguments, shared, cwd):
  """Runs a binary from a folder of its own, as after an installation."""
  return subprocess.run(
    [sys.executable, str(ROOT / 'experiments' / binary), *arguments],
    env=environment(shared),
    cwd=cwd,
    capture_output=True,
    text=True,
    check=False,
  )


def succeed(binary, *arguments, shared, cwd):
  """Runs a binary that must end well; returns the lines that it prints."""
  done = call(binary, *arguments, shared=shared, cwd=cwd)
  assert done.returncode == 0, done.stderr
  return done.stdout.splitlines()
