# SPDX-License-Identifier: Apache-2.0
"""Reads INR data sets and CNN zoos together, as networks of one set.

    <folder>/<any name>   what make_inr_dataset.py or make_cnn_zoo.py made

What is predicted is the source of the images: which data set a network was
trained on, be it an MLP that draws one of its images or a CNN that classifies
them. Splits stay as they are.
"""

from collections.abc import Sequence
import os
import pathlib
from typing import NamedTuple

import jax
import numpy as np

from ng_jax import specs
from ng_jax.data import cnn_zoo
from ng_jax.data import inr
from ng_jax.data import making
from ng_jax.files import texts

# A setting that only INR data sets have.
_OF_INRS = 'hidden_sizes'


class _Set(NamedTuple):
  """One of the sets: its networks, labels aside, and the source."""

  source: str
  splits: dict[str, cnn_zoo.ZooSplit]


def read(folder: str | os.PathLike[str]) -> cnn_zoo.CnnZoo:
  """Reads all finished sets in a folder.

  Args:
    folder: see the module's docstring.

  Returns:
    A zoo whose classes are the sources of the images, in alphabetical order;
    runs are numbered through all sets. Jit: no.

  Raises:
    ValueError: no set, an unfinished or damaged one, or sets of one source.
  """
  folder = pathlib.Path(folder)
  found = [_read_set(card.parent) for card in sorted(_cards(folder))]
  class_names = tuple(sorted({each.source for each in found}))
  if len(class_names) < 2:
    raise ValueError(
      f'{folder} must hold INR data sets or CNN zoos of at least two sources '
      f'of images, got {len(found)} sets of {list(class_names)}; make others '
      f'with --config.data_dir={folder} and another --config.source.'
    )
  offsets = np.cumsum([0] + [_num_runs(each) for each in found])
  splits = {
    name: _join(
      [each.splits[name] for each in found],
      [class_names.index(each.source) for each in found],
      offsets,
    )
    for name in inr.SPLITS
  }
  return cnn_zoo.CnnZoo(folder.name, splits, {}, folder, class_names)


def _cards(folder: pathlib.Path) -> list[pathlib.Path]:
  if not folder.is_dir():
    raise ValueError(
      f'config.data.path must be a folder of data sets, and {folder} is none; '
      'make some with make_inr_dataset.py and make_cnn_zoo.py.'
    )
  return list(folder.glob(f'*/{making.CARD}'))


def _read_set(path: pathlib.Path) -> _Set:
  try:
    settings = dict(texts.read_json(path / making.CARD)['settings'])
    source = str(settings['source'])
  except Exception as error:  # A damaged card can raise nearly anything.
    raise ValueError(
      f'{path} must hold a finished data set, but its {making.CARD} cannot be '
      f'read ({error!r}); make it again, or take it away.'
    ) from error
  if _OF_INRS not in settings:
    return _Set(source, cnn_zoo.load(path).splits)
  dataset = inr.load(path)
  spec = dataset.network.spec
  return _Set(
    source,
    {
      name: _from_inrs(
        split, spec, f'{path.name}, {name}', is_test=name == 'test'
      )
      for name, split in dataset.splits.items()
    },
  )


def _from_inrs(
  split: inr.InrSplit, spec: specs.NetworkSpec, name: str, *, is_test: bool
) -> cnn_zoo.ZooSplit:
  """INRs as a split of a zoo; the views of an image are one run."""
  count = len(split)
  return cnn_zoo.ZooSplit(
    network_specs=(spec,) * count,
    weights=tuple(
      jax.tree.map(lambda leaf, i=i: leaf[i], split.weights)
      for i in range(count)
    ),
    accuracy=None,
    # Test images are numbered apart from the others in the source.
    run=(2 * split.image_index + is_test).astype(np.int32),
    epoch=np.zeros(count, np.int32),
    names=tuple(
      f'{name}, image {image}, view {view}'
      for image, view in zip(split.image_index, split.view, strict=True)
    ),
    label=np.zeros(count, np.int32),
  )


def _num_runs(found: _Set) -> int:
  return 1 + max(int(split.run.max()) for split in found.splits.values())


def _join(
  parts: Sequence[cnn_zoo.ZooSplit],
  labels: Sequence[int],
  offsets: np.ndarray,
) -> cnn_zoo.ZooSplit:
  """One split of all sets, each with its label and its numbers of runs."""
  return cnn_zoo.ZooSplit(
    network_specs=sum((part.network_specs for part in parts), ()),
    weights=sum((part.weights for part in parts), ()),
    accuracy=None,
    run=np.concatenate(
      [p.run + first for p, first in zip(parts, offsets[:-1], strict=True)]
    ),
    epoch=np.concatenate([part.epoch for part in parts]),
    names=sum((part.names for part in parts), ()),
    label=np.repeat(
      np.asarray(labels, np.int32), [len(part) for part in parts]
    ),
  )
