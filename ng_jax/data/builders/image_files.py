# SPDX-License-Identifier: Apache-2.0
"""TFDS builder: the publishers' image files become array_record.

TFDS's own builders of these sets need TensorFlow to prepare them; this one does
not.

    builder = image_files.ImageFiles(
      config='fashion_mnist', data_dir='data', image_dir='folder/of/idx/files')
    builder.download_and_prepare()
    images.read('tfds:image_files/fashion_mnist', image_dir='data')
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from ng_jax.data import images as images_lib


class ImageFiles(tfds.core.GeneratorBasedBuilder):
  """Labelled images of any source of `ng_jax.data.images`."""

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS = [
    tfds.core.BuilderConfig(name=name, description=f'The source {name!r}.')
    for name in images_lib.sources()
  ]

  def __init__(
    self,
    *,
    config: str,
    data_dir: str,
    image_dir: str | None = None,
    **options: Any,
  ) -> None:
    """Reads the images; `download_and_prepare` then writes them.

    Args:
      config: the source, one of `images.sources()`.
      data_dir: where the data set is written, under
        image_files/<config>/1.0.0.
      image_dir: folder of the publishers' files.
      **options: of TFDS's builders.
    """
    self._images = images_lib.read(config, image_dir=image_dir)
    options.setdefault('file_format', 'array_record')
    super().__init__(config=config, data_dir=data_dir, **options)

  def _info(self) -> tfds.core.DatasetInfo:
    train = self._images['train']
    return tfds.core.DatasetInfo(
      builder=self,
      description=f"Images of {train.name}, from the publishers' files.",
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Tensor(
            shape=train.pixels.shape[1:], dtype=np.uint8
          ),
          'label': tfds.features.ClassLabel(names=list(train.class_names)),
          'index': tfds.features.Scalar(np.int32),
        }
      ),
      metadata=tfds.core.MetadataDict({'max_value': train.max_value}),
      disable_shuffling=True,  # Keeps the publisher's order.
    )

  def _split_generators(
    self, dl_manager: Any
  ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
    return {split: _examples(self._images[split]) for split in self._images}

  def _generate_examples(self, *args: Any) -> None:
    """Unused: the split generators are given directly."""


def _examples(
  images: images_lib.Images,
) -> Iterator[tuple[int, dict[str, Any]]]:
  fields = zip(images.pixels, images.labels, images.index, strict=True)
  for i, (pixels, label, index) in enumerate(fields):
    yield i, {'image': pixels, 'label': int(label), 'index': int(index)}
