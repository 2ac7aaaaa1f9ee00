# SPDX-License-Identifier: Apache-2.0
"""Infers the spec of a zoo's networks from the module that they are made of."""

from collections.abc import Sequence
import importlib
from typing import Any

from flax import linen as nn
import jax
import numpy as np

from ng_jax import specs


def infer(name: str, input_shape: Sequence[int]) -> specs.NetworkSpec:
  """Imports a module and infers its spec.

  The code is the user's own and is run; nothing that a file of the zoo says is.

  Args:
    name: 'package.module:Name' of a Flax module, Linen or NNX, called with the
      input alone, or of a function without arguments (or class) that returns
      one.
    input_shape: of one input, without an axis of examples.

  Returns:
    The spec; see `specs.infer` for the paths of its leaves. Jit: no.

  Raises:
    ValueError: a name that cannot be imported or is no such module, an input
      that it does not take, a network that cannot be inferred.
  """
  if not all(isinstance(n, int) and n > 0 for n in input_shape):
    raise ValueError(
      f'input_shape must be whole numbers above 0, got {tuple(input_shape)}; '
      'leave out the axis of examples.'
    )
  module = _make(name)
  x = np.zeros((1, *input_shape), np.float32)
  variables = None
  # What a user's own code may raise is not known here.
  try:
    if isinstance(module, nn.Module):
      variables = module.init(jax.random.key(0), x)
    return specs.infer(module, variables, x)
  except Exception as error:
    raise ValueError(
      f'no spec can be inferred from module={name!r} with '
      f'input_shape={tuple(input_shape)}: {error} Correct the module or the '
      'input_shape, or write spec.json by hand.'
    ) from error


def _make(name: str) -> Any:
  """The module that a name stands for."""
  place, _, attribute = name.partition(':')
  try:
    found = getattr(importlib.import_module(place), attribute)
    if not _is_module(found):
      found = found()
  except Exception as error:
    raise ValueError(
      f"module must be 'package.module:Name' of a Flax module or of a function "
      f'without arguments that returns one, but {name!r} gives {error!r}; put '
      'the folder of the package on PYTHONPATH.'
    ) from error
  if not _is_module(found):
    raise ValueError(
      f'module must give a Flax module, Linen or NNX, but {name!r} gives '
      f'{type(found).__name__}; name the module itself.'
    )
  return found


def _is_module(found: Any) -> bool:
  if isinstance(found, nn.Module):
    return True
  # Imported here, as NNX is a large package that few zoos need.
  from flax import nnx

  return isinstance(found, nnx.Module)
