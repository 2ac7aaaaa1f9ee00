# SPDX-License-Identifier: Apache-2.0
"""Writes the notebooks from the scripts beside them: `make notebooks`.

The scripts (jupytext's percent format) are what people edit and review. The
notebooks are what Jupyter and Colab open; they hold no outputs. A test compares
the two.
"""

import pathlib
import re

import jupytext
import nbformat

FOLDER = pathlib.Path(__file__).resolve().parent
_COLAB = 'https://colab.research.google.com'
_BADGE = f'[![Open in Colab]({_COLAB}/assets/colab-badge.svg)]'
_INSTALL = """\
import importlib.util

if importlib.util.find_spec('ng_jax') is None:
  %pip install -q "ng_jax[notebooks] @ git+{url}\""""


def scripts() -> list[pathlib.Path]:
  """The scripts, in their order."""
  return sorted(FOLDER.glob('[0-9][0-9]_*.py'))


def read_url() -> str | None:
  """The repository's address, `url` in setup.py; None where it has none."""
  text = (FOLDER.parent / 'setup.py').read_text(encoding='utf-8')
  match = re.search(r"^  url='([^']+)',$", text, re.MULTILINE)
  return match.group(1).removesuffix('/') if match else None


def convert(script: pathlib.Path, url: str | None) -> str:
  """Makes the notebook of a script.

  Args:
    script: in percent format.
    url: of the repository, for Colab; without it the badge opens Colab, where
      the file can be uploaded.

  Returns:
    The content of the .ipynb file.
  """
  notebook = jupytext.reads(
    script.read_text(encoding='utf-8'), fmt='py:percent'
  )
  title, *rest = notebook.cells[0].source.split('\n')
  notebook.cells[0].source = '\n'.join([title, '', _badge(script, url), *rest])
  if url:
    cell = nbformat.v4.new_code_cell(_INSTALL.format(url=url))
    notebook.cells.insert(1, cell)
  for number, cell in enumerate(notebook.cells):
    cell.id = f'cell-{number:02d}'
    cell.metadata = {}
  notebook.metadata = {
    'kernelspec': {
      'display_name': 'Python 3',
      'language': 'python',
      'name': 'python3',
    },
    'language_info': {'name': 'python'},
  }
  notebook.nbformat, notebook.nbformat_minor = 4, 5
  nbformat.validate(notebook)
  return nbformat.writes(notebook) + '\n'


def main() -> None:
  """Writes all notebooks."""
  for script in scripts():
    notebook = script.with_suffix('.ipynb')
    notebook.write_text(convert(script, read_url()), encoding='utf-8')
    print(notebook.relative_to(FOLDER.parent))


def _badge(script: pathlib.Path, url: str | None) -> str:
  if url is None:
    return (
      f'{_BADGE}({_COLAB}/) There, upload this file and the repository, and '
      "`%pip install '<its folder>[notebooks]'`. Here, `pip install "
      "'.[notebooks]'` is enough."
    )
  place = url.removeprefix('https://github.com/')
  file = f'{script.parent.name}/{script.stem}.ipynb'
  return f'{_BADGE}({_COLAB}/github/{place}/blob/main/{file})'


if __name__ == '__main__':
  main()
