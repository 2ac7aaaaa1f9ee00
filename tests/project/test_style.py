# SPDX-License-Identifier: Apache-2.0
"""Enforces the parts of the house style that the linter cannot see."""

import ast
from collections.abc import Iterator
import importlib.util
import pathlib

import ml_collections
import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_HEADER = '# SPDX-License-Identifier: Apache-2.0'
_FOLDERS = ('ng_jax', 'experiments', 'configs', 'benchmarks', 'tests')
_MAX_FUNCTION_LINES = 80

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = _Function | ast.ClassDef


def _files(*folders: str) -> list[pathlib.Path]:
  return sorted(
    path for folder in folders for path in (_ROOT / folder).rglob('*.py')
  )


def _nodes(*folders: str) -> Iterator[tuple[str, ast.AST]]:
  """Yields each syntax node with the place to name in a message."""
  for path in _files(*folders):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
      yield f'{path.relative_to(_ROOT)}:{getattr(node, "lineno", 1)}', node


def test_files_start_with_the_licence():
  files = [*_files(*_FOLDERS), _ROOT / 'setup.py']
  wrong = [
    str(path.relative_to(_ROOT))
    for path in files
    if path.read_text(encoding='utf-8').split('\n')[0] != _HEADER
  ]
  assert not wrong, f'Files whose first line is not {_HEADER!r}: {wrong}'


def test_public_names_have_docstrings():
  # Of modules; a class documents its methods itself where that reads better.
  wrong = [
    f'{path.relative_to(_ROOT)}:{node.lineno}: {node.name}'
    for path in _files('ng_jax')
    for node in ast.parse(path.read_text(encoding='utf-8')).body
    if isinstance(node, _Definition)
    and not node.name.startswith('_')
    and not ast.get_docstring(node)
  ]
  assert not wrong, 'Without a docstring:\n' + '\n'.join(wrong)


def test_no_assert_outside_tests():
  # python -O removes them; errors are raised as ValueError or TypeError.
  wrong = [
    place
    for place, node in _nodes('ng_jax', 'experiments', 'configs')
    if isinstance(node, ast.Assert)
  ]
  assert not wrong, f'assert statements: {wrong}'


def test_functions_are_short():
  wrong = [
    f'{place}: {node.name}'
    for place, node in _nodes('ng_jax', 'experiments', 'configs')
    if isinstance(node, _Function)
    and (node.end_lineno or 0) - node.lineno >= _MAX_FUNCTION_LINES
  ]
  assert not wrong, f'Longer than {_MAX_FUNCTION_LINES} lines: {wrong}'


@pytest.mark.parametrize('variant', ['paper', 'smoke'])
def test_every_config_has_its_variants(variant):
  wrong = []
  for path in sorted((_ROOT / 'configs').glob('*/*.py')):
    module_spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    if not isinstance(module.get_config(variant), ml_collections.ConfigDict):
      wrong.append(str(path.relative_to(_ROOT)))
  assert not wrong, f'get_config({variant!r}) is no ConfigDict: {wrong}'


def test_every_config_folder_belongs_to_a_binary():
  wrong = [
    path.name
    for path in sorted((_ROOT / 'configs').glob('*/'))
    if any(path.glob('*.py'))
    and not (_ROOT / 'experiments' / f'{path.name}.py').exists()
  ]
  assert not wrong, f'No experiments/<name>.py for configs/<name>: {wrong}'
