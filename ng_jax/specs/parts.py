# SPDX-License-Identifier: Apache-2.0
"""The three kinds of entry of a `NetworkSpec`: neuron sets, blocks, leaves."""

import dataclasses
import math

ACTIVATIONS = (
  'none',
  'relu',
  'gelu',
  'silu',
  'tanh',
  'sigmoid',
  'leaky_relu',
  'sine',
  'elu',
  'softplus',
  'other',
)
_ROLES = ('input', 'hidden', 'output')
_BLOCK_KINDS = ('dense', 'diagonal')
BLOCK_TYPES = ('linear', 'conv', 'norm', 'attention', 'skip')
_LEAF_KINDS = ('edge', 'node', 'buffer')


@dataclasses.dataclass(frozen=True)
class NeuronSet:
  """Neurons that the network's function treats alike.

  Attributes:
    name: unique in the spec.
    size: number of neurons (channels).
    role: 'input', 'hidden' or 'output'. Only hidden neurons may be permuted.
    activation: what the network applies to them; one of `ACTIVATIONS`.
    num_groups: GroupNorm groups or attention heads; permutations act inside
      groups and on whole groups.
  """

  name: str
  size: int
  role: str = 'hidden'
  activation: str = 'none'
  num_groups: int = 1

  def __post_init__(self) -> None:
    _check_choice('role', self.role, _ROLES, f'neuron set {self.name!r}')
    _check_choice(
      'activation', self.activation, ACTIVATIONS, f'neuron set {self.name!r}'
    )
    if self.size < 1:
      raise ValueError(
        f'neuron set {self.name!r}: size must be at least 1, got {self.size}.'
      )
    if self.num_groups < 1 or self.size % self.num_groups:
      raise ValueError(
        f'neuron set {self.name!r}: num_groups must divide size, got '
        f'size={self.size} and num_groups={self.num_groups}.'
      )


@dataclasses.dataclass(frozen=True)
class Block:
  """Edges from one neuron set to another.

  Attributes:
    name: unique in the spec.
    source: name of the set where the edges start.
    target: name of the set where they end; later than `source`.
    kind: 'dense', or 'diagonal': edges from c to c on the first
      min(source size, target size) neurons.
    type: what the edges are, for models that tell them apart; one of 'linear',
      'conv', 'norm', 'attention', 'skip'.
    num_channels: features an edge carries (kernel height x width; 3 for query,
      key, value).
    kernel: (height, width) of a convolution, else None. A linear layer or a
      skip counts as a 1x1 kernel where it meets convolutions.
  """

  name: str
  source: str
  target: str
  kind: str = 'dense'
  type: str = 'linear'
  num_channels: int = 1
  kernel: tuple[int, int] | None = None

  def __post_init__(self) -> None:
    where = f'block {self.name!r}'
    _check_choice('kind', self.kind, _BLOCK_KINDS, where)
    _check_choice('type', self.type, BLOCK_TYPES, where)
    if self.kernel and math.prod(self.kernel) != self.num_channels:
      raise ValueError(
        f'{where}: num_channels must be the kernel area, got '
        f'num_channels={self.num_channels} and kernel={self.kernel}.'
      )
    if self.type == 'skip' and (
      self.kind != 'diagonal' or self.num_channels != 1
    ):
      raise ValueError(
        f'{where}: a skip must be diagonal with one channel, got '
        f'kind={self.kind!r} and num_channels={self.num_channels}.'
      )


@dataclasses.dataclass(frozen=True)
class Leaf:
  """One array of the weights tree.

  Attributes:
    path: keys from the root of the parameter tree, joined by '/'.
    layout: its axes, in the manner of einops (see the module's docstring).
    fills: the block (kind 'edge') or neuron set ('node', 'buffer') it fills.
    kind: 'edge' for weights and scales, 'node' for biases, 'buffer' for arrays
      that are permuted with their set but are no feature (running statistics).
    slot: first channel it fills; several leaves may share a block (q, k, v).
    sizes: (axis, size) of channel axes and of factors such as `target_head`.
  """

  path: str
  layout: str
  fills: str
  kind: str = 'edge'
  slot: int = 0
  sizes: tuple[tuple[str, int], ...] = ()

  def __post_init__(self) -> None:
    _check_choice('kind', self.kind, _LEAF_KINDS, f'leaf {self.path!r}')


def _check_choice(
  field: str, value: str, choices: tuple[str, ...], where: str
) -> None:
  if value not in choices:
    raise ValueError(
      f'{where}: unknown {field} {value!r}; expected one of {sorted(choices)}.'
    )
