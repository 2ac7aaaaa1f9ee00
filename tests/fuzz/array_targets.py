# SPDX-License-Identifier: Apache-2.0
"""Readers of arrays and images."""

import functools
import gzip
import json
import pathlib
import pickle

import numpy as np
from safetensors import numpy as safetensors_numpy

from ng_jax.data import cifar
from ng_jax.data import idx
from ng_jax.data import shards
from ng_jax.models.official import recordings
from ng_jax.pretrained import arrays
from tests.fuzz import target

# What an attacker would put into a pickle; the file must never appear.
EXPLOITS = (
  b"cos\nsystem\n(S'touch hacked'\ntR",
  b'cbuiltins\nexec\n(S\'open("hacked", "w")\'\ntR',
  b'\x8c\x02os\x8c\x06system\x93',
  b'cnumpy\nload\n',
)
_FLAT = {'param/a': np.ones((2, 3), np.float32), 'param/b': np.arange(4)}


def _npz(folder: pathlib.Path, save=np.savez) -> target.Target:
  path = folder / 'state.npz'
  save(path, **_FLAT)
  read = functools.partial(arrays.read_state, path)
  return target.Target(path, read, (b'../', b'|O', b'f8'))


def _safetensors(folder: pathlib.Path) -> target.Target:
  path = folder / 'state.safetensors'
  safetensors_numpy.save_file(_FLAT, path)
  read = functools.partial(arrays.read_safetensors, path)
  return target.Target(path, read, (b'BF16', b'-1'))


def _shard(folder: pathlib.Path) -> target.Target:
  path = folder / 'shard.safetensors'
  shards.write(path, {'x': np.ones(3), 'y': np.ones((3, 2))})
  read = functools.partial(shards.read, path, num_rows=3)
  return target.Target(path, read, (b'F8_E4M3',))


def _recording(folder: pathlib.Path) -> target.Target:
  path = folder / 'case.npz'
  config = json.dumps({'model': {'_target_': 'x'}})
  np.savez(path, config=np.array(config), **_FLAT)
  read = functools.partial(recordings.read, path)
  return target.Target(path, read, (b'<U9', b'config'))


def _idx(folder: pathlib.Path, *, packed: bool = False) -> target.Target:
  path = folder / ('images.gz' if packed else 'images')
  header = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4])
  with (gzip.open if packed else open)(path, 'wb') as file:
    file.write(header + bytes(24))
  read = functools.partial(idx.read, path, num_axes=3)
  return target.Target(path, read, packed=packed)


def _cifar_binary(folder: pathlib.Path) -> target.Target:
  path = folder / 'data_batch_1.bin'
  path.write_bytes(bytes(3073 * 2))
  return target.Target(path, functools.partial(cifar.read_binary, path))


def _cifar_pickle(folder: pathlib.Path) -> target.Target:
  path = folder / 'data_batch_1'
  data = np.zeros((2, 3072), np.uint8)
  path.write_bytes(pickle.dumps({b'data': data, b'labels': [3, 9]}, protocol=2))
  read = functools.partial(cifar.read_python, path)
  return target.Target(path, read, EXPLOITS)


TARGETS: dict[str, target.Make] = {
  'npz': _npz,
  'npz_packed': functools.partial(_npz, save=np.savez_compressed),
  'safetensors': _safetensors,
  'shard': _shard,
  'recording': _recording,
  'idx': _idx,
  'idx_packed': functools.partial(_idx, packed=True),
  'cifar_binary': _cifar_binary,
  'cifar_pickle': _cifar_pickle,
}
