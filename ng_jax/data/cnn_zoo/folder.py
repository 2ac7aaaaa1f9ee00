# SPDX-License-Identifier: Apache-2.0
"""Reads a zoo of one's own: weight files, labels.csv and one spec.

    <folder>/spec.json     NetworkSpec.to_json() of all networks, or
             <name>.json   of one, beside its file, where they differ
    <folder>/labels.csv    see `ng_jax.data.cnn_zoo.labels`
    <folder>/<file>        .safetensors or .npz, arrays by leaf path

In place of spec.json, a Flax module from which the spec is inferred.
"""

from collections.abc import Sequence
import functools
import os
import pathlib

import numpy as np

from ng_jax import specs
from ng_jax.data.cnn_zoo import checks
from ng_jax.data.cnn_zoo import labels as labels_lib
from ng_jax.data.cnn_zoo import loading
from ng_jax.data.cnn_zoo import module_specs
from ng_jax.files import arrays as arrays_lib
from ng_jax.files import limits

LABELS, SPEC = 'labels.csv', 'spec.json'
# A table of more lines than files and so many names files that are not there,
# or one twice; it is not read to its end.
_MAX_BEYOND = 10_000
_ENDINGS = ('.npz', '.safetensors')


def read(
  folder: str | pathlib.Path,
  *,
  module: str = '',
  input_shape: Sequence[int] = (),
) -> loading.CnnZoo:
  """Reads a folder of networks.

  Args:
    folder: see the module's docstring.
    module: 'package.module:Name' of a Flax module, or of a function without
      arguments that returns one, in place of spec.json; '' for none.
    input_shape: of one input of that module, without an axis of examples.

  Returns:
    The zoo. Jit: no.

  Raises:
    ValueError: missing or damaged files, weights that do not fit their spec,
      bad accuracies or labels, splits that share a run, a module that cannot
      be imported or read.
  """
  folder = pathlib.Path(folder)
  there = _list_files(folder)
  table = labels_lib.read(folder / LABELS, len(there) + _MAX_BEYOND)
  _check_files(folder, table.lines, there)
  shared = _infer(folder, module, input_shape)
  splits = {
    name: _read_split(
      folder, [line for line in table.lines if line['split'] == name], shared
    )
    for name in loading.SPLITS
  }
  return loading.CnnZoo(folder.name, splits, {}, folder, table.class_names)


def _infer(
  folder: pathlib.Path, module: str, input_shape: Sequence[int]
) -> specs.NetworkSpec | None:
  """The spec of the module; None without one."""
  if bool(module) != bool(input_shape):
    raise ValueError(
      'module and input_shape must be given together, got '
      f'module={module!r} and input_shape={tuple(input_shape)}; an input_shape '
      'has no axis of examples, as in (28, 28, 1).'
    )
  if not module:
    return None
  if (folder / SPEC).exists():
    raise ValueError(
      f'{folder / SPEC} and module={module!r} both say what the networks are; '
      'take one of them away.'
    )
  return module_specs.infer(module, input_shape)


def _read_split(
  folder: pathlib.Path,
  lines: Sequence[dict[str, str]],
  shared: specs.NetworkSpec | None,
) -> loading.ZooSplit:
  read_files = [_read_network(folder, line['file'], shared) for line in lines]
  accuracy, label = None, None
  if 'label' in lines[0]:
    label = np.array([int(x['class']) for x in lines], np.int32)
  else:
    accuracy = np.array([float(x['accuracy']) for x in lines], np.float32)
  return loading.ZooSplit(
    network_specs=tuple(spec for spec, _ in read_files),
    weights=tuple(weights for _, weights in read_files),
    accuracy=accuracy,
    run=np.array([int(x['number']) for x in lines], np.int32),
    epoch=np.array([int(x['epoch']) for x in lines], np.int32),
    names=tuple(line['file'] for line in lines),
    label=label,
  )


def _list_files(folder: pathlib.Path) -> list[str]:
  """Names of all files of networks, relative to the folder."""
  return sorted(
    path.relative_to(folder).as_posix()
    for path in folder.rglob('*')
    if path.suffix in _ENDINGS
  )


def _check_files(
  folder: pathlib.Path, lines: Sequence[dict[str, str]], there: Sequence[str]
) -> None:
  """Checks that every line has a file, and every file a line, one only."""
  names = [line['file'] for line in lines]
  checks.check_files(folder, names, folder / LABELS)
  labelled = set(names)
  count, lacking = limits.listed(x for x in there if x not in labelled)
  if count:
    raise ValueError(
      f'{folder / LABELS} must have a line for every network, but lacks '
      f'{count:,} of the files in {folder}:{lacking}\nWrite these lines, or '
      'take the files away.'
    )


def _read_network(
  folder: pathlib.Path, name: str, shared: specs.NetworkSpec | None
) -> tuple[specs.NetworkSpec, specs.Weights]:
  """Spec and weights of one file; shared is the spec of the module."""
  path = limits.inside(folder, name)
  own = path.with_suffix('.json')
  if os.path.exists(own):
    spec, source = _read_spec(own), f'the spec {own.name}'
  elif shared is None:
    spec, source = _read_spec(folder / SPEC), f'the spec {SPEC}'
  else:
    spec, source = shared, 'the spec of the module with this input_shape'
  try:
    found = arrays_lib.read(path)
    weights = specs.from_leaf_arrays(
      {key: np.asarray(x, np.float32) for key, x in found.items()}
    )
  except (OSError, TypeError, ValueError) as error:
    raise ValueError(
      f'{path} must be a .safetensors or .npz file of arrays, but cannot be '
      f'read ({limits.told(error)}); write it again or leave it out of '
      f'{LABELS}.'
    ) from error
  try:
    batch = specs.check_weights(spec, weights)
  except ValueError as error:
    raise ValueError(
      f'{path}: {error} (It was held against {source}.)'
    ) from error
  if batch:
    raise ValueError(
      f'{path} must hold one network, got a batch of shape {batch}; write one '
      'file a network.'
    )
  return spec, weights


@functools.lru_cache(maxsize=65_536)
def _read_spec(path: pathlib.Path) -> specs.NetworkSpec:
  try:
    return specs.NetworkSpec.from_json(path.read_text(encoding='utf-8'))
  except (OSError, ValueError) as error:
    raise ValueError(
      f'{path} must be a spec as NetworkSpec.to_json writes it, but cannot be '
      f'read ({limits.told(error)}); write it beside {LABELS}.'
    ) from error
