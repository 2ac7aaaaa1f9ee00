# SPDX-License-Identifier: Apache-2.0
"""TFDS builder: fitted networks and their images become array_record.

Used by `ng_jax.data.inr`; what it writes can be read by TFDS alone:

    tfds.builder_from_directory('<folder>/inr_set/1.0.0').as_data_source('train')
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from ng_jax import specs

Splits = Mapping[str, Mapping[str, Any]]  # {split: {field: [num, ...]}}


class InrSet(tfds.core.GeneratorBasedBuilder):
  """Weights, label, image and PSNR of networks fitted to images."""

  VERSION = tfds.core.Version('1.0.0')

  def __init__(
    self,
    *,
    data_dir: str,
    splits: Splits | None = None,
    class_names: tuple[str, ...] = (),
    description: str = '',
    **options: Any,
  ) -> None:
    """Keeps the arrays; `download_and_prepare` then writes them.

    Args:
      data_dir: where the data set is written, under inr_set/1.0.0.
      splits: {split: {'weights': tree, 'image': uint8, 'label', 'image_index',
        'view': integers, 'psnr': float}}, every leaf [num_networks, ...].
      class_names: of the labels.
      description: for TFDS's own record.
      **options: of TFDS's builders.
    """
    self._splits = splits or {}
    self._class_names = class_names
    self._description = description
    options.setdefault('file_format', 'array_record')
    super().__init__(data_dir=data_dir, **options)

  def _info(self) -> tfds.core.DatasetInfo:
    example = next(iter(self._splits.values()))
    return tfds.core.DatasetInfo(
      builder=self,
      description=self._description,
      features=features(
        {
          path: (x.shape[1:], x.dtype.type)
          for path, x in specs.leaf_arrays(example['weights']).items()
        },
        image_shape=example['image'].shape[1:],
        class_names=self._class_names,
      ),
      disable_shuffling=True,  # Order is that of the shards.
    )

  def _split_generators(
    self, dl_manager: Any
  ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
    return {name: _examples(split) for name, split in self._splits.items()}

  def _generate_examples(self, *args: Any) -> None:
    """Unused: the split generators are given directly."""


def features(
  leaves: Mapping[str, tuple[tuple[int, ...], Any]],
  *,
  image_shape: tuple[int, ...] | None,
  class_names: Sequence[str],
) -> tfds.features.FeaturesDict:
  """What an example holds.

  Args:
    leaves: {path: (shape, numpy type)} of the weights of a network.
    image_shape: (rows, columns, channels); None for a set without images, which
      has no PSNR either.
    class_names: of the labels.

  Returns:
    The features. Jit: no.
  """
  weights: dict[str, Any] = specs.from_leaf_arrays(
    {
      path: tfds.features.Tensor(shape=shape, dtype=dtype)
      for path, (shape, dtype) in leaves.items()
    }
  )
  found = {
    'weights': weights,
    'label': tfds.features.ClassLabel(names=list(class_names)),
    'image_index': tfds.features.Scalar(np.int32),
    'view': tfds.features.Scalar(np.int32),
  }
  if image_shape is not None:
    found['image'] = tfds.features.Tensor(shape=image_shape, dtype=np.uint8)
    found['psnr'] = tfds.features.Scalar(np.float32)
  return tfds.features.FeaturesDict(found)


def _examples(
  split: Mapping[str, Any],
) -> Iterator[tuple[int, dict[str, Any]]]:
  leaves = specs.leaf_arrays(split['weights'])
  for i in range(len(split['label'])):
    yield (
      i,
      {
        'weights': specs.from_leaf_arrays(
          {path: x[i] for path, x in leaves.items()}
        ),
        'image': split['image'][i],
        **{name: int(split[name][i]) for name in _INTEGERS},
        'psnr': np.float32(split['psnr'][i]),
      },
    )


_INTEGERS = ('label', 'image_index', 'view')
