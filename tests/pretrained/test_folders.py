# SPDX-License-Identifier: Apache-2.0
"""Saved models come back as they were, or say why not; nothing is pickled."""

import json
import pickle
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

import ng_jax
from ng_jax import models
from ng_jax import networks
from ng_jax import specs
from ng_jax.pretrained import arrays
from ng_jax.pretrained import folders
from ng_jax.pretrained import tagged
from ng_jax.weights import statistics
from tests.models import readers

_SIREN = networks.Siren((2, 4, 3, 2), w0=20.0)
_SPEC = _SIREN.spec


def _model(name='ng_gnn', **options):
  if not name.endswith('edit'):
    return readers.create(name, _SPEC, **options)
  return models.create(name, spec=_SPEC, fourier_size=4, **options)


@pytest.fixture
def saved(tmp_path):
  model = _model(num_layers=1)
  variables = readers.draw_variables(model, _SPEC)
  folder = tmp_path / 'deep' / 'model'
  assert ng_jax.save_pretrained(folder, model, variables, spec=_SPEC) == folder
  return folder, model, variables


def _same(found, expected):
  found, expected = map(specs.leaf_arrays, (found, expected))
  assert set(found) == set(expected)
  for path, value in expected.items():
    assert found[path].dtype == value.dtype
    np.testing.assert_array_equal(found[path], value)


def test_options_of_every_kind_come_back():
  model = _model(
    'ng_t_edit',
    network=_SIREN,
    num_probes=2,
    num_layers=1,
    statistics=statistics.Statistics((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), (), ()),
    dtype=jnp.bfloat16,
    max_nodes=11,
  )
  saved_as = {
    field: tagged.to_json(getattr(model, field), name=field)
    for field in ('network', 'statistics', 'dtype', 'max_nodes')
  }
  found = {
    field: tagged.from_json(value)
    for field, value in json.loads(json.dumps(saved_as)).items()
  }
  assert found == {field: getattr(model, field) for field in found}


def test_a_model_of_another_state_keeps_its_dtypes(tmp_path):
  model = _model(num_layers=1)
  variables = jax.tree.map(
    lambda x: jnp.asarray(x, jnp.bfloat16),
    readers.draw_variables(model, _SPEC),
  )
  ng_jax.save_pretrained(tmp_path, model, variables, spec=_SPEC)
  _same(ng_jax.load_pretrained(tmp_path).variables, variables)


def test_transposed_arrays_are_written_as_they_look(tmp_path):
  model = _model(num_layers=1)
  variables = readers.draw_variables(model, _SPEC)
  turned = jax.tree.map(lambda x: np.asarray(x, order='F'), variables)
  ng_jax.save_pretrained(tmp_path, model, turned, spec=_SPEC)
  _same(ng_jax.load_pretrained(tmp_path).variables, variables)


def test_the_config_is_readable(saved):
  folder, _, _ = saved
  config = json.loads((folder / 'config.json').read_text())
  assert (config['format'], config['version']) == ('ng_jax.pretrained', 1)
  assert config['model'] == 'ng_gnn'
  assert config['options']['num_layers'] == 1
  assert config['spec']['__type__'] == 'specs.NetworkSpec'
  names = safetensors_numpy.load_file(folder / 'params.safetensors')
  assert 'params/conv_0/pre/kernel' in names
  assert 'constants/conv_0/degree_constant' in names


def test_a_folder_is_replaced_by_the_same_model_only(saved):
  folder, model, variables = saved
  (folder / 'README.md').write_text('Mine.')
  later = jax.tree.map(lambda x: 2 * x, variables)
  ng_jax.save_pretrained(folder, model, later, spec=_SPEC)
  _same(ng_jax.load_pretrained(folder).variables, later)
  other = _model(num_layers=1, norm_mode='batch')
  with pytest.raises(ValueError, match='holds another model') as error:
    ng_jax.save_pretrained(folder, other, variables, spec=_SPEC)
  assert 'overwrite=True. Nothing was changed' in str(error.value)
  _same(ng_jax.load_pretrained(folder).variables, later)
  ng_jax.save_pretrained(folder, other, variables, spec=_SPEC, overwrite=True)
  found = ng_jax.load_pretrained(folder)
  assert found.model.norm_mode == 'batch'
  _same(found.variables, variables)
  assert (folder / 'README.md').read_text() == 'Mine.'


def test_a_folder_of_something_else_is_never_written(tmp_path):
  (tmp_path / 'thesis.tex').write_text('Mine.')
  model = _model(num_layers=1)
  variables = readers.draw_variables(model, _SPEC)
  for overwrite in (False, True):
    with pytest.raises(ValueError, match='but holds something else'):
      ng_jax.save_pretrained(
        tmp_path, model, variables, spec=_SPEC, overwrite=overwrite
      )
  assert [path.name for path in tmp_path.iterdir()] == ['thesis.tex']


def test_a_killed_save_leaves_no_model(saved, monkeypatch):
  folder, model, variables = saved
  other = _model(num_layers=1, norm_mode='batch')

  def stop(path, content):
    raise KeyboardInterrupt

  monkeypatch.setattr(folders, '_write', stop)
  with pytest.raises(KeyboardInterrupt):
    ng_jax.save_pretrained(folder, other, variables, spec=_SPEC, overwrite=True)
  with pytest.raises(ValueError, match='no file .*config.json.*not finished'):
    ng_jax.load_pretrained(folder)
  monkeypatch.undo()
  with pytest.raises(ValueError, match='one that was not finished'):
    ng_jax.save_pretrained(folder, model, variables, spec=_SPEC)


def test_what_cannot_be_saved_is_said(tmp_path):
  model = _model(num_layers=1)
  variables = readers.draw_variables(model, _SPEC)
  shapes = {'params': {**variables['params'], 'extra': np.zeros(1)}}
  with pytest.raises(ValueError, match='variables do not fit') as error:
    ng_jax.save_pretrained(tmp_path, model, shapes, spec=_SPEC)
  for problem in (
    'params/extra is unknown',
    'constants/conv_0/degree_constant () is missing',
  ):
    assert problem in str(error.value)
  with pytest.raises(ValueError, match="option 'dropout' cannot be saved"):
    ng_jax.save_pretrained(
      tmp_path, model.clone(dropout=1j), variables, spec=_SPEC
    )

  class Own(type(model)):
    pass

  with pytest.raises(ValueError, match='one of the registry, got Own'):
    ng_jax.save_pretrained(
      tmp_path,
      Own(hidden_size=6, num_layers=1, fourier_size=4, num_outputs=3,
          num_output_nodes=2),
      variables,
      spec=_SPEC,
    )  # fmt: skip
  assert not list(tmp_path.iterdir())


def _edit_config(folder, **changes):
  path = folder / 'config.json'
  config = json.loads(path.read_text())
  path.write_text(json.dumps({**config, **changes}))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'model': 'ng_zzz'}, r"unknown model 'ng_zzz'; expected one of \["),
    ({'version': 2}, 'has format version 2, this ng_jax reads up to 1'),
    ({'version': 'new'}, 'must be the JSON that save_pretrained wrote'),
    ({'format': 'zip'}, "cannot be read: ValueError.*format 'zip'"),
    ({'options': {'num_layer': 3}}, "has no option 'num_layer'; did you mean"),
    ({'options': {'network': {'__type__': 'os.system'}}}, "'os.system'; exp"),
    (
      {'spec': {'__type__': 'networks.Siren', 'a': 1}},
      'do not make a networks',
    ),
    ({'options': {'dtype': {'__type__': 'dtype'}}}, 'do not make a dtype'),
  ],
)
def test_a_config_that_cannot_be_used(saved, changes, message):
  folder, _, _ = saved
  _edit_config(folder, **changes)
  with pytest.raises(ValueError, match=message):
    ng_jax.load_pretrained(folder)


def test_a_broken_config(saved):
  folder, _, _ = saved
  (folder / 'config.json').write_text('{')
  with pytest.raises(ValueError, match='must be the JSON'):
    ng_jax.load_pretrained(folder)


def test_all_problems_with_arrays_are_listed_at_once(saved):
  folder, _, _ = saved
  path = folder / 'params.safetensors'
  arrays = safetensors_numpy.load_file(path)
  del arrays['params/readout/layer_0/bias']
  arrays['params/attention'] = np.zeros(2)
  arrays['params/conv_0/pre/kernel'] = np.zeros((3, 3))
  safetensors_numpy.save_file(arrays, path)
  with pytest.raises(ValueError, match='do not fit the model') as error:
    ng_jax.load_pretrained(folder)
  for problem in (
    'params/readout/layer_0/bias (6,) is missing',
    'params/attention is unknown',
    'params/conv_0/pre/kernel must have shape (12, 6), got (3, 3)',
  ):
    assert problem in str(error.value)


class _Bomb:
  def __reduce__(self):
    return (pytest.fail, ('a pickle was read',))


def test_headers_of_any_length_are_read(tmp_path):
  # The file begins with that length, which may look like another format.
  path, lengths = tmp_path / 'x.safetensors', set()
  for size in range(64, 8000, 8):
    content = safetensors_numpy.save({'a' * size: np.ones(1, np.float32)})
    if content[:1] == b'\x80':
      path.write_bytes(content)
      assert arrays.read_safetensors(path)['a' * size] == 1
      lengths.add(content[1])
  assert len(lengths) > 2


def test_pickles_and_damaged_files_are_refused(saved):
  folder, _, _ = saved
  path = folder / 'params.safetensors'
  whole = path.read_bytes()
  path.write_bytes(pickle.dumps(_Bomb()))
  with pytest.raises(ValueError, match='pickled or zipped one, which can run'):
    ng_jax.load_pretrained(folder)
  path.write_bytes(b'PK\x03\x04' + whole)
  with pytest.raises(ValueError, match='pickled or zipped one, which can run'):
    ng_jax.load_pretrained(folder)
  path.write_bytes(whole[: len(whole) // 2])
  with pytest.raises(ValueError, match='it is damaged or of another format'):
    ng_jax.load_pretrained(folder)
  path.unlink()
  with pytest.raises(ValueError, match='no file .*params.safetensors'):
    ng_jax.load_pretrained(folder)


def test_the_hub_needs_its_package(monkeypatch, saved):
  folder, model, _ = saved
  monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
  with pytest.raises(ValueError, match=r"hub:me/m needs .*'ng_jax\[hub\]'"):
    ng_jax.load_pretrained('hub:me/m')

  class Hub:
    @staticmethod
    def snapshot_download(name, allow_patterns):
      assert allow_patterns == ['config.json', 'params.safetensors']
      return {'me/m': str(folder)}[name]

  monkeypatch.setitem(sys.modules, 'huggingface_hub', Hub)
  assert ng_jax.load_pretrained('hub:me/m').model == model
