# SPDX-License-Identifier: Apache-2.0
"""Configuration of the documentation: `make docs`.

Pages are Markdown (MyST); the API reference is made from docstrings, which are
plain text with the sections of Google's style.
"""

import ast
import pathlib
import re
import sys

from docutils import nodes
from docutils.parsers import rst
from flax import linen as nn

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
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
# Attributes such as num_nodes belong to several classes; no link is meant.
suppress_warnings = ['ref.python']

_BACKTICKS = re.compile(r'(`[^`]*`)')
_EMPHASIS = re.compile(r'((?<![\w*])\*\w[^*]*\w\*(?![\w*]))')
_INHERITED = 'Attributes: those of '
_OF_FLAX = re.compile(r'(, )?parent: .*\)$')


class Docstring(rst.Directive):
  """The docstring of a Python file, as it is: a path from this page."""

  required_arguments = 1

  def run(self):
    """Returns one block."""
    environment = self.state.document.settings.env
    name, path = environment.relfn2path(self.arguments[0])
    environment.note_dependency(name)
    text = pathlib.Path(path).read_text(encoding='utf-8')
    # As it is written: a backslash ends a line of a command.
    quoted = ast.get_source_segment(text, ast.parse(text).body[0])
    block = quoted.strip('"').strip()
    return [nodes.literal_block(block, block, language='text')]


def _to_rst(line: str) -> str:
  """Escapes what is punctuation in our docstrings and markup in RST."""
  pieces = _BACKTICKS.split(line)
  pieces[::2] = map(_escape, pieces[::2])
  return ''.join(pieces)


def _escape(text: str) -> str:
  text = re.sub(r'(\w)_(?!\w)', r'\1\_', text).replace('|', r'\|')
  pieces = _EMPHASIS.split(text)
  pieces[::2] = [piece.replace('*', r'\*') for piece in pieces[::2]]
  return ''.join(pieces)


def _literal_blocks(lines):
  """Lines that are indented in a module's docstring are code, or a table."""
  found, inside = [], False
  for line in lines:
    indented = line.startswith('    ')
    if indented and not inside:
      found += ['::', '']
    if line.strip():
      inside = indented
    found.append(line if inside else _to_rst(line))
  return found


def _process(app, what, name, obj, options, lines):
  """Makes RST of a docstring, before napoleon reads its sections."""
  if what == 'module':
    lines[:] = _literal_blocks(lines)
    return
  lines[:] = [_to_rst(line) for line in lines]
  # Napoleon takes what stands before a colon for a type; ours have none.
  if what in ('property', 'attribute', 'data') and lines:
    lines[0] = f': {lines[0]}'
  for i, line in enumerate(lines[:-1]):
    if line.strip() == 'Returns:':
      text = lines[i + 1].lstrip()
      indent = ' ' * (len(lines[i + 1]) - len(text))
      lines[i + 1] = f'{indent}: {text}'
  for i, line in enumerate(lines):
    if line.startswith(_INHERITED):
      _split_attributes(lines, i)
      break


def _split_attributes(lines, start):
  """Parts what is said of inherited attributes from the list of the others."""
  end = start + 1
  while not lines[end - 1].endswith(' and') and lines[end : end + 1] > ['']:
    end += 1
  text = ' '.join(line.strip() for line in lines[start:end])
  text = text.removeprefix(_INHERITED).rstrip('.')
  more = text.endswith(' and')
  text = text.removesuffix(' and').rstrip(',')
  heading = ['', 'Attributes:'] if more else []
  lines[start:end] = [f'Has the attributes of {text}.', *heading]


def _cut(app, what, name, obj, options, signature, returned):
  """Leaves out what Flax adds to the signature of every module."""
  if what == 'class' and issubclass(obj, nn.Module) and signature:
    return _OF_FLAX.sub(')', signature), returned
  return None


def setup(app):
  """Registers the processing of docstrings."""
  app.add_directive('docstring', Docstring)
  app.connect('autodoc-process-docstring', _process, priority=100)
  app.connect('autodoc-process-signature', _cut)
