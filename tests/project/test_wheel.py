# SPDX-License-Identifier: Apache-2.0
"""Builds the wheel and runs the README's example from it, outside the tree."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]
# What a wheel is built from, and folders that must not get into it.
_TREE = (
  'setup.py',
  'pyproject.toml',
  'LICENSE',
  'README.md',
  'ng_jax',
  'experiments',
  'configs',
  'tests',
)


def _run(arguments: list[str], *, cwd: pathlib.Path) -> str:
  """Runs a command that sees nothing of this tree; returns what it printed."""
  inherited = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(('PYTHON', 'VIRTUAL_ENV'))
  }
  result = subprocess.run(
    arguments,
    cwd=cwd,
    env=inherited | {'JAX_PLATFORMS': 'cpu', 'PIP_NO_INDEX': '1'},
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert result.returncode == 0, f'{arguments}\n{result.stdout}{result.stderr}'
  return result.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """Builds the wheel, without a network, from a copy of the tree."""
  folder = tmp_path_factory.mktemp('wheel')
  for name in _TREE:
    if (_ROOT / name).is_dir():
      ignore = shutil.ignore_patterns('__pycache__')
      shutil.copytree(_ROOT / name, folder / 'tree' / name, ignore=ignore)
    elif (_ROOT / name).exists():
      (folder / 'tree').mkdir(exist_ok=True)
      shutil.copy(_ROOT / name, folder / 'tree')
  command = ['-m', 'build', '--wheel', '--no-isolation', '--outdir', '../dist']
  # The lanes pin setuptools; an older one builds the same wheel.
  command.append('--skip-dependency-check')
  _run([sys.executable, *command], cwd=folder / 'tree')
  (path,) = (folder / 'dist').glob('*.whl')
  return path


@pytest.fixture(scope='module')
def python(
  wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
  """Installs the wheel into an environment of its own.

  What ng_jax requires is found through one path to the packages of the tests.
  The `.pth` files in that folder are not processed, so an editable install
  of this tree there stays out of sight.
  """
  folder = tmp_path_factory.mktemp('environment')
  venv.create(folder / 'venv', with_pip=False, symlinks=True)
  interpreter = folder / 'venv' / 'bin' / 'python'
  # The wheel goes in first, so that pip sees no other ng_jax.
  command = ['--python', str(interpreter), 'install', '--no-index', '--no-deps']
  _run([sys.executable, '-m', 'pip', *command, str(wheel)], cwd=folder)
  query = "import sysconfig; print(sysconfig.get_path('purelib'))"
  packages = pathlib.Path(
    _run([str(interpreter), '-c', query], cwd=folder).strip()
  )
  paths = {sysconfig.get_path('purelib'), sysconfig.get_path('platlib')}
  (packages / 'tests.pth').write_text('\n'.join(sorted(paths)) + '\n')
  return interpreter


def test_wheel_holds_the_package_and_nothing_else(wheel):
  names = set(zipfile.ZipFile(wheel).namelist())
  tops = {name.split('/')[0] for name in names}
  assert len(tops) == 2 and 'ng_jax' in tops, tops
  (metadata,) = tops - {'ng_jax'}
  assert metadata.endswith('.dist-info')
  assert 'ng_jax/py.typed' in names
  assert any(
    re.match(rf'{metadata}/(licenses/)?LICENSE$', name) for name in names
  )
  files = {
    str(path.relative_to(_ROOT))
    for path in (_ROOT / 'ng_jax').rglob('*')
    if path.is_file() and '__pycache__' not in path.parts
  }
  # A folder without __init__.py and data unknown to setup.py stay behind.
  missing = files - names
  assert not missing, f'Not in the wheel: {sorted(missing)}'


def test_installed_package_is_the_wheels(python, tmp_path):
  code = 'import ng_jax; print(ng_jax.__file__)'
  place = pathlib.Path(_run([str(python), '-c', code], cwd=tmp_path).strip())
  assert place.is_relative_to(python.parents[1])
  assert not place.is_relative_to(_ROOT)


@pytest.mark.slow
def test_readme_examples_run_one_after_the_other(python, tmp_path):
  text = (_ROOT / 'README.md').read_text(encoding='utf-8')
  blocks = re.findall(r'^```python\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
  assert len(blocks) >= 4
  example = tmp_path / 'example.py'
  example.write_text('\n'.join(blocks), encoding='utf-8')
  printed = _run([str(python), str(example)], cwd=tmp_path).splitlines()
  # What the comments say is printed.
  for line in ('(4, 10)', '(1, 1)', '16'):
    assert line in printed
