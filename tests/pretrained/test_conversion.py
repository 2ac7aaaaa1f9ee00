# SPDX-License-Identifier: Apache-2.0
"""Official checkpoints become saved models, from each kind of file."""

import json
import os
import pathlib
import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

import ng_jax
from ng_jax import pretrained
from ng_jax.models.official import recordings
from ng_jax.pretrained import arrays
from tests.data import torch_trees

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_GOLDEN = _ROOT / 'tests' / 'golden'
_CASE = _GOLDEN / 'edit_gnn_sinemb_normalize.npz'


@pytest.fixture
def checkpoint(tmp_path):
  """The config and the state of a recording, as a user has them."""
  recording = recordings.read(_CASE)
  (tmp_path / 'config.json').write_text(json.dumps(recording.config))
  safetensors_numpy.save_file(recording.state, tmp_path / 'state.safetensors')
  return tmp_path


def test_a_converted_model_edits_as_the_official_one(checkpoint):
  folder = checkpoint / 'model'
  pretrained.convert_official(
    checkpoint / 'config.json', checkpoint / 'state.safetensors', folder
  )
  model = ng_jax.load_pretrained(folder)
  assert model.model.biases_from_start
  recording = recordings.read(_CASE)
  graph = recordings.read_inrs(recording.inputs, recording.config)
  found = recordings.name_updates(jax.jit(model)(graph))
  with np.load(_CASE) as file:
    wanted = {key: file[f'out/{key}'] for key in found}
  largest = max(np.max(np.abs(x)) for x in wanted.values())
  for key, value in wanted.items():
    assert np.max(np.abs(found[key] - value)) <= 1e-4 * largest
  # From the recording itself the same arrays come out.
  again = pretrained.convert_official(
    checkpoint / 'config.json', _CASE, checkpoint / 'again'
  )
  for name in ('config.json', 'params.safetensors'):
    assert (again / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize(
  'name', ['cnn_gnn_zoo', 'dynamic_stat_net', 'stat_net']
)
def test_models_that_read_cnns(tmp_path, name):
  # Their configs say how deep the CNNs are, and not how wide.
  path = _GOLDEN / f'{name}.npz'
  recording = recordings.read(path)
  (tmp_path / 'config.json').write_text(json.dumps(recording.config))
  pretrained.convert_official(
    tmp_path / 'config.json', path, tmp_path / 'model'
  )
  model = ng_jax.load_pretrained(tmp_path / 'model')
  graph = recordings.reader(recording.config).read(
    recording.inputs, recording.config
  )
  with np.load(path) as file:
    wanted = file['out/pred']
  error = np.max(np.abs(jax.jit(model)(graph) - wanted))
  assert error <= 1e-4 * np.max(np.abs(wanted))


def _run(checkpoint, state):
  return subprocess.run(
    [
      sys.executable,
      'experiments/convert_official.py',
      f'--config={checkpoint / "config.json"}',
      f'--state={state}',
      f'--out_dir={checkpoint / "model"}',
    ],
    cwd=_ROOT,
    env={**os.environ, 'PYTHONPATH': str(_ROOT), 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=False,
  )


@pytest.mark.slow
def test_the_binary(checkpoint):
  result = _run(checkpoint, checkpoint / 'state.safetensors')
  assert result.returncode == 0, result.stderr
  assert result.stdout == f'converted: {checkpoint / "model"}\n'
  assert (checkpoint / 'model' / 'config.json').exists()
  renamed = checkpoint / 'renamed.safetensors'
  renamed.write_bytes(pickle.dumps({'weight': np.ones(2)}))
  result = _run(checkpoint, renamed)
  assert result.returncode == 1
  assert 'not converted: ' in result.stderr
  assert 'pickled or zipped one, which can run code' in result.stderr
  assert 'Traceback' not in result.stderr


def test_a_config_that_cannot_be_read(checkpoint):
  state = checkpoint / 'state.safetensors'
  for path in (checkpoint / 'none.json', state):
    with pytest.raises(ValueError, match='must be a JSON file'):
      pretrained.convert_official(path, state, checkpoint / 'model')


def test_states_that_cannot_be_read(tmp_path, monkeypatch):
  with pytest.raises(
    ValueError, match=r"ending '.bin'; expected one of \['.np"
  ):
    arrays.read_state(tmp_path / 'state.bin')
  with pytest.raises(ValueError, match='no file .*state.pt'):
    arrays.read_state(tmp_path / 'state.pt')
  np.savez(tmp_path / 'state.npz', a=np.array([{}], object))
  with pytest.raises(ValueError, match='pickled objects are never read'):
    arrays.read_state(tmp_path / 'state.npz')
  (tmp_path / 'state.pt').write_bytes(pickle.dumps({}, protocol=2))
  monkeypatch.setitem(sys.modules, 'torch', None)
  with pytest.raises(ValueError, match=r'install ng_jax\[torch\]'):
    arrays.read_state(tmp_path / 'state.pt')


@pytest.mark.parametrize('wrap', [None, 'state_dict', 'model'])
def test_torch_files_may_wrap_their_state(tmp_path, monkeypatch, wrap):
  path = tmp_path / 'state.pt'
  torch_trees.stand_in(monkeypatch)
  state = {'a.weight': np.ones(2, np.float32)}
  torch_trees.write(path, {wrap: state, 'epoch': 3} if wrap else state)
  found = arrays.read_state(path)
  np.testing.assert_array_equal(found['a.weight'], np.ones(2))
  torch_trees.write(path, {'epoch': 3})
  with pytest.raises(ValueError, match='must hold a state_dict of tensors'):
    arrays.read_state(path)


def test_torch_files_are_read_without_code(tmp_path):
  path = tmp_path / 'state.pt'
  path.write_bytes(pickle.dumps({'a': os.system}, protocol=2))
  with pytest.raises(ValueError, match="hold tensors only, but .*system', whi"):
    arrays.read_state(path)
