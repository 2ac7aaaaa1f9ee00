# SPDX-License-Identifier: Apache-2.0
"""Reads CNN zoos: networks of any specs, each with its accuracy."""

from collections.abc import Sequence
import dataclasses
import functools
import json
import os
import pathlib
from typing import Any

import numpy as np

from ng_jax import networks
from ng_jax import specs
from ng_jax.data import published
from ng_jax.data import settings as settings_base
from ng_jax.data import tfds_folder
from ng_jax.data.cnn_zoo import checks
from ng_jax.data.cnn_zoo import making
from ng_jax.data.cnn_zoo import runs as runs_lib
from ng_jax.data.cnn_zoo import settings as settings_lib

SPLITS = runs_lib.SPLITS


@dataclasses.dataclass(frozen=True)
class ZooSplit:
  """Networks of one split, each with what is to be predicted.

  Attributes:
    network_specs: of every network; equal ones are one object.
    weights: of every network, trees of numpy arrays without batch axes.
    accuracy: [num_networks] float32 in [0, 1]; None where classes are
      predicted.
    run: [num_networks] int32; networks of one run are in one split.
    epoch: [num_networks] int32.
    names: of every network, for messages and predictions.
    label: [num_networks] int32, number of the class among
      `CnnZoo.class_names`; None where accuracies are predicted.
  """

  network_specs: tuple[specs.NetworkSpec, ...]
  weights: tuple[specs.Weights, ...]
  accuracy: np.ndarray | None
  run: np.ndarray
  epoch: np.ndarray
  names: tuple[str, ...]
  label: np.ndarray | None = None

  def __post_init__(self) -> None:
    if self.accuracy is not None:
      checks.check_accuracies(self.accuracy, self.names)
    if (self.accuracy is None) == (self.label is None):
      raise ValueError(
        'a split must have either accuracies or labels, got '
        f'{"neither" if self.label is None else "both"}; give one of them.'
      )

  @property
  def target(self) -> np.ndarray:
    """What is predicted: the accuracy or the label, [num_networks]."""
    found = self.accuracy if self.label is None else self.label
    return np.asarray(found)

  def __len__(self) -> int:
    return len(self.network_specs)


@dataclasses.dataclass(frozen=True)
class CnnZoo:
  """A zoo.

  Attributes:
    name: for titles.
    splits: {'train', 'validation', 'test'}.
    card: contents of card.json, {} for zoos of others.
    path: its folder.
    class_names: of the labels, () where accuracies are predicted.
  """

  name: str
  splits: dict[str, ZooSplit]
  card: dict[str, Any]
  path: pathlib.Path
  class_names: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    checks.check_runs({n: s.run for n, s in self.splits.items()}, self.path)


def make_or_load(
  settings: settings_lib.ZooSettings,
  data_dir: str | os.PathLike[str],
  *,
  image_dir: str | None = None,
  name: str | None = None,
) -> CnnZoo:
  """Returns the zoo of these settings; makes it where it is missing.

  Args:
    settings: of the zoo.
    data_dir: where made sets are kept.
    image_dir: folder of the image files; not needed when the zoo is there.
    name: of the zoo's folder, instead of the hash of its settings.

  Returns:
    The zoo. Jit: no.

  Raises:
    ValueError: as `make` and `load`.
  """
  return load(making.make(settings, data_dir, image_dir=image_dir, name=name))


def load(path: str | os.PathLike[str]) -> CnnZoo:
  """Reads a zoo that is finished.

  Args:
    path: its folder, as `make` returns it.

  Returns:
    The zoo, on the host. Jit: no.

  Raises:
    ValueError: no zoo there, an unfinished one, damaged files, a checkpoint
      that does not fit its architecture.
  """
  path = pathlib.Path(path)
  try:
    card = json.loads((path / making.CARD).read_text(encoding='utf-8'))
    settings: settings_base.Settings = published.from_card(
      card
    ) or settings_base.from_dict(settings_lib.ZooSettings, card['settings'])
  except (OSError, KeyError, json.JSONDecodeError) as error:
    raise ValueError(
      f'{path} must hold a finished CNN zoo, but its {making.CARD} cannot be '
      f'read ({error!r}); make the zoo again with the same settings, which '
      'continues where it stopped.'
    ) from error
  splits = {
    name: _to_split(
      tfds_folder.read(path / making.TFDS, name, folder=path), path
    )
    for name in SPLITS
  }
  return CnnZoo(settings.to_dict()['source'], splits, card, path)


def read_card(path: str | os.PathLike[str]) -> dict[str, Any] | None:
  """The card of a zoo, None as long as it is unfinished. Jit: no."""
  file = pathlib.Path(path) / making.CARD
  if not file.exists():
    return None
  card: dict[str, Any] = json.loads(file.read_text(encoding='utf-8'))
  return card


def _to_split(
  examples: Sequence[dict[str, Any]], path: pathlib.Path
) -> ZooSplit:
  found = [_spec(bytes(example['architecture'])) for example in examples]
  names = tuple(map(_name, examples))
  weights = tuple(
    cut(spec, np.asarray(example['weights']), name=f'{name} of {path}')
    for spec, example, name in zip(found, examples, names, strict=True)
  )
  return ZooSplit(
    network_specs=tuple(found),
    weights=weights,
    accuracy=np.array([e['test_accuracy'] for e in examples], np.float32),
    run=np.array([e['run'] for e in examples], np.int32),
    epoch=np.array([e['epoch'] for e in examples], np.int32),
    names=names,
  )


def _name(example: dict[str, Any]) -> str:
  """As its publisher calls it, or by run and epoch."""
  if 'name' in example:
    return bytes(example['name']).decode()
  return f'run {example["run"]}, epoch {example["epoch"]}'


@functools.lru_cache(maxsize=65_536)
def _spec(architecture: bytes) -> specs.NetworkSpec:
  return read_architecture(architecture.decode()).spec


def read_architecture(text: str) -> networks.Cnn:
  """A network from its description in a zoo.

  Args:
    text: JSON of the fields of `networks.Cnn`.

  Returns:
    The network. Jit: no.
  """
  fields = json.loads(text)
  if fields.get('map_size'):
    fields['map_size'] = tuple(fields['map_size'])
  return networks.Cnn(**fields)


def cut(
  spec: specs.NetworkSpec, vector: np.ndarray, *, name: str
) -> dict[str, Any]:
  """Inverse of `making.join`.

  Args:
    spec: of the network.
    vector: [num_weights] float.
    name: of the network, for the message.

  Returns:
    The weights, views of the vector. Jit: no.

  Raises:
    ValueError: another number of weights than the spec has.
  """
  shapes = {leaf.path: spec.leaf_shape(leaf) for leaf in spec.leaves}
  sizes = [int(np.prod(shape)) for shape in shapes.values()]
  if vector.shape != (sum(sizes),):
    raise ValueError(
      f'{name} must have the {sum(sizes):,} weights of its architecture, got '
      f'an array of shape {vector.shape}; the checkpoint and its config do not '
      'belong together.'
    )
  parts = np.split(vector, np.cumsum(sizes)[:-1])
  return specs.from_leaf_arrays(
    {
      path: part.reshape(shape)
      for (path, shape), part in zip(shapes.items(), parts, strict=True)
    }
  )
