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

from ng_jax.models import official
from ng_jax.models.official import recordings
from ng_jax.models.official import reruns
from tests import repeats

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


def _rest_without(name, folder, *, dtype):
  """Writes what the tool may see; returns what it must find."""
  rest = _without_outputs(name, folder)
  if dtype == 'float32':
    return rest, 'out', 1e-4
  # One recording has no float64.
  return (rest, 'out', 1e-4) if name == 'stat_net' else (rest, 'out64', 1e-7)


def _check_lines(lines, broken, unit):
  """What is said of two files that are no recordings of a model."""
  assert f'{broken}: cannot be built. ValueError' in lines[0]
  assert 'must be an .npz file of arrays with a JSON string' in lines[0]
  assert f'{unit}: cannot be built. ValueError' in lines[1]
  assert 'names the official model None; can read inputs of' in lines[1]


# One of each family, with patched code among them.
@pytest.mark.slow
def test_files_of_every_family(x64, tmp_path, capsys):
  names = (
    'cnn_gnn_zoo',
    'dynamic_stat_net',
    'edit_gnn_base_fixed',
    'inr_gnn_base_stdmask',
    'nfn_np_normalize',
    'stat_net',
  )
  wanted = {
    name: _rest_without(name, tmp_path, dtype='float64') for name in names
  }
  paths = [tmp_path / f'{name}.npz' for name in names]
  broken, unit = tmp_path / 'broken.npz', _GOLDEN / 'unit_siren.npz'
  broken.write_bytes(b'no zip')
  problems = reruns.rerun_files(
    [broken, *paths, unit], tmp_path / 'out', dtype='float64'
  )
  assert set(problems) == {str(broken), str(unit)}
  lines = capsys.readouterr().out.splitlines()
  _check_lines([lines[0], lines[-1]], broken, unit)
  for line, name in zip(lines[1:-1], names, strict=True):
    assert line.startswith(f'{name}: ')
    assert ' outputs, 0 gradients, float64: ' in line
    with np.load(tmp_path / 'out' / f'{name}.npz') as file:
      found = {key: file[key] for key in file.files}
    assert {x.dtype for x in found.values()} == {np.dtype('float64')}
    _check_outputs(found, *wanted[name])


@pytest.mark.slow
@pytest.mark.parametrize(
  'dtype', repeats.cases(['float64', 'float32'], quick=('float64',))
)
def test_the_binary(tmp_path, dtype):
  names = (
    'cnn_rt_mean_all',
    'dws_edit',
    'dynamic_stat_net',
    'edit_rt_normalize_long',
    'inr_gnn_base_stdmask',
    'inr_gnn_nopos',
    'nfn_transfer',
    'onfn_np',
    'stat_net',
  )
  wanted = {name: _rest_without(name, tmp_path, dtype=dtype) for name in names}
  paths = [tmp_path / f'{name}.npz' for name in names]
  broken, unit = tmp_path / 'broken.npz', _GOLDEN / 'unit_siren.npz'
  broken.write_bytes(b'no zip')
  result = _run(
    f'--dtype={dtype}', f'--out_dir={tmp_path / "out"}', *paths, broken, unit
  )
  assert result.returncode == 1
  lines = result.stdout.splitlines()
  assert [line.split(':')[0] for line in lines[:-2]] == list(names)
  _check_lines(lines[-2:], broken, unit)
  for path in (broken, unit):
    assert str(path) in result.stderr
  for name in names:
    with np.load(tmp_path / 'out' / f'{name}.npz') as file:
      found = {key: file[key] for key in file.files}
    assert all(x.dtype == dtype for x in found.values())
    _check_outputs(found, *wanted[name])
    if dtype == 'float64':
      assert not any(key.startswith('grad/') for key in found)
    else:
      _check_gradients(found, wanted[name][0])


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
  """Our gradients are the values of the parameters."""
  recording = recordings.read(_GOLDEN / f'{name}.npz')
  case = reruns.build(recording, dtype=np.float32)
  found = reruns.official_gradients(
    case.name,
    recording.state,
    case.expected,
    case.variables['params'],
    **changes,
  )
  return recording, found


@pytest.mark.parametrize(
  'name',
  repeats.cases(
    [
      'cnn_gnn_rev',
      'dws_cls',
      'dynamic_stat_net',
      'edit_gnn_rev',
      'edit_rt_probe',
      'inr_rt_cls',
      'nfn_transfer',
      'onfn_hnp',
    ],
    repeats=('cnn_gnn_rev', 'dws_cls', 'inr_rt_cls', 'onfn_hnp'),
  ),
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


def test_pickled_objects_are_never_read(tmp_path):
  path = tmp_path / 'case.npz'
  for name in ('in/weights_0', 'param/a', 'config'):
    arrays = {'config': np.array('{}'), name: np.array([{}], object)}
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match='must be an .npz file of arrays'):
      recordings.read(path)


def test_patches_change_the_options():
  assert recordings.patched_options({}) == {}
  assert recordings.patched_options({'patch': 'head width 1000 ...'}) == {}
  with np.load(_GOLDEN / 'edit_gnn_probe_fixed.npz') as file:
    config = json.loads(str(file['config']))
  assert recordings.patched_options(config) == {'biases_from_start': False}
