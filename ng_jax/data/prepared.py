# SPDX-License-Identifier: Apache-2.0
"""Reads images from TFDS data sets that were prepared with array_record."""

from typing import Any

import numpy as np

from ng_jax.data import images

_RULE = (
  'must be prepared in the array_record format (builder = tfds.builder(name, '
  "data_dir=..., file_format='array_record'); builder.download_and_prepare())"
)


def read(source: str, *, image_dir: str | None) -> images.Splits:
  """Reads the splits 'train' and 'test' of a prepared data set.

  Args:
    source: 'tfds:<name>', the name as TFDS has it, with '/<config>' and
      ':<version>' where there are any.
    image_dir: TFDS's data_dir; None for TFDS's default.

  Returns:
    {'train': images, 'test': images}. Jit: no.

  Raises:
    ValueError: no such set, another file format, no split of that name, or no
      fields 'image' (uint8) and 'label'.
  """
  import tensorflow_datasets as tfds

  name = source.removeprefix('tfds:')
  try:
    builder = tfds.core.read_only_builder.builder_from_files(
      name, data_dir=image_dir or None
    )
  except Exception as error:  # TFDS raises its own, by what it looked for.
    raise ValueError(
      f'the TFDS data set {name!r} {_RULE}, but none was found in '
      f'{image_dir or "the default data_dir"}; prepare it or give its data_dir '
      'as image_dir.'
    ) from error
  file_format = builder.info.file_format
  if file_format is None or file_format.value != 'array_record':
    raise ValueError(
      f'the TFDS data set {name!r} {_RULE}, but {builder.data_path} is in the '
      f'format {file_format.value if file_format else None!r}; prepare it '
      'again.'
    )
  features = builder.info.features
  if not {'image', 'label'} <= set(features):
    raise ValueError(
      f"the TFDS data set {name!r} must have the fields 'image' and 'label', "
      f'got {sorted(features)}; use a set of labelled images.'
    )
  missing = {'train', 'test'} - set(builder.info.splits)
  if missing:
    raise ValueError(
      f"the TFDS data set {name!r} must have the splits 'train' and 'test', "
      f'got {sorted(builder.info.splits)}; use a set that has both.'
    )
  class_names = getattr(features['label'], 'names', None)
  return {
    split: _read_split(builder, source, split, class_names)
    for split in ('train', 'test')
  }


def _read_split(
  builder: Any, source: str, split: str, class_names: list[str] | None
) -> images.Images:
  examples = list(builder.as_data_source(split=split))
  labels = np.array([example['label'] for example in examples], np.int32)
  pixels = [np.asarray(example['image']) for example in examples]
  shapes = sorted({(p.shape, str(p.dtype)) for p in pixels})
  if len(shapes) != 1 or len(shapes[0][0]) != 3 or shapes[0][1] != 'uint8':
    raise ValueError(
      f'the images of {source!r} must all be uint8 [rows, columns, channels] '
      f'of one shape, got {shapes[:5]}; use a set of equal images.'
    )
  if class_names is None:
    class_names = [str(i) for i in range(int(labels.max()) + 1)]
  return images.Images(
    np.stack(pixels),
    labels,
    np.array(
      [example.get('index', i) for i, example in enumerate(examples)], np.int32
    ),
    source,
    split,
    tuple(class_names),
    max_value=int((builder.info.metadata or {}).get('max_value', 255)),
  )
