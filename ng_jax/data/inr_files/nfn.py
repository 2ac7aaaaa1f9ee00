# SPDX-License-Identifier: Apache-2.0
"""Lists the SIRENs of Zhou et al., 2023 (spec 6.2).

    <folder>/<prefix>_..._<label>s/net<index>.pth

The index numbers the images of the source, train and test one after the other,
and decides the split. The prefix 'randinit_smaller' has one network an image.
"""

import itertools
import pathlib
import re

from ng_jax import networks
from ng_jax.data.inr_files import listing

_FOLDER = re.compile(r'_(\d)s\Z')
# An index may have any size, so a list of all that are missing may too.
_MAX_LISTED = 1_000
_FILE = re.compile(r'net(\d{1,9})\.pth\Z')


def list_sirens(
  folder: pathlib.Path,
  *,
  num_channels: int,
  prefix: str = 'randinit_smaller',
  split_points: tuple[int, int] = (45_000, 50_000),
) -> listing.Listing:
  """Lists the SIRENs of a source.

  Args:
    folder: of the set.
    num_channels: of the images.
    prefix: of the folders that are read.
    split_points: first index of validation and of test.

  Returns:
    The files, by index. Jit: no.

  Raises:
    ValueError: no files, indices that are missing (a thousand are listed) or
      doubled, split points that leave a split empty.
  """
  found: dict[int, listing.InrFile] = {}
  doubled = []
  for path in sorted(folder.glob(f'{prefix}_*/net*.pth')):
    in_folder = _FOLDER.search(path.parent.name)
    in_file = _FILE.search(path.name)
    if not (in_folder and in_file):
      continue
    index, name = int(in_file.group(1)), path.relative_to(folder).as_posix()
    if index in found:
      doubled += [found[index].path, name]
    found[index] = listing.InrFile(name, int(in_folder.group(1)), 'all', index)
  _check_indices(folder, prefix, found, doubled)
  order = [found[index] for index in range(len(found))]
  first, second = split_points
  return listing.Listing(
    folder,
    networks.Siren((2, 32, 32, num_channels), 'nfn'),
    {
      'train': tuple(order[:first]),
      'validation': tuple(order[first:second]),
      'test': tuple(order[second:]),
    },
  )


def _check_indices(
  folder: pathlib.Path,
  prefix: str,
  found: dict[int, listing.InrFile],
  doubled: list[str],
) -> None:
  if not found:
    raise ValueError(
      f'{folder} must hold files {prefix}_..._<label>s/net<index>.pth, got '
      'none; give another folder or prefix.'
    )
  if doubled:
    raise ValueError(
      f'every index must be there once, but in {folder} these share one:\n  '
      + '\n  '.join(doubled)
      + '\nGive the prefix of a single copy.'
    )
  num_missing = max(found) + 1 - len(found)
  if num_missing:
    missing = (i for i in range(max(found)) if i not in found)
    names = [f'net{i}.pth' for i in itertools.islice(missing, _MAX_LISTED)]
    if num_missing > len(names):
      names.append('...')
    raise ValueError(
      f'{folder} must hold net0.pth to net{max(found)}.pth with the prefix '
      f'{prefix!r}, but {num_missing:,} are missing: {", ".join(names)}; fetch '
      'them.'
    )
