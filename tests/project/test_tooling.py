# SPDX-License-Identifier: Apache-2.0
"""The files of tools that nobody runs here agree with those that are run."""

import pathlib
import re

import pytest
import yaml

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def _read(name):
  return yaml.safe_load((_ROOT / name).read_text(encoding='utf-8'))


def test_github_runs_what_ci_run_runs():
  job = _read('.github/workflows/ci.yml')['jobs']['checks']
  commands = [step['run'] for step in job['steps'] if 'run' in step]
  assert commands == ['.ci/run']
  setup = next(x for x in job['steps'] if 'setup-python' in x.get('uses', ''))
  versions = setup['with']['python-version'].split()
  assert versions == ['3.11', '3.13']
  text = (_ROOT / '.ci' / 'run').read_text(encoding='utf-8')
  assert all(version in text for version in versions)


def test_pre_commit_runs_what_make_runs():
  (local,) = _read('.pre-commit-config.yaml')['repos']
  assert local['repo'] == 'local'  # One pin of every tool.
  entries = ' '.join(hook['entry'] for hook in local['hooks'])
  makefile = (_ROOT / 'Makefile').read_text(encoding='utf-8')
  for command in ('ruff check', 'ruff format', 'mypy ng_jax'):
    assert f'.venv/bin/{command}' in entries
    assert f'$(BIN)/{command}' in makefile
  for name in re.findall(r'tests/\S+', entries):
    assert (_ROOT / name).exists(), name


@pytest.mark.parametrize(
  'path', sorted((_ROOT / '.github' / 'ISSUE_TEMPLATE').glob('*.yml'))
)
def test_issue_templates_are_forms(path):
  content = yaml.safe_load(path.read_text(encoding='utf-8'))
  if path.name == 'config.yml':
    assert content == {'blank_issues_enabled': True}
    return
  assert {'name', 'description', 'body'} <= set(content)
  for part in content['body']:
    assert part['type'] in ('textarea', 'input')
    assert part['attributes']['label']
  ids = [part['id'] for part in content['body']]
  assert len(set(ids)) == len(ids)


@pytest.mark.parametrize('name', ['CONTRIBUTING.md', 'docs/failures.md'])
def test_files_that_a_guide_names_exist(name):
  text = (_ROOT / name).read_text(encoding='utf-8')
  named = re.findall(
    r'`((?:ng_jax|tests|experiments|configs|docs)/[\w./]+)`', text
  )
  assert named
  missing = [path for path in named if not (_ROOT / path).exists()]
  assert not missing
