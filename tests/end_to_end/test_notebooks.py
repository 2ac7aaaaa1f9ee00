# SPDX-License-Identifier: Apache-2.0
"""The notebooks are those of their scripts, and run from start to end."""

import importlib.util
import json
import os
import pathlib

import nbclient
import nbformat
import pytest

from tests import programs

_ROOT = pathlib.Path(__file__).parents[2]
_FOLDER = _ROOT / 'notebooks'
_NAMES = sorted(path.stem for path in _FOLDER.glob('[0-9][0-9]_*.py'))


@pytest.fixture(scope='module')
def convert():
  """The module that makes notebooks of scripts."""
  spec = importlib.util.spec_from_file_location(
    'convert', _FOLDER / 'convert.py'
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_every_script_has_its_notebook():
  assert len(_NAMES) >= 5
  assert _NAMES == sorted(path.stem for path in _FOLDER.glob('*.ipynb'))


@pytest.mark.parametrize('name', _NAMES)
def test_notebook_is_that_of_its_script(convert, name):
  path = _FOLDER / f'{name}.ipynb'
  expected = convert.convert(path.with_suffix('.py'), convert.read_url())
  found = path.read_text(encoding='utf-8')
  assert found == expected, f'{path.name} is old; run `make notebooks`.'
  cells = json.loads(found)['cells']
  assert 'colab-badge.svg' in ''.join(cells[0]['source'])
  for cell in cells:
    assert not cell.get('outputs') and cell.get('execution_count') is None


def test_badge_and_installation_know_the_repository(convert):
  script = _FOLDER / f'{_NAMES[0]}.py'
  url = 'https://github.com/someone/ng_jax'
  first, second, *_ = json.loads(convert.convert(script, url))['cells']
  place = f'/github/someone/ng_jax/blob/main/notebooks/{_NAMES[0]}.ipynb)'
  assert place in ''.join(first['source'])
  assert f'ng_jax[notebooks] @ git+{url}"' in ''.join(second['source'])


@pytest.mark.slow
@pytest.mark.parametrize('name', _NAMES)
def test_notebook_runs(name, shared, tmp_path, monkeypatch):
  monkeypatch.setenv('NG_JAX_SMOKE', '1')
  monkeypatch.setenv('NG_JAX_DATA', str(shared / 'data'))
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  monkeypatch.setenv('XLA_FLAGS', programs.RUNS)
  monkeypatch.setenv('PYTHONPATH', f'{_ROOT}{os.pathsep}')
  notebook = nbformat.read(_FOLDER / f'{name}.ipynb', as_version=4)
  client = nbclient.NotebookClient(
    notebook, timeout=600, resources={'metadata': {'path': str(tmp_path)}}
  )
  client.execute()
  outputs = [
    output
    for cell in notebook.cells
    if cell.cell_type == 'code'
    for output in cell.outputs
  ]
  pictures = [o for o in outputs if 'image/png' in o.get('data', {})]
  assert pictures
