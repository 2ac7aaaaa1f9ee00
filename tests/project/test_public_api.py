# SPDX-License-Identifier: Apache-2.0
"""Public names and signatures change on purpose only."""

import difflib
import importlib
import pathlib

import pytest

from tests.project import public_api

_RECORD = pathlib.Path(__file__).with_name('public_api.txt')
_COMMAND = (
  f'.venv/bin/python -m tests.project.public_api > tests/project/{_RECORD.name}'
)


def test_public_names_and_signatures_are_those_on_record():
  found = list(public_api.lines())
  recorded = _RECORD.read_text(encoding='utf-8').splitlines()
  changes = list(difflib.unified_diff(recorded, found, n=0, lineterm=''))
  assert not changes, (
    'The public interface changed:\n'
    + '\n'.join(changes)
    + f'\nIf that is meant, run: {_COMMAND}; and tell users in CHANGELOG.md.'
  )


def test_a_change_would_be_noticed():
  def function(a, *, b=1):
    return a, b

  assert public_api._signature(function) == '(a, *, b=1)'
  assert public_api._signature(lambda a, b=2, **c: 0) == '(a, b=2, **c)'


@pytest.mark.parametrize('name', public_api.PUBLIC)
def test_public_names_exist(name):
  module = importlib.import_module(name)
  missing = [x for x in public_api.names(module) if not hasattr(module, x)]
  assert not missing, f'{name} lists {missing}, which it does not have.'
