# SPDX-License-Identifier: Apache-2.0
"""Configuration of the documentation: `make docs`.

Pages are Markdown (MyST); the API reference is made from docstrings, which are
plain text with the sections of Google's style.
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import ng_jax

project = 'ng_jax'
author = 'The ng_jax authors'
copyright = author
release = ng_jax.__version__
extensions = [
  'myst_parser',
  'sphinx.ext.autodoc',
  'sphinx.ext.napoleon',
]
html_theme = 'furo'
html_title = f'ng_jax {release}'
myst_enable_extensions = ['colon_fence']
myst_heading_anchors = 3

# Single backticks are code, as in Markdown.
default_role = 'code'
smartquotes = False  # 'input' is a string of Python.
autodoc_typehints = 'signature'
autodoc_typehints_format = 'short'
autodoc_member_order = 'bysource'
autodoc_preserve_defaults = True
autodoc_default_options = {'members': True, 'imported-members': True}
napoleon_use_ivar = True
python_use_unqualified_type_names = True
# Attributes such as num_nodes belong to several classes; no link is meant.
suppress_warnings = ['ref.python']

_BACKTICKS = re.compile(r'(`[^`]*`)')


def _to_rst(line: str) -> str:
  """Escapes what is punctuation in our docstrings and markup in RST."""
  pieces = _BACKTICKS.split(line)
  pieces[::2] = [
    re.sub(r'([*|])', r'\\\1', re.sub(r'(\w)_(?!\w)', r'\1\_', piece))
    for piece in pieces[::2]
  ]
  return ''.join(pieces)


def _process(app, what, name, obj, options, lines):
  """Makes RST of a docstring, before napoleon reads its sections."""
  lines[:] = [_to_rst(line) for line in lines]
  for i, line in enumerate(lines[:-1]):
    if line.strip() == 'Returns:':
      # Napoleon takes what stands before a colon for a type; ours have none.
      text = lines[i + 1].lstrip()
      indent = ' ' * (len(lines[i + 1]) - len(text))
      lines[i + 1] = f'{indent}: {text}'


def setup(app):
  """Registers the processing of docstrings."""
  app.connect('autodoc-process-docstring', _process, priority=100)
