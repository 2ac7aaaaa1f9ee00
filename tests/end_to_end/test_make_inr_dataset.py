# SPDX-License-Identifier: Apache-2.0
"""Runs the binary that makes INR data sets, with its smoke config."""

import os
import pathlib
import subprocess
import sys

import pytest

from ng_jax.data import inr

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def _run(*arguments):
  return subprocess.run(
    [sys.executable, 'experiments/make_inr_dataset.py', *arguments],
    cwd=_ROOT,
    env={**os.environ, 'PYTHONPATH': str(_ROOT), 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=False,
  )


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  folder = tmp_path_factory.mktemp('made')
  config = '--config=configs/make_inr_dataset/siren.py:smoke'
  return folder, [
    _run(config, f'--workdir={folder}', '--config.num_steps=50')
    for _ in range(2)
  ]


def test_makes_a_data_set_once(made):
  folder, (first, second) = made
  assert first.returncode == 0, first.stderr
  assert 'shards found, 2 to make' in first.stderr
  assert 'INR/s' in first.stderr and 'psnr=' in first.stderr
  assert second.returncode == 0, second.stderr
  assert 'Found the finished INR data set' in second.stderr
  assert first.stdout == second.stdout
  (path,) = folder.iterdir()
  dataset = inr.load(path)
  assert dataset.settings.num_steps == 50
  assert first.stdout.startswith(f'{path}: ')


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['siren.py:huge'], "unknown variant 'huge'; expected one of"),
    (['siren.py:mnist'], "image_dir must name the folder of the 'mnist' files"),
    (['siren.py:smoke', '--config.num_step=3'], 'num_step'),
  ],
)
def test_says_what_is_wrong(tmp_path, arguments, message):
  config, *others = arguments
  found = _run(
    f'--config=configs/make_inr_dataset/{config}',
    f'--workdir={tmp_path}',
    *others,
  )
  assert found.returncode != 0
  assert message in found.stderr + found.stdout
  assert not list(tmp_path.iterdir())
