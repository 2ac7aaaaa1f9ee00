# SPDX-License-Identifier: Apache-2.0
"""Where the publishers' files of an image source lie below a folder."""

import pathlib

# Subfolders that are looked into, in this order, besides the folder itself.
# Those of CIFAR-10 are named as its archives unpack; it may be a part of it.
_SUBFOLDERS = {
  'mnist': ('mnist',),
  'fashion_mnist': ('fashion_mnist',),
  'cifar10': (
    *('cifar10', 'cifar-10-batches-bin', 'cifar-10-batches-py'),
    'cifar10_subset',
  ),
}


def find(
  source: str,
  image_dir: str | None,
  names: list[str],
  suffixes: tuple[str, ...],
) -> dict[str, pathlib.Path]:
  """Finds each file with the first suffix that exists.

  Args:
    source: 'mnist', 'fashion_mnist' or 'cifar10'.
    image_dir: folder of the files, or a folder of folders: `mnist`,
      `fashion_mnist` and one of `cifar10`, `cifar-10-batches-bin`,
      `cifar-10-batches-py`, `cifar10_subset`. The files of MNIST and
      Fashion-MNIST have the same names, so only the latter serves both.
    names: of the files, all of which are needed.
    suffixes: of the files, the best first.

  Returns:
    {name: path}. Jit: no.

  Raises:
    ValueError: no folder; missing files, which are named.
  """
  wanted = ', '.join(names) + (
    f' (each with one of the endings {list(suffixes)})'
  )
  if not image_dir:
    raise ValueError(
      f'image_dir must name the folder of the {source!r} files {wanted}, got '
      f'{image_dir!r}; point it at the folder, or use the source '
      "'digits', which needs none."
    )
  root = pathlib.Path(image_dir)
  below = [root / name for name in _SUBFOLDERS[source]]
  folder = next((f for f in below if f.is_dir()), root)
  files = {
    name: folder / (name + suffix)
    for name in names
    for suffix in reversed(suffixes)
    if (folder / (name + suffix)).is_file()
  }
  missing = [name for name in names if name not in files]
  if missing:
    state = (
      'does not exist'
      if not folder.is_dir()
      else 'lacks '
      + ('all of them' if len(missing) == len(names) else ', '.join(missing))
    )
    raise ValueError(
      f'image_dir must hold the {source!r} files {wanted}, but {folder} {state}'
      '; fetch the files from their publisher or give another folder.'
    )
  return files
