# SPDX-License-Identifier: Apache-2.0
"""Runs recorded cases of the official code with our models, for comparison.

The model is rebuilt from the configuration in parity mode, the official state
converted, and outputs and gradients are written under the official names. The
gradients find their way back without a table: the converter is given the places
of numbers instead of numbers.
"""

from collections.abc import Iterable, Mapping
import functools
import os
import pathlib
import re
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import models
from ng_jax import specs
from ng_jax.models import official
from ng_jax.models.official import recordings

# Buffers that the official code saves and our models may not have.
_BUFFERS = (
  r'(.*\.)?(running_(mean|var)|num_batches_tracked|avg_deg_(lin|log)|b|_B)'
)


class Case(NamedTuple):
  """A recorded case, ready to run.

  Attributes:
    name: of our model.
    model: in parity mode, unless options were changed.
    expected: what its variables look like, see `expected_variables`.
    variables: the official state, converted.
    argument: what the model is applied to, in general a graph.
    reader: of recordings of the official class.
  """

  name: str
  model: nn.Module
  expected: dict[str, Any]
  variables: dict[str, Any]
  argument: Any
  reader: recordings.Reader


def build(
  recording: recordings.Recording, *, dtype: Any, **changes: Any
) -> Case:
  """Makes the model of a recorded case, with its parameters and inputs.

  Args:
    recording: of the case.
    dtype: of parameters, inputs and computation; float64 needs
      `jax_enable_x64`.
    **changes: options of our model other than the configuration's.

  Returns:
    The case. Jit: no.

  Raises:
    ValueError: float64 without `jax_enable_x64`, a class without counterpart, a
      state that does not fit.
  """
  if np.dtype(dtype) == np.float64 and not jax.config.read('jax_enable_x64'):
    raise ValueError(
      "dtype float64 needs jax.config.update('jax_enable_x64', True), got a "
      'JAX without 64-bit numbers; set it first, or use float32.'
    )
  reader = recordings.reader(recording.config)
  name, options = official.model_options(recording.config)
  options |= recordings.patched_options(recording.config) | changes
  model = models.create(name, **options)
  argument = reader.read(_cast(recording.inputs, dtype), recording.config)
  expected = expected_variables(model, argument)
  state = _cast(recording.state, dtype)
  variables = official.convert(name, state, expected)
  return Case(name, model, expected, variables, argument, reader)


def rerun(
  recording: recordings.Recording, *, dtype: Any, gradients: bool
) -> dict[str, Any]:
  """Outputs, and gradients if asked for, of a recorded case.

  Args:
    recording: of the case.
    dtype: as for `build`.
    gradients: whether to differentiate mean(o^2), o being all outputs.

  Returns:
    'out/...' and, for every official parameter, 'grad/<name>' with its official
    shape, zeros where it has no influence. Jit: no; the model is jitted.

  Raises:
    ValueError: as `build`.
  """
  case = build(recording, dtype=dtype)
  run = jax.value_and_grad(loss, has_aux=True) if gradients else loss
  with jax.default_matmul_precision('highest'):
    result = jax.jit(functools.partial(run, case=case))(
      case.variables['params'], case.argument
    )
  (_, outputs), grads = result if gradients else (result, None)
  arrays = {f'out/{key}': np.asarray(x) for key, x in outputs.items()}
  if gradients:
    unused = recording.config.get('unused_params', ())
    found = official_gradients(
      case.name, recording.state, case.expected, grads, unused=unused
    )
    arrays |= {f'grad/{key}': x for key, x in found.items()}
  return arrays


def loss(
  params: Any, argument: Any, *, case: Case
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """What recordings differentiate: mean(o^2) over all outputs o.

  Args:
    params: of the case's model.
    argument: what it is applied to.
    case: gives the model and its other variables.

  Returns:
    The loss and the outputs by name. Jit: yes.
  """
  result = case.model.apply({**case.variables, 'params': params}, argument)
  outputs = case.reader.name_outputs(result)
  flat = jnp.concatenate([x.reshape(-1) for x in outputs.values()])
  return jnp.mean(flat**2), outputs


def expected_variables(model: Any, argument: Any) -> dict[str, Any]:
  """Variables of a model: constants as arrays, all else as shapes.

  Args:
    model: of `models.create`.
    argument: what it is applied to.

  Returns:
    For `official.convert`. Jit: no.
  """
  key = jax.random.key(0)
  shapes = jax.eval_shape(model.init, {'params': key}, argument)
  if 'constants' not in shapes:
    return dict(shapes)

  def constants(argument: Any) -> Any:
    return model.init({'params': key}, argument)['constants']

  return {**shapes, 'constants': jax.jit(constants)(argument)}


def official_gradients(
  model: str,
  state: Mapping[str, np.ndarray],
  expected: Mapping[str, Any],
  grads: Any,
  *,
  unused: Iterable[str] = (),
) -> dict[str, np.ndarray]:
  """Gradients of our parameters under their official names.

  Args:
    model: name of our model.
    state: the official state; only names and shapes matter.
    expected: as for `official.convert`, constants as arrays.
    grads: gradients, a tree like our params.
    unused: official parameters that the official model does not use.

  Returns:
    {official name: array of its shape} for all parameters; zeros for those that
    our model lacks. Buffers are left out. Jit: no.

  Raises:
    ValueError: the conversion changes numbers and not only their places.
  """
  places: dict[str, np.ndarray] = {}
  total = 1  # Place 0 is nowhere.
  for name, array in state.items():
    size = np.size(array)
    places[name] = np.arange(total, total + size).reshape(np.shape(array))
    total += size
  moved = specs.leaf_arrays(official.convert(model, places, expected))
  flat = np.zeros(
    total, np.result_type(*(x.dtype for x in jax.tree.leaves(grads)))
  )
  kinds = np.zeros(total, np.int8)  # 1: of a parameter, 2: of a buffer.
  gradient_of = specs.leaf_arrays({'params': grads})
  for path, place in moved.items():
    if path not in gradient_of:
      if place.dtype.kind == 'i':
        kinds[place] = 2
      continue
    if place.dtype.kind != 'i':
      raise ValueError(
        f'official.convert must only move the numbers of {path}, but places '
        f'came back as {place.dtype}; convert gradients of {model!r} by hand.'
      )
    np.add.at(flat, place.reshape(-1), np.asarray(gradient_of[path]).ravel())
    kinds[place] = 1
  found = {}
  for name, place in places.items():
    kind = int(np.max(kinds[place], initial=0))
    known_unused = name in unused
    is_buffer = kind == 2 or (kind == 0 and re.fullmatch(_BUFFERS, name))
    if known_unused or not is_buffer:
      found[name] = flat[place]
  return found


def rerun_files(
  paths: Iterable[str | os.PathLike[str]],
  out_dir: str | os.PathLike[str],
  *,
  dtype: Any,
) -> dict[str, str]:
  """Runs recordings and writes one .npz file for each; prints a line each.

  Args:
    paths: of recordings.
    out_dir: folder of the results, made when needed.
    dtype: as in `rerun`; float32 also writes gradients.

  Returns:
    {path: what is wrong} of the cases that cannot be built. Jit: no.
  """
  out_dir = pathlib.Path(out_dir)
  out_dir.mkdir(parents=True, exist_ok=True)
  gradients = np.dtype(dtype) == np.float32
  problems = {}
  for path in paths:
    try:
      recording = recordings.read(path)
      arrays = rerun(recording, dtype=dtype, gradients=gradients)
    # Whatever is wrong with one case, the others are still run.
    except Exception as error:
      problems[str(path)] = f'{type(error).__name__}: {error}'
      print(f'{path}: cannot be built. {problems[str(path)]}', flush=True)
      continue
    target = out_dir / f'{recording.name}.npz'
    partial = out_dir / f'.{recording.name}.partial.npz'
    np.savez(partial, **arrays)
    partial.replace(target)
    count = sum(key.startswith('grad/') for key in arrays)
    print(
      f'{recording.name}: {len(arrays) - count} outputs, {count} gradients, '
      f'{np.dtype(dtype).name}: {target}',
      flush=True,
    )
  return problems


def _cast(arrays: Mapping[str, np.ndarray], dtype: Any) -> dict[str, Any]:
  return {
    name: x.astype(dtype) if np.issubdtype(x.dtype, np.floating) else x
    for name, x in arrays.items()
  }
