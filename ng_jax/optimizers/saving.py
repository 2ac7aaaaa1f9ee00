# SPDX-License-Identifier: Apache-2.0
"""Trained optimizers: one safetensors file each, loaded by name.

The file holds theta, and in its header the optimizer's name and options, and
what is known of its training, as JSON. Theta of one optimizee's layout is good
for any other.
"""

from collections.abc import Mapping
import difflib
import importlib.resources
import json
import os
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors import numpy as safetensors_numpy

from ng_jax import specs
from ng_jax.files import arrays
from ng_jax.files import limits
from ng_jax.files import texts
from ng_jax.optimizers import base
from ng_jax.optimizers import registry
from ng_jax.optimizers import trees
from ng_jax.specs import bounds

_HEADER = 'ng_jax_optimizer'
_FORMAT = 1
_ENDING = '.safetensors'


class Trained(NamedTuple):
  """A learned optimizer with its parameters.

  Attributes:
    optimizer: static.
    theta: its parameters.
    details: what its file says of its training: config and measured curve.
  """

  optimizer: base.LearnedOptimizer
  theta: base.Theta
  details: dict[str, Any]


def trained_names() -> tuple[str, ...]:
  """Names of the optimizers that ship with ng_jax. Jit: static."""
  folder = importlib.resources.files('ng_jax.optimizers') / 'trained'
  if not folder.is_dir():
    return ()
  return tuple(
    sorted(
      entry.name.removesuffix(_ENDING)
      for entry in folder.iterdir()
      if entry.name.endswith(_ENDING)
    )
  )


def save(
  path: str | os.PathLike[str],
  optimizer: base.LearnedOptimizer,
  theta: base.Theta,
  details: Mapping[str, Any] | None = None,
) -> None:
  """Writes a trained optimizer; an existing file is replaced at once or kept.

  Args:
    path: of the file, ending in '.safetensors'.
    optimizer: of `optimizers.create`; its spec is not saved.
    theta: its parameters.
    details: what JSON can hold, such as the config and the measured curve.

  Raises:
    ValueError: another ending, theta of another optimizer. Jit: no.
  """
  path = pathlib.Path(path)
  if path.suffix != _ENDING:
    raise ValueError(f'path must end in {_ENDING!r}, got {str(path)!r}.')
  optimizer.check_theta(theta)
  header = {
    'format': _FORMAT,
    'name': _registered_name(optimizer),
    'options': base.settings(optimizer),
    'details': dict(details or {}),
  }
  content = safetensors_numpy.save(
    {
      name: np.ascontiguousarray(array)
      for name, array in trees.named_leaves(theta).items()
    },
    {_HEADER: json.dumps(header)},
  )
  partial = path.with_name(f'.{path.name}.partial')
  partial.write_bytes(content)
  os.replace(partial, path)


def read(
  name: str | os.PathLike[str],
  spec: specs.NetworkSpec | None = None,
  **options: Any,
) -> Trained:
  """Reads a trained optimizer.

  Args:
    name: one of `trained_names()`, or the path of a file that `save` wrote.
    spec: of the networks that will be optimized.
    **options: fields of the optimizer that replace the saved ones, such as
      `max_exponent=5.0`.

  Returns:
    The optimizer, theta and details. Jit: no.

  Raises:
    ValueError: an unknown name, a file of another kind, options that do not fit
      theta.
  """
  path = _find(name)
  header, theta = _read_file(path)
  saved = header['options']
  try:
    bounds.check_options(saved)
    registry.create(header['name'], spec, **saved).check_theta(theta)
  except Exception as error:  # Damaged options can raise nearly anything.
    raise ValueError(
      f'{path} must hold an optimizer and its theta, but none can be made of '
      f'them: {limits.told(error)}; copy the file again, or give a spec that '
      'fits it.'
    ) from error
  optimizer = registry.create(header['name'], spec, **{**saved, **options})
  optimizer.check_theta(theta)
  return Trained(optimizer, theta, header['details'])


def load(
  name: str | os.PathLike[str],
  spec: specs.NetworkSpec | None = None,
  **options: Any,
) -> optax.GradientTransformationExtraArgs:
  """Loads a trained optimizer for optax.

  Args:
    name: as in `read`.
    spec: of the network that will be optimized, from `ng_jax.specs.infer`;
      optimizers that look at each parameter alone do not need it.
    **options: as in `read`.

  Returns:
    What `LearnedOptimizer.transformation` gives. Jit: it works in jitted
    functions.

  Raises:
    ValueError: as `read`; an optimizer that needs a spec without one.
  """
  trained = read(name, spec, **options)
  if trained.optimizer.needs_spec:
    trained.optimizer.given_spec()
  return trained.optimizer.transformation(trained.theta)


def _find(name: str | os.PathLike[str]) -> pathlib.Path:
  path = pathlib.Path(name)
  if path.suffix == _ENDING:
    return path
  known = trained_names()
  if str(name) not in known:
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f'; did you mean {close[0]!r}?' if close else '.'
    raise ValueError(
      f'unknown optimizer {str(name)!r}{hint} Known names: {list(known)}; or '
      f'give the path of a file that ends in {_ENDING!r}.'
    )
  folder = importlib.resources.files('ng_jax.optimizers') / 'trained'
  return pathlib.Path(str(folder / f'{name}{_ENDING}'))


def _read_file(path: pathlib.Path) -> tuple[dict[str, Any], base.Theta]:
  """The header and theta of a file that `save` wrote."""
  try:
    header = texts.parse_json(
      arrays.read_safetensors_texts(path).get(_HEADER, '')
    )
    found = {
      'name': str(header['name']),
      'options': dict(header['options']),
      'details': dict(header['details']),
    }
    flat = arrays.read_safetensors(path)
    theta = specs.from_leaf_arrays(flat)
  except (OSError, TypeError, ValueError, KeyError) as error:
    raise ValueError(
      f'{path} must be a trained optimizer written by ng_jax.optimizers.save, '
      f'but it cannot be read as one: {limits.told(error)}; check the path, '
      'or copy the file again.'
    ) from error
  if header.get('format') != _FORMAT:
    raise ValueError(
      f'{path} has format {header.get("format")!r}, this version reads '
      f'{_FORMAT}; update ng_jax.'
    )
  return found, jax.tree.map(jnp.asarray, theta)


def _registered_name(optimizer: base.LearnedOptimizer) -> str:
  for name, kind in registry.OPTIMIZERS.items():
    if type(optimizer) is kind:
      return name
  raise ValueError(
    f'optimizer must be of a registered type, got {type(optimizer).__name__}; '
    f'the registered ones are {sorted(registry.OPTIMIZERS)}.'
  )
