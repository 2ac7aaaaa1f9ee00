# SPDX-License-Identifier: Apache-2.0
"""Spec of a PyTorch state_dict of a plain chain of layers.

A state_dict has no forward pass, so nothing can be traced: the layers are taken
in the order of the dict, and only chains whose shapes leave no doubt are read.
"""

from collections.abc import Mapping
import dataclasses
import math
from typing import Any

import numpy as np

from ng_jax.specs import parts
from ng_jax.specs import spec as spec_lib


@dataclasses.dataclass(frozen=True)
class _Layer:
  """A layer of the chain: its keys and sizes; `places` are flattened pixels."""

  weight: str
  bias: str | None
  shape: tuple[int, ...]
  places: int = 1


def sequential(
  state_dict: Mapping[str, Any],
  *,
  activation: str | tuple[str, ...] = 'relu',
) -> spec_lib.NetworkSpec:
  """Reads a state_dict of linear layers and convolutions, one after another.

  Anything that a state_dict does not show (skips, attention, the order of
  normalisation) needs a spec written by hand, or `specs.infer` on a network
  with a forward pass. A linear layer after a convolution reads the flat image
  channel by channel, as torch.flatten lays it; a square number of pixels is
  taken for a square image.

  Args:
    state_dict: {'<layer>.weight': [out, in] or [out, in, kernel height, kernel
      width], '<layer>.bias': [out]}, numpy or jax arrays; biases are optional.
    activation: of all hidden layers, or a tuple with one for each; names are
      those of `specs.ACTIVATIONS`.

  Returns:
    The spec of the flat dict: leaf paths are its keys. Jit: no, static.

  Raises:
    ValueError: lists every key and shape that is no part of a plain chain; or
      says that there is not one activation per hidden layer.
  """
  layers, problems = _read_layers(state_dict)
  layers = _chain(layers, problems)
  if problems or not layers:
    raise ValueError(
      'state_dict must hold a plain chain of linear layers and convolutions: '
      + '; '.join(problems or ['it is empty'])
      + '. Give other networks with a specs.NetworkSpec, or to specs.infer.'
    )
  num_hidden = len(layers) - 1
  if isinstance(activation, str):
    activation = (activation,) * num_hidden
  if len(activation) != num_hidden:
    raise ValueError(
      f'activation must name one function for each of the {num_hidden} hidden '
      f'layers, got {activation}; give one name for all of them.'
    )
  return _make_spec(layers, activation)


def _read_layers(
  state_dict: Mapping[str, Any],
) -> tuple[list[_Layer], list[str]]:
  shapes = {key: tuple(np.shape(array)) for key, array in state_dict.items()}
  problems = []
  layers = []
  for key, shape in shapes.items():
    name, _, kind = key.rpartition('.')
    bias = f'{name}.bias' if name else 'bias'
    weight = f'{name}.weight' if name else 'weight'
    if kind not in ('weight', 'bias'):
      problems.append(f'{key!r} is neither a weight nor a bias')
    elif kind == 'bias' and weight not in shapes:
      problems.append(f'{key!r} has no {weight!r}')
    elif kind == 'weight' and len(shape) not in (2, 4):
      problems.append(
        f'{key!r} must have 2 axes (linear) or 4 (convolution), got shape '
        f'{shape}'
      )
    elif kind == 'weight':
      layers.append(_Layer(key, bias if bias in shapes else None, shape))
      if bias in shapes and shapes[bias] != shape[:1]:
        problems.append(
          f'{bias!r} must have shape {shape[:1]}, got {shapes[bias]}'
        )
  return layers, problems


def _chain(layers: list[_Layer], problems: list[str]) -> list[_Layer]:
  """Checks that each layer reads what the one before it makes."""
  chained = layers[:1]
  for before, layer in zip(layers[:-1], layers[1:], strict=True):
    made, read = before.shape[0], layer.shape[1]
    flat = len(before.shape) == 4 and len(layer.shape) == 2
    if made != read and not (flat and read % made == 0):
      problems.append(
        f'{layer.weight!r} reads {read} neurons, but {before.weight!r} makes '
        f'{made}'
      )
    elif len(before.shape) == 2 and len(layer.shape) == 4:
      problems.append(
        f'{layer.weight!r} is a convolution after the linear {before.weight!r}'
      )
    chained.append(dataclasses.replace(layer, places=max(read // made, 1)))
  return chained


def _make_spec(
  layers: list[_Layer], activation: tuple[str, ...]
) -> spec_lib.NetworkSpec:
  hidden = [f'hidden_{i + 1}' for i in range(len(layers) - 1)]
  names = ['input', *hidden, 'output']
  neuron_sets = (
    parts.NeuronSet('input', layers[0].shape[1], 'input'),
    *(
      parts.NeuronSet(name, layer.shape[0], 'hidden', function)
      for name, layer, function in zip(
        hidden, layers[:-1], activation, strict=True
      )
    ),
    parts.NeuronSet('output', layers[-1].shape[0], 'output'),
  )
  blocks = []
  leaves = []
  for layer, source, target in zip(layers, names[:-1], names[1:], strict=True):
    name = layer.weight.rpartition('.')[0] or 'layer'
    kernel, layout, sizes = _kernel(layer)
    blocks.append(
      parts.Block(
        name,
        source,
        target,
        type='conv' if kernel else 'linear',
        num_channels=math.prod(size for _, size in sizes),
        kernel=kernel,
      )
    )
    leaves.append(parts.Leaf(layer.weight, layout, name, sizes=sizes))
    if layer.bias is not None:
      leaves.append(parts.Leaf(layer.bias, 'target', target, kind='node'))
  return spec_lib.NetworkSpec(neuron_sets, tuple(blocks), tuple(leaves))


def _kernel(
  layer: _Layer,
) -> tuple[tuple[int, int] | None, str, tuple[tuple[str, int], ...]]:
  """Kernel size, layout and channel sizes of a weight."""
  if len(layer.shape) == 4:
    height, width = layer.shape[2:]
    sizes = (('kh', height), ('kw', width))
    return (height, width), 'target source kh kw', sizes
  side = math.isqrt(layer.places)
  if layer.places == 1:
    return None, 'target source', ()
  if side * side == layer.places:
    sizes = (('kh', side), ('kw', side))
    return (side, side), 'target (source kh kw)', sizes
  return None, 'target (source place)', (('place', layer.places),)
