# SPDX-License-Identifier: Apache-2.0
"""Enforces that imports of ng_jax point one way and that importing is light."""

import ast
import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PACKAGE = _ROOT / 'ng_jax'
_OUTSIDE = ('experiments', 'configs', 'tests', 'benchmarks', 'notebooks')
_MAX_LINES = 300
_VAGUE_NAMES = ('utils', 'util', 'helpers', 'helper', 'common', 'misc')

_BASE = ('numerics', 'files', 'specs')
_NETWORKS = (*_BASE, 'networks', 'weights')
_MODELS = (*_NETWORKS, 'graphs', 'layers', 'models')
# What each part of ng_jax may import, besides itself. A new part is entered
# here, at the place where its imports still point one way.
_MAY_IMPORT = {
  'processes': (),
  'files': (),
  'numerics': (),
  'specs': ('numerics', 'files'),
  'networks': _BASE,
  'weights': _BASE,
  'graphs': _NETWORKS,
  'layers': (*_NETWORKS, 'graphs'),
  'models': (*_NETWORKS, 'graphs', 'layers'),
  'optimizers': _MODELS,
  'data': (*_NETWORKS, 'processes'),
  'meta': (*_MODELS, 'optimizers', 'data', 'plots', 'processes'),
  'pretrained': (*_MODELS, 'optimizers'),
  'testing': _MODELS,
  'plots': (*_MODELS, 'data'),
  'train': (
    *_MODELS, 'optimizers', 'data', 'meta', 'pretrained', 'testing', 'plots',
    'processes',
  ),
  'results': ('meta', 'plots', 'train'),
}  # fmt: skip

_HEAVY = (
  'array_record',
  'matplotlib',
  'orbax',
  'sklearn',
  'tensorboardX',
  'tensorflow',
  'tensorflow_datasets',
  'torch',
)


class _Import(NamedTuple):
  """One import statement: where it is, and the module or name it asks for."""

  path: pathlib.Path
  line: int
  module: str  # 'ng_jax.data' of `from ng_jax.data import images`.
  name: str  # 'images', or '' for `import ng_jax.data`.

  def __str__(self) -> str:
    return f'{self.path.relative_to(_ROOT)}:{self.line}: {self.module}'


def _files() -> list[pathlib.Path]:
  return sorted(_PACKAGE.rglob('*.py'))


def _imports(path: pathlib.Path) -> list[_Import]:
  """Returns the imports of a file, those inside functions included."""
  found = []
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    if isinstance(node, ast.Import):
      found += [_Import(path, node.lineno, a.name, '') for a in node.names]
    elif isinstance(node, ast.ImportFrom):
      module = '.' * node.level + (node.module or '')
      found += [_Import(path, node.lineno, module, a.name) for a in node.names]
  return found


def _is_module(dotted: str) -> bool:
  path = _ROOT / dotted.replace('.', '/')
  return path.with_suffix('.py').exists() or path.is_dir()


def _part(path: pathlib.Path) -> str:
  """Returns 'data' for ng_jax/data/images.py and '' for ng_jax/__init__.py."""
  first = path.relative_to(_PACKAGE).parts[0].removesuffix('.py')
  return '' if first == '__init__' else first


def _imported_part(found: _Import) -> str:
  """Returns the part of ng_jax that is imported; '' for the package itself."""
  parts = found.module.split('.')
  if len(parts) > 1:
    return parts[1]
  return found.name if _is_module(f'ng_jax.{found.name}') else ''


def _internal_imports() -> list[_Import]:
  return [
    found
    for path in _files()
    for found in _imports(path)
    if found.module.split('.')[0] == 'ng_jax'
  ]


def test_every_part_has_its_place():
  unknown = {_part(path) for path in _files()} - {'', *_MAY_IMPORT}
  assert not unknown, f'Enter {sorted(unknown)} in _MAY_IMPORT of this test.'


def test_the_order_has_no_cycle():
  done: set[str] = set()
  while len(done) < len(_MAY_IMPORT):
    ready = {part for part, may in _MAY_IMPORT.items() if set(may) <= done}
    assert ready > done, f'Cycle among {sorted(set(_MAY_IMPORT) - done)}.'
    done = ready


def test_imports_point_one_way():
  wrong = []
  for found in _internal_imports():
    importer, imported = _part(found.path), _imported_part(found)
    if importer not in ('', imported) and importer in _MAY_IMPORT:
      if imported not in _MAY_IMPORT[importer]:
        wrong.append(f'{found}: {importer} must not import {imported}.')
  assert not wrong, '\n'.join(wrong)


def test_nothing_imports_what_is_outside_the_package():
  wrong = [
    str(found)
    for path in _files()
    for found in _imports(path)
    if found.module.split('.')[0] in (*_OUTSIDE, '')
  ]
  assert not wrong, 'Outside ng_jax, or relative:\n' + '\n'.join(wrong)


def test_imports_are_of_modules():
  # The __init__ files collect the public names and are the one exception.
  wrong = [
    f'{found}: {found.name} is not a module.'
    for found in _internal_imports()
    if found.path.name != '__init__.py'
    and found.name
    and not _is_module(f'{found.module}.{found.name}')
  ]
  assert not wrong, '\n'.join(wrong)


def test_modules_are_short_and_well_named():
  wrong = []
  for path in _files():
    num_lines = len(path.read_text(encoding='utf-8').splitlines())
    name = path.relative_to(_ROOT)
    if num_lines > _MAX_LINES:
      wrong.append(f'{name} has {num_lines} lines, more than {_MAX_LINES}.')
    if set(name.with_suffix('').parts) & set(_VAGUE_NAMES):
      wrong.append(f'{name} does not say what it is for.')
  assert not wrong, '\n'.join(wrong)


def _run(code: str) -> subprocess.CompletedProcess:
  """Runs code in a fresh interpreter whose JAX can start no device."""
  return subprocess.run(
    [sys.executable, '-c', code],
    cwd=_ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'no_such_platform'},
    capture_output=True,
    text=True,
    timeout=120,
  )


def _modules() -> list[str]:
  """Returns ng_jax and the packages and modules right below it."""
  names = {f'ng_jax.{_part(path)}'.rstrip('.') for path in _files()}
  return sorted(name for name in names if _has_init(name))


def _has_init(dotted: str) -> bool:
  path = _ROOT / dotted.replace('.', '/')
  return path.with_suffix('.py').exists() or (path / '__init__.py').exists()


def test_importing_is_light_and_starts_no_device():
  code = f"""
import importlib, sys
for name in {_modules()}:
  importlib.import_module(name)
heavy = sorted({{name.split('.')[0] for name in sys.modules}} & set({_HEAVY}))
from absl import flags
print(heavy, flags.FLAGS.is_parsed())
"""
  result = _run(code)
  assert result.returncode == 0, result.stderr
  assert result.stdout.strip() == '[] False'


@pytest.mark.parametrize('code', ['jax.devices()', 'jax.numpy.zeros(1)'])
def test_no_such_platform_would_notice_a_device(code):
  result = _run(f'import jax; {code}')
  assert result.returncode != 0
  assert 'no_such_platform' in result.stderr
