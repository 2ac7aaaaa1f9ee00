# SPDX-License-Identifier: Apache-2.0
"""Recorded cases are run again from their configuration and state alone."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from ng_jax import models
from ng_jax.models import official
from ng_jax.models.official import recordings
from ng_jax.models.official import reruns

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_GOLDEN = _ROOT / 'tests' / 'golden'


def _run(*arguments):
  return subprocess.run(
    [sys.executable, 'experiments/official_parity.py', *map(str, arguments)],
    cwd=_ROOT,
    env={**os.environ, 'PYTHONPATH': str(_ROOT), 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=False,
  )


def _without_outputs(name, folder):
  """A copy of a recording that holds no output, loss or gradient."""
  with np.load(_GOLDEN / f'{name}.npz') as file:
    kept = {
      key: file[key]
      for key in file.files
      if key.startswith(('param/', 'in/')) or key == 'config'
    }
    rest = {key: file[key] for key in file.files if key not in kept}
  np.savez(folder / f'{name}.npz', **kept)
  return rest


def _check_outputs(found, rest, prefix, tolerance):
  keys = {key for key in rest if key.startswith('out/')}
  assert {key for key in found if key.startswith('out')} == keys
  wanted = {key: rest[f'{prefix}/{key.removeprefix("out/")}'] for key in keys}
  largest = max(np.max(np.abs(x)) for x in wanted.values())
  for key, value in wanted.items():
    assert found[key].shape == value.shape
    assert np.max(np.abs(found[key] - value)) <= tolerance * largest


def _check_gradients(found, rest):
  wanted = {k: x for k, x in rest.items() if k.startswith('grad/')}
  assert {key for key in found if key.startswith('grad/')} == set(wanted)
  largest = max(np.max(np.abs(x)) for x in wanted.values())
  for key, value in wanted.items():
    assert found[key].shape == value.shape
    allowed = 5e-4 * (np.max(np.abs(value)) + 1e-3 * largest)
    assert np.max(np.abs(found[key] - value)) <= allowed, key


# One with an unused parameter and patched code each, and scalars per layer.
@pytest.mark.slow
@pytest.mark.parametrize('dtype', ['float64', 'float32'])
def test_the_binary(tmp_path, dtype):
  names = ('inr_gnn_nopos', 'inr_gnn_base_stdmask', 'edit_rt_normalize_long')
  rest = {name: _without_outputs(name, tmp_path) for name in names}
  paths = [tmp_path / f'{name}.npz' for name in names]
  broken = tmp_path / 'broken.npz'
  broken.write_bytes(b'no zip')
  unit = _GOLDEN / 'unit_siren.npz'
  result = _run(
    f'--dtype={dtype}', f'--out_dir={tmp_path / "out"}', *paths, broken, unit
  )
  assert result.returncode == 1
  lines = result.stdout.splitlines()
  assert len(lines) == 5
  assert lines[0].startswith('inr_gnn_nopos: 1 outputs, ')
  assert 'broken.npz: cannot be built. ValueError' in lines[3]
  assert 'names the official model None; can read inputs of' in lines[4]
  for path in (broken, unit):
    assert str(path) in result.stderr
  for name in names:
    with np.load(tmp_path / 'out' / f'{name}.npz') as file:
      found = {key: file[key] for key in file.files}
    assert all(x.dtype == dtype for x in found.values())
    if dtype == 'float64':
      _check_outputs(found, rest[name], 'out64', 1e-7)
      assert not any(key.startswith('grad/') for key in found)
    else:
      _check_outputs(found, rest[name], 'out', 1e-4)
      _check_gradients(found, rest[name])


@pytest.mark.slow
def test_the_binary_is_pleased_when_all_goes_well(tmp_path):
  path = _GOLDEN / 'inr_rt_noedge_noln.npz'
  result = _run(f'--out_dir={tmp_path}', path)
  assert result.returncode == 0, result.stderr
  assert result.stdout.count('\n') == 1
  assert (tmp_path / path.name).exists()
  nothing = _run(f'--out_dir={tmp_path}')
  assert nothing.returncode == 1
  assert 'name at least one recording' in nothing.stdout + nothing.stderr


def _gradients(name, **changes):
  """Our gradients are the numbers 1, 2, ... at each place of a parameter."""
  recording = recordings.read(_GOLDEN / f'{name}.npz')
  kind, options = official.model_options(recording.config)
  model = models.create(kind, **options)
  graph = recordings.read_inrs(recording.inputs, recording.config)
  expected = reruns.expected_variables(model, graph)
  params = official.convert(kind, recording.state, expected)['params']
  found = reruns.official_gradients(
    kind, recording.state, expected, params, **changes
  )
  return recording, found


@pytest.mark.parametrize(
  'name', ['edit_gnn_rev', 'inr_rt_cls', 'edit_rt_probe']
)
def test_places_lead_back_to_official_names(name):
  # Parameters taken for gradients come back as they were.
  recording, found = _gradients(name)
  with np.load(_GOLDEN / f'{name}.npz') as file:
    wanted = {key.removeprefix('grad/') for key in file.files if 'grad/' in key}
  assert set(found) == wanted
  for key, value in found.items():
    np.testing.assert_array_equal(value, recording.state[key])


def test_unused_parameters_have_no_gradient_and_buffers_are_left_out():
  _, found = _gradients('inr_gnn_nopos')
  assert not np.any(found['construct_graph.pos_embed'])
  assert not any('avg_deg' in name for name in found)
  buffer = 'gnn.convs.0.aggr_module.avg_deg_lin'
  _, found = _gradients('inr_gnn_nopos', unused=(buffer,))
  np.testing.assert_array_equal(found[buffer], np.zeros(1, np.float32))


def test_a_conversion_that_changes_numbers_is_refused(monkeypatch):
  def scaled(model, state, expected):
    return {'params': {'a': 0.5 * state['a']}}

  monkeypatch.setattr(official, 'convert', scaled)
  with pytest.raises(
    ValueError, match='must only move the numbers of params/a'
  ):
    reruns.official_gradients('ng_x', {'a': np.ones(2)}, {}, {'a': np.ones(2)})


def test_outputs_in_the_file_are_not_read():
  recording = recordings.read(_GOLDEN / 'edit_gnn_base.npz')
  assert set(recording.inputs) == {
    f'{kind}_{i}' for kind in ('weights', 'biases') for i in range(3)
  }
  assert not any('/' in name for name in recording.state)


def test_float64_must_be_switched_on():
  recording = recordings.read(_GOLDEN / 'inr_gnn_base.npz')
  assert not jax.config.read('jax_enable_x64')
  with pytest.raises(ValueError, match='float64 needs jax.config.update'):
    reruns.rerun(recording, dtype='float64', gradients=False)


def test_a_file_without_a_config(tmp_path):
  np.savez(tmp_path / 'case.npz', a=np.ones(2))
  with pytest.raises(ValueError, match='with a JSON string config'):
    recordings.read(tmp_path / 'case.npz')


def test_patches_change_the_options():
  assert recordings.patched_options({}) == {}
  assert recordings.patched_options({'patch': 'head width 1000 ...'}) == {}
  with np.load(_GOLDEN / 'edit_gnn_probe_fixed.npz') as file:
    config = json.loads(str(file['config']))
  assert recordings.patched_options(config) == {'biases_from_start': False}
