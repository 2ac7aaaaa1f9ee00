# SPDX-License-Identifier: Apache-2.0
"""Lists the INRs of MNIST and Fashion-MNIST (Navon et al., 2023; spec 6.1).

    mnist-inrs/mnist_png_{training|testing}_<label>_<index>/checkpoints/
      model_final.pth
    mnist_splits.json   {split: {'path': [...], 'label': ['5', ...]}}

    fmnist_inrs/{train|test}/model_<index>.pth
    fmnist_inrs/splits.json   {split: [paths]}, or
    fmnist_splits.json        {split: {'path': [...], 'label': [5, ...]}}

The splits are called 'train', 'val' and 'test'; validation images are training
images. Paths begin with the name of the set's folder.
"""

from collections.abc import Callable, Mapping, Sequence
import pathlib
import re
from typing import Any

from ng_jax import networks
from ng_jax.data.inr_files import listing
from ng_jax.files import limits
from ng_jax.files import texts

_NAMES = {'train': 'train', 'validation': 'val', 'test': 'test'}
_NETWORK = networks.Siren((2, 32, 32, 1), 'dws')
_MNIST = re.compile(r'mnist_png_(training|testing)_(\d)_(\d{1,9})\Z')
_FASHION = re.compile(r'(train|test)/model_(\d{1,9})\.pth\Z')
_ORIGINS = {
  'training': 'train',
  'train': 'train',
  'testing': 'test',
  'test': 'test',
}
# Path of a split, its label or -1 -> the file.
_ToFile = Callable[[str, int], listing.InrFile]


def list_mnist(
  folder: pathlib.Path, *, split_file: str = ''
) -> listing.Listing:
  """Lists the INRs of MNIST.

  Args:
    folder: that holds mnist-inrs.
    split_file: the JSON of the splits; '' for mnist_splits.json of the folder.

  Returns:
    The files. Jit: no.

  Raises:
    ValueError: bad splits, or files that are missing, all of which are listed;
      labels that contradict the names of the folders.
  """
  path = pathlib.Path(split_file or folder / 'mnist_splits.json')
  return _list(folder, path, _mnist_file)


def list_fashion_mnist(
  folder: pathlib.Path, *, split_file: str = ''
) -> listing.Listing:
  """Lists the INRs of Fashion-MNIST.

  Args:
    folder: that holds fmnist_inrs.
    split_file: the JSON of the splits; '' for fmnist_splits.json of the folder
      or, where that is missing, fmnist_inrs/splits.json.

  Returns:
    The files; labels are -1 where the splits have none. Jit: no.

  Raises:
    ValueError: as `list_mnist`.
  """
  path = pathlib.Path(split_file or folder / 'fmnist_splits.json')
  if not split_file and not path.exists():
    path = folder / 'fmnist_inrs' / 'splits.json'
  return _list(folder, path, _fashion_file)


def _list(
  folder: pathlib.Path, path: pathlib.Path, to_file: _ToFile
) -> listing.Listing:
  splits = {
    name: tuple(
      to_file(file, label) for file, label in zip(files, labels, strict=True)
    )
    for name, (files, labels) in _read_splits(path).items()
  }
  return listing.Listing(folder, _NETWORK, splits)


def _read_splits(
  path: pathlib.Path,
) -> dict[str, tuple[list[str], Sequence[int]]]:
  """Paths and labels of every split."""
  try:
    content = texts.read_json(path)
    entries = {name: content[there] for name, there in _NAMES.items()}
    splits = {name: _columns(entry) for name, entry in entries.items()}
    limits.check_lines(path, sum(len(files) for files, _ in splits.values()))
    return splits
  except (OSError, LookupError, OverflowError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path} must have the entries 'train', 'val' and 'test', each a list of "
      "paths or equally long lists 'path' and 'label', but cannot be read "
      f'({limits.told(error)}); give another split_file.'
    ) from error


def _columns(entry: Any) -> tuple[list[str], Sequence[int]]:
  if not isinstance(entry, Mapping):
    return [str(path) for path in entry], [-1] * len(entry)
  labels = [int(label) for label in entry['label']]
  paths = [str(path) for path in entry['path']]
  if len(paths) != len(labels):
    raise ValueError(f'{len(paths)} paths and {len(labels)} labels')
  return paths, labels


def _mnist_file(path: str, label: int) -> listing.InrFile:
  """Label and number are the last parts of the name of the run's folder."""
  # What lies before the set's folder is where the publisher had it.
  parts = pathlib.PurePosixPath(path).parts[-4:]
  found = _MNIST.match(parts[1]) if len(parts) == 4 else None
  if not found:
    raise ValueError(
      f'the splits must name files mnist-inrs/mnist_png_training_<label>_<index'
      f'>/checkpoints/model_final.pth, got {limits.shown(path)!r}; they belong '
      'to another set.'
    )
  origin, named, index = found.groups()
  if label not in (-1, int(named)):
    raise ValueError(
      f'the splits give {limits.shown(path)} the label {label}, but by the '
      f'name of its folder it is {named}; give the splits that belong to the '
      'files.'
    )
  return listing.InrFile(
    '/'.join(parts), int(named), _ORIGINS[origin], int(index)
  )


def _fashion_file(path: str, label: int) -> listing.InrFile:
  found = _FASHION.search(path)
  if not found:
    raise ValueError(
      'the splits must name files fmnist_inrs/{train|test}/model_<index>.pth, '
      f'got {limits.shown(path)!r}; they belong to another set.'
    )
  # What lies before is where the publisher had them.
  name = f'fmnist_inrs/{found.group()}'
  return listing.InrFile(name, label, found.group(1), int(found.group(2)))
