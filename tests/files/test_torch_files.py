# SPDX-License-Identifier: Apache-2.0
"""Files of torch are read, and never run."""

import collections
import os
import pathlib
import pickle
import re
import sys
import zipfile

import numpy as np
import pytest

from ng_jax.files import torch_files

_NAME = f'{os.system.__module__} system'


class Evil:
  """Makes a file when it is unpickled."""

  def __init__(self, path: pathlib.Path) -> None:
    self.path = path

  def __reduce__(self):
    return os.system, (f'touch {self.path}',)


def _zipped(path, content):
  """As torch.save lays out its files since 1.6."""
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('model/data.pkl', content)
    archive.writestr('model/version', '3\n')


@pytest.fixture(params=['plain', 'zipped', 'old'])
def write(request, tmp_path):
  """Writes a pickle in each of the ways that torch reads."""

  def write_file(content, protocol=2):
    data, path = pickle.dumps(content, protocol=protocol), tmp_path / 'm.pth'
    if request.param == 'zipped':
      _zipped(path, data)
    elif request.param == 'old':
      first = [pickle.dumps(x, protocol=2) for x in (1 << 70, 1001, {})]
      path.write_bytes(b''.join([*first, data]))
    else:
      path.write_bytes(data)
    return path

  return write_file


@pytest.mark.parametrize('protocol', [0, 2, 4])
@pytest.mark.parametrize('torch_is_missing', [False, True])
def test_a_malicious_file_is_refused_and_not_run(
  write, tmp_path, monkeypatch, protocol, torch_is_missing
):
  if torch_is_missing:
    monkeypatch.setitem(sys.modules, 'torch', None)
  mark = tmp_path / 'it_ran'
  path = write({'seq.0.weight': Evil(mark)}, protocol)
  named = _NAME if protocol < 4 else 'a name by the opcode STACK_GLOBAL'
  with pytest.raises(
    ValueError,
    match=re.escape(
      f"must hold tensors only, but its pickle asks for '{named}"
    ),
  ):
    torch_files.read(path)
  assert not mark.exists()
  pickle.loads(pickle.dumps(Evil(mark)))
  assert mark.exists()  # The file is one that would have run.


def test_a_malicious_file_of_torch_itself(tmp_path):
  torch = pytest.importorskip('torch')
  mark, path = tmp_path / 'it_ran', tmp_path / 'm.pth'
  torch.save({'a': torch.ones(2), 'b': Evil(mark)}, path)
  with pytest.raises(ValueError, match=f"m.pth .* asks for '{_NAME}'"):
    torch_files.read(path)
  assert not mark.exists()


def test_all_names_are_listed(write, tmp_path):
  path = write([Evil(tmp_path / 'it_ran'), collections.Counter])
  with pytest.raises(
    ValueError, match=f"asks for 'collections Counter', '{_NAME}', which"
  ):
    torch_files.check(path)


def test_tensors_are_wanted_names(write):
  torch_files.check(write(collections.OrderedDict(label=3)))


def test_without_torch(write, monkeypatch):
  monkeypatch.setitem(sys.modules, 'torch', None)
  with pytest.raises(ImportError, match=r"m.pth .* 'ng_jax\[torch\]'"):
    torch_files.read(write({'label': 3}))


@pytest.mark.parametrize(
  'content', [b'', b'rubbish', b'PK\x03\x04rubbish', b'\x80\x02]q\x00K']
)
def test_damaged_files_are_named(tmp_path, content):
  path = tmp_path / 'm.pth'
  path.write_bytes(content)
  with pytest.raises(ValueError, match='m.pth must be a file of torch.save'):
    torch_files.check(path)


def test_missing_and_empty_archives_are_named(tmp_path):
  with pytest.raises(ValueError, match='m.pth must be a file of .* No such'):
    torch_files.check(tmp_path / 'm.pth')
  with zipfile.ZipFile(tmp_path / 'm.pth', 'w') as archive:
    archive.writestr('model/version', '3\n')
  with pytest.raises(ValueError, match='m.pth must .* without a data.pkl'):
    torch_files.check(tmp_path / 'm.pth')


@pytest.mark.parametrize('zipped', [True, False])
def test_what_torch_saves_is_read(tmp_path, zipped):
  torch = pytest.importorskip('torch')
  path = tmp_path / 'm.pth'
  content = {
    'weight': torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).T),
    'state': collections.OrderedDict(count=torch.tensor(3), rate=0.1),
    'names': ['a', None],
    'half': torch.ones(2, dtype=torch.float16),
  }
  torch.save(content, path, _use_new_zipfile_serialization=zipped)
  found = torch_files.read(path)
  np.testing.assert_array_equal(found['weight'], np.arange(6.0).reshape(2, 3).T)
  assert found['state']['count'] == 3 and found['state']['rate'] == 0.1
  assert found['names'] == ['a', None] and found['half'].dtype == np.float16
  path.write_bytes(path.read_bytes()[:-200])
  with pytest.raises(ValueError, match='m.pth .*cannot be read'):
    torch_files.read(path)


@pytest.mark.parametrize(
  ('names', 'message'),
  [
    (['m/data.pkl', 'M/DATA.PKL'], 'two members of one name'),
    (['m/data.pkl', '../x'], "'../x' must be the name of a file inside"),
    (['m/data.PKL'], 'hold tensors only, but its pickle asks for'),
  ],
)
def test_archives_that_torch_reads_otherwise(tmp_path, names, message):
  path = tmp_path / 'm.pth'
  content = pickle.dumps(Evil(tmp_path / 'it_ran'), protocol=2)
  with zipfile.ZipFile(path, 'w') as archive:
    for name in names:
      archive.writestr(name, content)
  with pytest.raises(ValueError, match=message):
    torch_files.check(path)


def test_many_names_are_counted(tmp_path):
  path = tmp_path / 'm.pth'
  names = b''.join(b'c%d\nx\n0' % i for i in range(50))
  path.write_bytes(b'\x80\x02' + names + b'N.')
  with pytest.raises(ValueError, match="'0 x', .* and 30 more, which is not"):
    torch_files.check(path)


def test_tensors_that_take_more_than_their_file(tmp_path):
  torch = pytest.importorskip('torch')
  path = tmp_path / 'm.pth'
  torch.save({'a': torch.ones(1).expand(2**40)}, path)
  with pytest.raises(ValueError, match='m.pth .* unpacks to 4,398,046,511,'):
    torch_files.read(path)
  nested = [0]
  for _ in range(40):
    nested = [nested, nested]
  torch.save(nested, path)
  with pytest.raises(ValueError, match='m.pth .* unpacks to '):
    torch_files.read(path)
