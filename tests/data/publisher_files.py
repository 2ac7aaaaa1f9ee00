# SPDX-License-Identifier: Apache-2.0
"""Writes tiny image files in exactly the publishers' formats."""

import gzip
import pathlib
import pickle

import numpy as np


def idx_bytes(array: np.ndarray) -> bytes:
  header = bytes([0, 0, 8, array.ndim])
  lengths = np.array(array.shape, '>u4').tobytes()
  return header + lengths + array.astype(np.uint8).tobytes()


def write_mnist(
  folder: pathlib.Path,
  *,
  num_train: int = 12,
  num_test: int = 5,
  shape: tuple[int, int] = (6, 6),
  gzipped: bool = True,
) -> dict[str, np.ndarray]:
  """Writes the four files of MNIST; returns their arrays by prefix."""
  folder.mkdir(parents=True, exist_ok=True)
  generator = np.random.default_rng(0)
  arrays = {}
  for prefix, num in (('train', num_train), ('t10k', num_test)):
    arrays[f'{prefix}-images-idx3'] = generator.integers(0, 256, (num, *shape))
    arrays[f'{prefix}-labels-idx1'] = np.arange(num) % 10
  for name, array in arrays.items():
    content = idx_bytes(array)
    path = folder / f'{name}-ubyte'
    if gzipped:
      path.with_name(path.name + '.gz').write_bytes(gzip.compress(content))
    else:
      path.write_bytes(content)
  return arrays


def cifar_arrays(num: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """[num, 3072] uint8 planes and [num] labels."""
  generator = np.random.default_rng(seed)
  pixels = generator.integers(0, 256, (num, 3072)).astype(np.uint8)
  return pixels, generator.integers(0, 10, num)


def cifar_binary(pixels: np.ndarray, labels: np.ndarray) -> bytes:
  records = np.concatenate([labels.astype(np.uint8)[:, None], pixels], axis=1)
  return records.tobytes()


def cifar_python(pixels: np.ndarray, labels: np.ndarray) -> bytes:
  content = {
    b'batch_label': b'training batch 1 of 5',
    b'labels': [int(label) for label in labels],
    b'data': pixels,
    b'filenames': [b'a.png'] * len(labels),
  }
  return pickle.dumps(content, protocol=2)


def write_cifar(
  folder: pathlib.Path, *, binary: bool, num: int = 3
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Writes the six files of CIFAR-10; returns their arrays by name."""
  folder.mkdir(parents=True, exist_ok=True)
  names = [*(f'data_batch_{k}' for k in range(1, 6)), 'test_batch']
  arrays = {name: cifar_arrays(num, i) for i, name in enumerate(names)}
  for name, (pixels, labels) in arrays.items():
    if binary:
      (folder / f'{name}.bin').write_bytes(cifar_binary(pixels, labels))
    else:
      (folder / name).write_bytes(cifar_python(pixels, labels))
  return arrays
