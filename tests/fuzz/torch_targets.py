# SPDX-License-Identifier: Apache-2.0
"""Readers of torch's files; most need torch only to see whether it would read.

What torch itself must read is skipped without it.
"""

import dataclasses
import functools
import io
import pathlib
import pickle
import shutil
import zipfile

import pytest

from ng_jax import networks
from ng_jax.data.cnn_zoo import wild_park
from ng_jax.data.inr_files import reading
from ng_jax.files import torch_files
from tests.data import torch_trees
from tests.fuzz import array_targets
from tests.fuzz import mutations
from tests.fuzz import target

_CHECKPOINT = (
  pathlib.Path(__file__).parents[1] / 'golden/files/wild_park_checkpoint.pt'
)


def _torch_zip(folder: pathlib.Path) -> target.Target:
  """As torch.save lays out its files since 1.6; opened without torch."""
  path = folder / 'model.pth'
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('model/data.pkl', pickle.dumps({'a': 3}, protocol=2))
    archive.writestr('model/data/0', bytes(16))
    archive.writestr('model/version', '3\n')
  read = functools.partial(torch_files.check, path)
  return target.Target(path, read, array_targets.EXPLOITS)


def _torch_pickle(folder: pathlib.Path) -> target.Target:
  """As torch.save laid them out before: five pickles, then the numbers."""
  path = folder / 'model.pth'
  contents = (1 << 70, 1001, {'little_endian': True}, {'a': [3]}, ['0'])
  parts = [pickle.dumps(x, protocol=2) for x in contents]
  path.write_bytes(b''.join(parts) + bytes(16))
  read = functools.partial(torch_files.check, path)
  tokens = (b'\x8e' + b'\xff' * 5 + bytes(3), b'c' * 50, b'.')
  return target.Target(path, read, (*array_targets.EXPLOITS, *tokens))


def _torch_saved(folder: pathlib.Path, *, old: bool = False) -> target.Target:
  """What torch itself writes, read by torch; skipped without it."""
  torch = pytest.importorskip('torch')
  path = folder / 'model.pth'
  content = {'a.weight': torch.arange(6.0).reshape(2, 3).T, 'label': 3}
  torch.save(content, path, _use_new_zipfile_serialization=not old)
  read = functools.partial(torch_files.read, path)
  return target.Target(path, read, array_targets.EXPLOITS)


def _mutate_pickle(rng, content, tokens=()):
  """Damages the pickle inside of a file of torch, whose checksums hold."""
  found = io.BytesIO()
  with (
    zipfile.ZipFile(io.BytesIO(content)) as archive,
    zipfile.ZipFile(found, 'w') as damaged,
  ):
    for name in archive.namelist():
      inner = archive.read(name)
      if name.endswith('.pkl'):
        inner = mutations.mutate(rng, inner, tokens)
      damaged.writestr(name, inner)
  return found.getvalue()


def _torch_inner(folder: pathlib.Path) -> target.Target:
  saved = _torch_saved(folder)
  return dataclasses.replace(saved, mutate=_mutate_pickle)


def _torch_config(folder: pathlib.Path) -> target.Target:
  """A checkpoint with a config of OmegaConf; opened without torch."""
  path = pathlib.Path(shutil.copy(_CHECKPOINT, folder / 'checkpoint.pt'))
  read = functools.partial(torch_files.check, path, configs=True)
  return target.Target(path, read, array_targets.EXPLOITS, _mutate_pickle)


def _torch_checkpoint(folder: pathlib.Path) -> target.Target:
  pytest.importorskip('torch')
  made = _torch_config(folder)
  read = functools.partial(wild_park.read_checkpoint, made.path)
  return dataclasses.replace(made, read=read)


def _torch_inr(folder: pathlib.Path) -> target.Target:
  pytest.importorskip('torch')
  path, siren = folder / 'net0.pth', networks.Siren((2, 32, 32, 1))
  torch_trees.save(path, torch_trees.state_dict(0), label=3)
  read = functools.partial(reading.read_network, path, siren)
  return target.Target(path, read, mutate=_mutate_pickle)


TARGETS: dict[str, target.Make] = {
  'torch_zip': _torch_zip,
  'torch_pickle': _torch_pickle,
  'torch_saved': _torch_saved,
  'torch_saved_old': functools.partial(_torch_saved, old=True),
  'torch_inner': _torch_inner,
  'torch_config': _torch_config,
  'torch_checkpoint': _torch_checkpoint,
  'torch_inr': _torch_inr,
}
