# SPDX-License-Identifier: Apache-2.0
"""TFDS builder: checkpoints of CNNs become array_record.

Used by `ng_jax.data.cnn_zoo`; what it writes can be read by TFDS alone:

    tfds.builder_from_directory('<folder>/cnn_set/1.0.0').as_data_source('train')
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

INTEGERS = ('run', 'shape', 'epoch')
FLOATS = (
  *('test_accuracy', 'standard_error', 'test_loss'),
  *('learning_rate', 'weight_decay'),
)


class CnnSet(tfds.core.GeneratorBasedBuilder):
  """Weights, architecture and accuracy of checkpoints."""

  VERSION = tfds.core.Version('1.0.0')

  def __init__(
    self,
    *,
    data_dir: str,
    splits: Mapping[str, Iterable[dict[str, Any]]] | None = None,
    description: str = '',
    **options: Any,
  ) -> None:
    """Keeps the examples; `download_and_prepare` then writes them.

    Args:
      data_dir: where the data set is written, under cnn_set/1.0.0.
      splits: {split: examples}; an example has 'weights' [num_weights] float32,
        'architecture', JSON, and numbers by the names of this module.
      description: for TFDS's own record.
      **options: of TFDS's builders.
    """
    self._splits = splits or {}
    self._description = description
    options.setdefault('file_format', 'array_record')
    super().__init__(data_dir=data_dir, **options)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description=self._description,
      features=features((*INTEGERS, *FLOATS)),
      disable_shuffling=True,  # Order is that of runs and epochs.
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    return {name: enumerate(split) for name, split in self._splits.items()}

  def _generate_examples(self, *args: Any) -> None:
    """Unused: the split generators are given directly."""


def features(
  names: Sequence[str], *, texts: Sequence[str] = ()
) -> tfds.features.FeaturesDict:
  """What an example holds.

  Args:
    names: of the numbers that are known, of `INTEGERS` and `FLOATS`.
    texts: further fields.

  Returns:
    The features. Jit: no.
  """
  return tfds.features.FeaturesDict(
    {
      'weights': tfds.features.Tensor(shape=(None,), dtype=np.float32),
      **{name: tfds.features.Text() for name in ('architecture', *texts)},
      **{
        name: tfds.features.Scalar(np.int32 if name in INTEGERS else np.float32)
        for name in names
      },
    }
  )
