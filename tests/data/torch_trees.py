# SPDX-License-Identifier: Apache-2.0
"""Writes small sets of INRs in exactly the published formats.

Where torch is missing, files are pickles of arrays; see `stand_in`.
"""

import json
import pathlib
import pickle

import numpy as np

from ng_jax.files import torch_files
from tests.data import publisher_files

_SHAPES = ((32, 2), (32, 32), (1, 32))
LABELS = {'train': [3, 1, 4, 1, 5, 9, 2, 6], 'test': [0, 7, 2, 8]}


def state_dict(seed: int, num_channels: int = 1, name: str = 'seq.{}'):
  """Arrays [out, in] and [out] of layer after layer, small enough to draw."""
  rng = np.random.default_rng(seed)
  found = {}
  for i, (size, fan_in) in enumerate(_SHAPES):
    size = num_channels if i == 2 else size
    layer = name.format(i)
    shape = (size, fan_in)
    found[f'{layer}.weight'] = (0.05 * rng.normal(size=shape)).astype('f4')
    found[f'{layer}.bias'] = (0.05 * rng.normal(size=size)).astype('f4')
  return found


def save(path: pathlib.Path, arrays, **more) -> None:
  """Saves a state_dict of tensors as torch does, and perhaps other entries."""
  write(path, {**arrays, **more})


def write(path: pathlib.Path, content) -> None:
  """Saves nested arrays as tensors; where torch is missing, as they are."""
  path.parent.mkdir(parents=True, exist_ok=True)
  try:
    import torch
  except ImportError:
    path.write_bytes(pickle.dumps(content))
    return

  def to_tensors(tree):
    if isinstance(tree, dict):
      return {key: to_tensors(value) for key, value in tree.items()}
    return torch.from_numpy(tree) if isinstance(tree, np.ndarray) else tree

  torch.save(to_tensors(content), path)


def stand_in(monkeypatch) -> None:
  """Where torch is missing, reads what `write` wrote there."""
  try:
    import torch  # noqa: F401
  except ImportError:
    monkeypatch.setattr(
      torch_files,
      'read',
      lambda path, **unused: pickle.loads(path.read_bytes()),
    )


def write_images(folder: pathlib.Path) -> None:
  """The images of these networks, in the publishers' files."""
  folder.mkdir(parents=True, exist_ok=True)
  rng = np.random.default_rng(0)
  for prefix, split in (('train', 'train'), ('t10k', 'test')):
    labels = np.array(LABELS[split])
    for name, array in (
      (f'{prefix}-images-idx3', rng.integers(0, 256, (len(labels), 28, 28))),
      (f'{prefix}-labels-idx1', labels),
    ):
      content = publisher_files.idx_bytes(array)
      (folder / f'{name}-ubyte').write_bytes(content)


def write_mnist(folder: pathlib.Path) -> dict[str, list[str]]:
  """mnist-inrs and mnist_splits.json: 6, 2 and 4 networks."""
  table = {}
  for split, order in (
    ('train', [0, 2, 4, 6, 1, 3]),
    ('val', [7, 5]),
    ('test', [3, 2, 1, 0]),
  ):
    part = 'test' if split == 'test' else 'train'
    paths, labels = [], []
    for index in order:
      label = LABELS[part][index]
      run = f'mnist_png_{part}ing_{label}_{index}'
      path = f'mnist-inrs/{run}/checkpoints/model_final.pth'
      save(folder / path, state_dict(index + 100 * (part == 'test')))
      paths.append(path)
      labels.append(str(label))
    table[split] = {'path': paths, 'label': labels}
  (folder / 'mnist_splits.json').write_text(json.dumps(table))
  return {split: entry['path'] for split, entry in table.items()}


def write_fashion_mnist(folder: pathlib.Path, *, processed: bool) -> None:
  """fmnist_inrs with its splits as published, or with labels beside it."""
  table, labels = {}, {}
  for split, order in (('train', [0, 2, 4, 6, 1, 3]), ('val', [7, 5]),
                       ('test', [3, 2, 1, 0])):  # fmt: skip
    part = 'test' if split == 'test' else 'train'
    names = [f'fmnist_inrs/{part}/model_{index}.pth' for index in order]
    labels[split] = [LABELS[part][index] for index in order]
    for name, index, label in zip(names, order, labels[split], strict=True):
      arrays = state_dict(index + 100 * (part == 'test'))
      save(folder / name, arrays, label=label)
    table[split] = names
  if processed:
    both = {k: {'path': table[k], 'label': labels[k]} for k in table}
    (folder / 'fmnist_splits.json').write_text(json.dumps(both))
  else:
    there = {k: [f'/home/someone/{name}' for name in table[k]] for k in table}
    path = folder / 'fmnist_inrs' / 'splits.json'
    path.write_text(json.dumps(there))


def write_sirens(folder: pathlib.Path, *, num_channels: int = 1) -> None:
  """SIRENs of all images, train and test one after the other."""
  for index, label in enumerate(LABELS['train'] + LABELS['test']):
    arrays = state_dict(index, num_channels, 'net.{}.linear')
    name = f'randinit_smaller_{folder.name}_{label}s/net{index}.pth'
    save(folder / name, arrays)
    # Further copies, with another prefix, are not read.
    save(folder / f'randinit_test_{label}s/net{index}.pth', arrays)
