# SPDX-License-Identifier: Apache-2.0
"""Small files that would unpack to something large; measures their readers.

`python -m tests.fuzz.bombs FOLDER quick` prints a line of JSON for each: name,
size of the file, peak of what Python allocated, growth of the process, message.
"""

import gzip
import io
import json
import pathlib
import resource
import struct
import sys
import tracemalloc
import zipfile

import numpy as np

from ng_jax import specs
from ng_jax.data import cifar
from ng_jax.data import idx
from ng_jax.data.cnn_zoo import folder as own_zoo
from ng_jax.data.cnn_zoo import labels
from ng_jax.data.cnn_zoo import small_zoo
from ng_jax.data.cnn_zoo import wild_park
from ng_jax.data.inr_files import dws
from ng_jax.files import torch_files
from ng_jax.pretrained import arrays

_LARGE = 300 * 2**20


def npz_of_zeros(path):
  header = io.BytesIO()
  fields = {'descr': '|u1', 'fortran_order': False, 'shape': (_LARGE,)}
  np.lib.format.write_array_header_1_0(header, fields)
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    with archive.open('a.npy', 'w') as file:
      file.write(header.getvalue())
      for _ in range(300):
        file.write(bytes(2**20))


def npz_of_many(path):
  """Members that share one place in the file."""
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    for i in range(40):
      with archive.open(f'{i}.npy', 'w') as file:
        np.save(file, np.zeros(2**20))


def npz_header(path):
  header = io.BytesIO()
  fields = {'descr': '<f8', 'fortran_order': False, 'shape': (2**40,)}
  np.lib.format.write_array_header_1_0(header, fields)
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('a.npy', header.getvalue())


def npz_traversal(path):
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('../../a.npy', b'')


def safetensors_header(path):
  path.write_bytes(struct.pack('<Q', 2**40) + b'{' + b' ' * 100)


def gzipped(path, first, piece, count):
  with gzip.open(path, 'wb', 9) as file:
    file.write(first)
    for _ in range(count):
      file.write(piece)


def small_zoo_files(path, lines):
  gzipped(path.parent / 'metrics.csv.gz', b'step,test_accuracy\n', *lines)
  path.rename(path.parent / 'unused') if path.exists() else None
  path.write_bytes((path.parent / 'metrics.csv.gz').read_bytes())


def pickled(path, content):
  path.write_bytes(b'\x80\x02' + content + b'.')


def torch_zip(path, content):
  """A pickle that is packed well, as torch itself never packs it."""
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    with archive.open('model/data.pkl', 'w') as file:
      for piece in content:
        file.write(piece)


def own_labels(path):
  """Many short lines of files that are not there."""
  path.write_text('file,accuracy\n' + ''.join(f'{i},1\n' for i in range(10**5)))


def read_labels(path):
  own_zoo._check_files(path.parent, labels.read(path, 10_000).lines, [])


def small_layout(path):
  names = ''.join(f'a/dense/{i}:0,0,1,1\n' for i in range(50_000))
  path.write_text('varname,start_idx,end_idx,shape\n' + names)


def splits(path, paths):
  entry = {'path': paths, 'label': [1] * len(paths)}
  table = dict.fromkeys(('train', 'val', 'test'), entry)
  path.write_text(json.dumps(table, separators=(',', ':')))


def spec_of(**changes):
  def write(path):
    network = json.loads(specs.mlp((2, 3, 1), 'relu').to_json())
    network['blocks'][0].update(changes)
    path.write_text(json.dumps(network))

  return write


_IDX = bytes([0, 0, 8, 1]) + struct.pack('>I', _LARGE)
_TEXT = 200_000
# Name -> (writes the file, reads it).
QUICK = {
  'npz_header.npz': (npz_header, arrays.read_state),
  'npz_traversal.npz': (npz_traversal, arrays.read_state),
  'header.safetensors': (safetensors_header, arrays.read_safetensors),
  'memo': (
    lambda path: pickled(path, b'Nr' + struct.pack('<I', 2**31 - 1)),
    cifar.read_python,
  ),
  'containers': (lambda path: pickled(path, b'}' * 10**6), cifar.read_python),
  'bytearray': (
    lambda path: pickled(path, b'\x96' + struct.pack('<Q', 2**40)),
    cifar.read_python,
  ),
  'one_text_often': (
    lambda path: pickled(
      path,
      b'c_codecs\nencode\nq\x00X'
      + struct.pack('<I', _TEXT)
      + b'a' * _TEXT
      + b'q\x01X\x06\x00\x00\x00latin1q\x02'
      + b'h\x00h\x01h\x02\x86R' * 900,
    ),
    cifar.read_python,
  ),
  'channels.json': (
    spec_of(num_channels=10**9, kernel=[10**9, 1]),
    lambda path: specs.NetworkSpec.from_json(path.read_text()),
  ),
  'torch_steps': (
    lambda path: pickled(path, b'}' * 10**6),
    torch_files.check,
  ),
  'torch_length': (
    lambda path: pickled(path, b'\x8e' + struct.pack('<Q', 2**40)),
    torch_files.check,
  ),
  'labels.csv': (own_labels, read_labels),
  'layout.csv': (
    small_layout,
    lambda path: small_zoo._read_layout(path, 100),
  ),
  'splits.json': (
    lambda path: splits(path, [str(i) for i in range(200_000)]),
    lambda path: dws.list_mnist(path.parent, split_file=str(path)),
  ),
  'deep.json': (
    lambda path: path.write_text('[' * 100_000),
    wild_park._read_splits,
  ),
}
LARGE = {
  'npz_of_zeros.npz': (npz_of_zeros, arrays.read_state),
  'npz_of_many.npz': (npz_of_many, arrays.read_state),
  'torch_names': (
    lambda path: pickled(path, b''.join(b'c%d\n\n' % i for i in range(10**6))),
    torch_files.check,
  ),
  'torch_zip': (
    lambda path: torch_zip(path, [b'\x80\x02', *[b'N' * 2**20] * 300]),
    torch_files.check,
  ),
  'rows': (
    lambda path: path.write_text('99\n' * 10**6),
    lambda path: small_zoo._order(path, 10),
  ),
  'labels.gz': (
    lambda path: gzipped(path, _IDX, bytes(2**20), 300),
    lambda path: idx.read(path, num_axes=1),
  ),
  'lines': (
    lambda path: small_zoo_files(path, (b'1,1\n' * 2**18, 40)),
    lambda path: small_zoo.read(path.parent),
  ),
  'one_line': (
    lambda path: small_zoo_files(path, (b'1' * 2**20, 300)),
    lambda path: small_zoo.read(path.parent),
  ),
  'brackets.json': (
    lambda path: path.write_text('[' + '[],' * 5_000_000 + '0]'),
    wild_park._read_splits,
  ),
}


def measure(folder, bombs):
  """Yields what reading each of the files takes."""
  for name, (write, read) in bombs.items():
    path = folder / name
    write(path)
    tracemalloc.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
      read(path)
      message = ''
    except ValueError as error:
      message = str(error)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    yield {
      'name': name,
      'size': path.stat().st_size,
      'peak': peak,
      'resident': grown * 1024,
      'message': message[:500],
    }


if __name__ == '__main__':
  for line in measure(
    pathlib.Path(sys.argv[1]), QUICK if sys.argv[2] == 'quick' else LARGE
  ):
    print(json.dumps(line))
