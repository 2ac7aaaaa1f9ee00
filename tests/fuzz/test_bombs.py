# SPDX-License-Identifier: Apache-2.0
"""Files that would unpack to far more than their size are refused in time."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from ng_jax.files import arrays
from ng_jax.files import limits
from ng_jax.files import texts
from ng_jax.specs import layout
from tests.fuzz import bombs

ROOT = pathlib.Path(__file__).parents[2]
# A reader takes at most so many times the size of its file, and so much.
_TIMES, _BYTES = 8, 64 * 2**20


@pytest.mark.parametrize(
  'which', ['quick', pytest.param('large', marks=pytest.mark.slow)]
)
def test_memory_is_bounded_and_the_file_refused(which, tmp_path):
  # In a process of its own, whose memory nothing else has raised.
  done = subprocess.run(
    [sys.executable, '-m', 'tests.fuzz.bombs', str(tmp_path), which],
    cwd=ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    timeout=500,
  )
  assert done.returncode == 0, done.stderr
  lines = [json.loads(line) for line in done.stdout.splitlines()]
  expected = bombs.QUICK if which == 'quick' else bombs.LARGE
  assert [line['name'] for line in lines] == list(expected)
  for line in lines:
    allowed = _TIMES * line['size'] + _BYTES
    assert line['peak'] <= allowed, line
    assert line['resident'] <= allowed, line
    assert line['message'], line


@pytest.mark.parametrize(
  'name', ['../x', '/x', 'a/../../x', '..\\x', 'C:\\x', 'C:/x', '', 'a\0b']
)
def test_names_that_lead_elsewhere(name, tmp_path):
  with pytest.raises(ValueError, match='must be the name of a file inside'):
    limits.inside(tmp_path, name)


def test_names_inside(tmp_path):
  assert limits.inside(tmp_path, 'a/b.npz') == tmp_path / 'a' / 'b.npz'
  with pytest.raises(ValueError, match='must be a text, got 3'):
    limits.inside(tmp_path, 3)


def test_links_that_lead_elsewhere(tmp_path):
  folder = tmp_path / 'zoo'
  folder.mkdir()
  (tmp_path / 'secret').touch()
  (folder / 'file').touch()
  (folder / 'inner').symlink_to('file')
  (folder / 'loop').symlink_to('loop')
  (folder / 'outer').symlink_to(tmp_path / 'secret')
  (tmp_path / 'link').symlink_to(folder)
  # The folder itself may be a link.
  names = ['file', 'inner', 'loop', 'none', 'a' * 300, '\ud800']
  missing = list(limits.missing_files(tmp_path / 'link', names))
  assert missing == names[2:]
  with pytest.raises(
    ValueError, match="'outer' must be a file inside .* a link that leads else"
  ):
    list(limits.missing_files(folder, ['file', 'outer']))


def test_messages_stay_short():
  assert limits.listed(['a', 'b\n']) == (2, '\n  a\n  b\\n')
  count, lines = limits.listed(str(i) for i in range(5_000))
  assert count == 5_000 and lines.endswith('\n  999\n  ... and 4,000 more')
  assert limits.shown('9' * 5_000) == '9' * 200 + '... (5,000 characters)'
  with pytest.raises(UnicodeDecodeError) as info:
    (b'a' * 5_000 + b'\xff').decode()
  assert len(limits.told(info.value)) < 200
  assert limits.told(ValueError('x' * 5_000)).endswith('(5,014 characters)')


def test_tables_of_many_lines(tmp_path):
  (tmp_path / 'table').write_text('a\n')
  limits.check_lines(tmp_path / 'table', 1_000)
  with pytest.raises(ValueError, match='unpacks to 300,000,000 bytes'):
    limits.check_lines(tmp_path / 'table', 10**6)


def test_compressed_arrays_of_usual_size_are_read(tmp_path):
  wanted = {
    'a': np.zeros((500, 500), np.float32),
    'b': np.asfortranarray(np.arange(6).reshape(2, 3)),
    'c': np.array('text'),
    'd': np.zeros((0, 3)),
  }
  np.savez_compressed(tmp_path / 'x.npz', **wanted)
  found = arrays.read(tmp_path / 'x.npz')
  for name, value in wanted.items():
    np.testing.assert_array_equal(found[name], value)
    assert found[name].dtype == value.dtype
  np.save(tmp_path / 'b.npy', wanted['b'])
  mapped = arrays.map_npy(tmp_path / 'b.npy')
  np.testing.assert_array_equal(mapped, wanted['b'])


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'"\xff' + b'a' * 9_000 + b'"', 'no text: .utf-8. codec .{0,80}$'),
    (b'[' * 10_000, 'nests too deeply'),
    (b'[' * 2_000_000, 'too many brackets and commas'),
  ],
)
def test_json_that_takes_too_much(content, message):
  with pytest.raises(ValueError, match=message):
    texts.parse_json(content)


def test_a_layout_is_refused_at_once():
  # Took longer than the age of the universe with backtracking.
  with pytest.raises(ValueError, match='must be axis names'):
    layout.parse('a' * 60 + '!', {}, {}, name='x')
