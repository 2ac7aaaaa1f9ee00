# SPDX-License-Identifier: Apache-2.0
"""Which maps an equivariant layer between weight spaces has (DWSNets).

Navon et al. (2023) list the maps from every weight matrix and bias vector to
every other, case by case. All cases follow from the *hidden layers* that two
tensors share: weights run over two layers of neurons, biases over one, and only
hidden neurons may be permuted. The map acts
* on both layers of a matrix, for weights between hidden layers to themselves;
* on the set of neurons of the layer that source and target share;
* on nothing, from one vector to another, if they share none.
What a tensor has besides (inputs, outputs) is features; other hidden layers
are pooled at the source and repeated at the target.
"""

import dataclasses
import functools
from typing import NamedTuple


class Tensor(NamedTuple):
  """A weight matrix or a bias vector of a chain.

  Attributes:
    kind: 'weight' or 'bias'.
    layer: counted from 0.
  """

  kind: str
  layer: int

  def __str__(self) -> str:
    return f'{self.kind}_{self.layer}'

  def hidden_layers(self, num_layers: int) -> tuple[int, ...]:
    """Layers of neurons, 1 to num_layers - 1, that the tensor runs over."""
    ends = (self.layer, self.layer + 1)[self.kind == 'bias' :]
    return tuple(i for i in ends if 0 < i < num_layers)


@dataclasses.dataclass(frozen=True)
class WeightMap:
  """One linear or set map of the layer.

  Attributes:
    source: what is read.
    target: what is written.
    kind: 'matrix', 'set' or 'vector', see the module's docstring.
    over: the hidden layer of a set map, else 0.
    ends: 'inputs' or 'outputs' where the result has a value of its own for each
      input or output neuron of the network, else ''.
  """

  source: Tensor
  target: Tensor
  kind: str
  over: int = 0
  ends: str = ''

  @property
  def name(self) -> str:
    """Such as 'weight_0_to_bias_1'."""
    return f'{self.source}_to_{self.target}'


@functools.cache
def weight_maps(
  num_layers: int, *, diagonal: bool = False
) -> tuple[WeightMap, ...]:
  """All maps of a layer.

  Args:
    num_layers: linear layers of the networks read, at least 3.
    diagonal: keep neighbours only: weights and biases of the same layer, and
      of the next where they share neurons.

  Returns:
    The maps, ordered by source. Jit: static.
  """
  tensors = [
    Tensor(kind, layer)
    for kind in ('weight', 'bias')
    for layer in range(num_layers)
  ]
  return tuple(
    _make_map(source, target, num_layers)
    for source in tensors
    for target in tensors
    if not diagonal or _are_neighbours(source, target)
  )


def _make_map(source: Tensor, target: Tensor, num_layers: int) -> WeightMap:
  shared = [
    layer
    for layer in source.hidden_layers(num_layers)
    if layer in target.hidden_layers(num_layers)
  ]
  if len(shared) == 2:
    return WeightMap(source, target, 'matrix')
  ends = _ends(source, target, num_layers)
  if shared:
    return WeightMap(source, target, 'set', shared[0], ends)
  return WeightMap(source, target, 'vector', ends=ends)


def _ends(source: Tensor, target: Tensor, num_layers: int) -> str:
  last = num_layers - 1
  if target == Tensor('weight', 0):
    return 'inputs'
  if target == Tensor('bias', last):
    return 'outputs'
  if target != Tensor('weight', last):
    return ''
  # The reference gives these targets one value for all outputs: weights from
  # the weights before, and from the biases of any layer further away.
  if source == Tensor('weight', last - 1):
    return ''
  if source.kind == 'bias' and source.layer < last - 1:
    return ''
  return 'outputs'


def _are_neighbours(source: Tensor, target: Tensor) -> bool:
  step = target.layer - source.layer
  allowed = {
    ('weight', 'weight'): (-1, 0, 1),
    ('bias', 'bias'): (0,),
    ('bias', 'weight'): (0, 1),
    ('weight', 'bias'): (0, -1),
  }
  return step in allowed[source.kind, target.kind]
