# SPDX-License-Identifier: Apache-2.0
"""The documentation builds without a warning, and its code runs."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_DOCS = _ROOT / 'docs'
_GUIDES = sorted(path.stem for path in (_DOCS / 'guides').glob('*.md'))


def _run(arguments: list[str], cwd: pathlib.Path) -> None:
  result = subprocess.run(
    [sys.executable, *arguments],
    cwd=cwd,
    env=os.environ | {'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(_ROOT)},
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_documentation_builds_without_warnings(tmp_path):
  _run(
    ['-m', 'sphinx', '-W', '--keep-going', '-q', str(_DOCS), 'html'], tmp_path
  )
  html = tmp_path / 'html'
  assert 'make_or_load' in (html / 'api' / 'training.html').read_text()
  assert 'neural_graph.png' in (html / 'index.html').read_text()


@pytest.mark.slow
@pytest.mark.parametrize('guide', _GUIDES)
def test_code_of_guides_runs(guide, tmp_path):
  text = (_DOCS / 'guides' / f'{guide}.md').read_text(encoding='utf-8')
  blocks = re.findall(r'^```python\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
  assert blocks
  script = tmp_path / 'guide.py'
  script.write_text('\n'.join(blocks), encoding='utf-8')
  _run([str(script)], tmp_path)


def test_every_config_is_on_a_page():
  pages = '\n'.join(
    path.read_text(encoding='utf-8')
    for path in (_DOCS / 'experiments').glob('*.md')
  )
  missing = [
    str(path.relative_to(_ROOT))
    for path in sorted((_ROOT / 'configs').glob('*/*.py'))
    if f'../../configs/{path.parent.name}/{path.name}' not in pages
  ]
  assert not missing, f'configs that no page includes: {missing}'
