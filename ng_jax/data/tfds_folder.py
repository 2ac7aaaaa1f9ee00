# SPDX-License-Identifier: Apache-2.0
"""Writes and reads the TFDS folders of made data sets, without TensorFlow."""

from collections.abc import Iterable, Mapping, Sequence
import contextlib
import io
import os
import pathlib
import shutil
import tempfile
from typing import Any


def prepare(builder: Any) -> None:
  """Writes a data set that is in memory already, without a word.

  Args:
    builder: of TFDS, with the examples.

  Jit: no.
  """
  import tensorflow_datasets as tfds

  # Its bars and its talk of downloads would be about nothing.
  tfds.disable_progress_bar()
  try:
    with (
      contextlib.redirect_stdout(io.StringIO()),
      tempfile.TemporaryDirectory() as download_dir,
    ):
      builder.download_and_prepare(download_dir=download_dir)
  finally:
    tfds.enable_progress_bar()


def clean(folder: pathlib.Path, patterns: Iterable[str]) -> None:
  """Takes away what killed runs have left in a finished data set.

  Args:
    folder: of the data set.
    patterns: of names below it that only unfinished things have.

  Jit: no.
  """
  for pattern in patterns:
    for path in folder.glob(pattern):
      if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
      else:
        path.unlink(missing_ok=True)


def shard_name(name: str, split: str, number: int, num_shards: int) -> str:
  """The name that TFDS gives to the file of a shard. Jit: static."""
  return f'{name}-{split}.array_record-{number:05d}-of-{num_shards:05d}'


def write_shard(
  path: pathlib.Path, features: Any, examples: Iterable[dict[str, Any]]
) -> None:
  """Writes one file of a split, so that it is either whole or not there.

  Args:
    path: of the file, with the name of `shard_name`; what is on its way lies
      beside its folder.
    features: of TFDS.
    examples: of the shard, taken one by one.

  Jit: no.
  """
  from tensorflow_datasets.core import example_serializer
  from tensorflow_datasets.core import file_adapters

  serializer = example_serializer.ExampleSerializer(
    features.get_serialized_info()
  )

  def serialize(example: dict[str, Any]) -> bytes:
    # TFDS leaves the order of the fields to chance, which differs by process.
    found = serializer.get_tf_example(features.encode_example(example))
    content: bytes = found.SerializeToString(deterministic=True)
    return content

  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.parent.with_name(f'.{path.name}.tmp')
  file_adapters.ArrayRecordFileAdapter.write_examples(
    temporary, ((i, serialize(x)) for i, x in enumerate(examples))
  )
  os.replace(temporary, path)


def write_metadata(
  path: pathlib.Path,
  *,
  name: str,
  features: Any,
  shard_lengths: Mapping[str, Sequence[int]],
  description: str,
) -> None:
  """Makes a data set of a folder of shards.

  Args:
    path: of the folder.
    name: of the data set.
    features: of TFDS.
    shard_lengths: {split: examples of each of its shards}.
    description: for TFDS's own record.

  Jit: no.
  """
  import tensorflow_datasets as tfds
  from tensorflow_datasets.core import dataset_info
  from tensorflow_datasets.core import file_adapters
  from tensorflow_datasets.core import naming

  identity = dataset_info.DatasetIdentity(
    name=name,
    version=tfds.core.Version('1.0.0'),
    data_dir=os.fspath(path),
    module_name='',
  )
  info = tfds.core.DatasetInfo(
    builder=identity,
    features=features,
    description=description,
    disable_shuffling=True,
  )
  info.set_file_format(file_adapters.FileFormat.ARRAY_RECORD)
  template = naming.ShardedFileTemplate(
    data_dir=path, dataset_name=name, filetype_suffix='array_record'
  )
  splits = []
  for split, lengths in shard_lengths.items():
    files = [
      shard_name(name, split, i, len(lengths)) for i in range(len(lengths))
    ]
    size = sum((path / file).stat().st_size for file in files)
    splits.append(
      tfds.core.SplitInfo(
        name=split,
        shard_lengths=list(lengths),
        num_bytes=size,
        filename_template=template.replace(split=split),
      )
    )
  info.set_splits(tfds.core.splits.SplitDict(splits))
  info.write_to_directory(path)


def read(
  path: pathlib.Path, split: str, *, folder: pathlib.Path
) -> list[dict[str, Any]]:
  """Reads all examples of a split, about 3,000 networks a second.

  Args:
    path: of the version's folder.
    split: name.
    folder: of the whole data set, for the message.

  Returns:
    The examples in order, as TFDS gives them. Jit: no.

  Raises:
    ValueError: missing or damaged files.
  """
  import tensorflow_datasets as tfds

  try:
    builder = tfds.builder_from_directory(path)
    source = builder.as_data_source(split)
    return list(source.__getitems__(list(range(len(source)))))
  except Exception as error:  # TFDS and array_record raise their own.
    raise ValueError(
      f'the split {split!r} of {path} cannot be read '
      f'({type(error).__name__}: {error}); delete {folder} and make the set '
      'again.'
    ) from error
