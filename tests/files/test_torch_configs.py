# SPDX-License-Identifier: Apache-2.0
"""Configs of OmegaConf are read without it, and nothing in them is run."""

import importlib
import os
import pathlib
import pickle
import sys
import zipfile

import numpy as np
import pytest

from ng_jax.data.cnn_zoo import wild_park
from ng_jax.files import torch_configs
from ng_jax.files import torch_files
from tests.data import zoo_files

_FILE = (
  pathlib.Path(__file__).parents[1] / 'golden/files/wild_park_checkpoint.pt'
)
_OF_A_PROJECT = 'experiments.launch.config ModelConfig'


def node(**state):
  """As a stand-in is after reading."""
  made = torch_configs.Inert()
  made.__setstate__(state)
  return made


def test_a_checkpoint_of_the_wild_park():
  pytest.importorskip('torch')
  network, weights = wild_park.read_checkpoint(_FILE)
  assert network.channels == tuple(zoo_files.CONFIG['channels'])
  assert network.layer_activations == tuple(zoo_files.CONFIG['activation'])
  kernel = zoo_files.state_dict(zoo_files.CONFIG, 5)['layers.1.weight']
  np.testing.assert_array_equal(
    weights['conv_2']['kernel'], kernel.transpose(2, 3, 1, 0)
  )
  content = torch_files.read(_FILE, configs=True)
  assert torch_configs.to_plain(content['config']) == zoo_files.CONFIG
  assert content['iteration'] == 10
  assert content['last_result']['test/acc'] == 0.25


def test_nothing_that_it_names_is_imported(monkeypatch):
  pytest.importorskip('torch')
  for name in ('omegaconf', 'experiments.launch.config'):
    monkeypatch.setitem(sys.modules, name, None)
  torch_files.read(_FILE, configs=True)
  with pytest.raises(ImportError):
    importlib.import_module('omegaconf')


def test_it_names_what_a_config_may_name():
  # Without torch; elsewhere than in a Wild Park such a file is refused.
  names = torch_files.check(_FILE, configs=True)
  unknown = [name for name in names if not torch_configs.is_known(name)]
  assert unknown == [_OF_A_PROJECT]
  with pytest.raises(
    ValueError, match=f"only, but its pickle asks for .*'{_OF_A_PROJECT}'"
  ):
    torch_files.check(_FILE)


@pytest.mark.parametrize(
  'name',
  [
    'a-b C',
    'builtins eval',
    'numpy.f2py os',
    'omegaconf.omegaconf OmegaConf',
    'os system',
    'posix system',
    'subprocess Popen',
    'torch.hub load',
  ],
)
def test_a_config_may_not_name_what_does_things(tmp_path, name):
  path = tmp_path / 'checkpoint.pt'
  module, _, function = name.partition(' ')
  path.write_bytes(
    b'\x80\x02c' + f'{module}\n{function}\n'.encode() + b'X\x01\0\0\0a\x85R.'
  )
  with pytest.raises(
    ValueError, match=f"tensors and a config only, but .* asks for '{name}'"
  ):
    wild_park.read_checkpoint(path)


def test_names_on_the_stack_are_refused(tmp_path):
  path = tmp_path / 'checkpoint.pt'
  path.write_bytes(pickle.dumps(os.system, protocol=4))
  with pytest.raises(ValueError, match="by the opcode STACK_GLOBAL', which"):
    torch_files.check(path, configs=True)


@pytest.mark.parametrize('call', ['reduce', 'new'])
def test_a_class_of_a_project_is_mentioned_and_never_called(
  tmp_path, monkeypatch, call
):
  torch = pytest.importorskip('torch')
  (tmp_path / f'mine_{call}.py').write_text(
    'import pathlib\n'
    'class Config:\n'
    '  def __new__(cls, *args):\n'
    '    pathlib.Path(__file__).with_suffix(".ran").touch()\n'
    '    return object.__new__(cls)\n'
  )
  monkeypatch.syspath_prepend(tmp_path)
  mine = importlib.import_module(f'mine_{call}')

  class Called:
    def __reduce__(self):
      return mine.Config, (1,)

  path = tmp_path / 'checkpoint.pt'
  torch.save({'config': Called() if call == 'reduce' else mine.Config()}, path)
  mark = tmp_path / f'mine_{call}.ran'
  mark.unlink(missing_ok=True)
  monkeypatch.delitem(sys.modules, f'mine_{call}')
  with pytest.raises(
    ValueError, match=f'it calls mine_{call}.Config, and not only mentions it'
  ):
    torch_files.read(path, configs=True)
  assert not mark.exists()
  pickle.loads(_pickle_of(path))
  assert mark.exists()  # The file is one that would have run.


def _pickle_of(path):
  with zipfile.ZipFile(path) as archive:
    (name,) = (n for n in archive.namelist() if n.endswith('.pkl'))
    return archive.read(name)


def test_what_is_no_config_is_refused():
  assert torch_configs.to_plain({'a': node(_val=1), 'b': (2, None)}) == {
    'a': 1,
    'b': [2, None],
  }
  assert torch_configs.to_plain(
    node(_content=[node(_content={'c': node(_val='x')}), node(_content=None)])
  ) == [{'c': 'x'}, None]
  for wrong in (node(), node(flags={}), torch_configs.Inert()):
    with pytest.raises(ValueError, match='a config with an object of'):
      torch_configs.to_plain([wrong])


def test_configs_may_not_grow_when_they_are_read():
  doubled = [1]
  for _ in range(40):
    doubled = [doubled, doubled]
  with pytest.raises(ValueError, match='of more than 10,000 values'):
    torch_configs.to_plain(doubled)
  endless = node()
  endless.state = {'_content': [endless]}
  with pytest.raises(ValueError, match='values or 100 levels'):
    torch_configs.to_plain(endless)
