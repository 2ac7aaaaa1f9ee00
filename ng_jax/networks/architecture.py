# SPDX-License-Identifier: Apache-2.0
"""What a convolutional network is made of, checked, and its spec."""

import dataclasses
import math

from ng_jax import specs

_REDUCTIONS = ('flatten', 'pool')

# One number for both axes, or (height, width).
Size = int | tuple[int, int]


@dataclasses.dataclass(frozen=True)
class CnnArchitecture:
  """Convolutions, residual connections, one linear layer.

  Convolutions are numbered from 0, as `residual` counts them.

  Attributes:
    channels: (input channels, channels of every convolution...).
    kernel_sizes: of every convolution, a number or (height, width).
    layer_activations: of every convolution, one of `specs.ACTIVATIONS`; 'other'
      is what cannot be run. All 'relu' by default.
    num_classes: outputs of the linear layer.
    residual: per convolution, the number of the convolution whose activated
      output is added before its activation, or -1 for none; none by default.
    strides: of every convolution; 1 by default.
    paddings: zeros on either side; half the kernel by default.
    reduction: 'pool' averages the last map over space, 'flatten' reads it whole
      in the order (row, column, channel).
    map_size: (height, width) of the last map, for 'flatten'.

  Raises:
    ValueError: names the field that breaks a rule, and the rule.
  """

  channels: tuple[int, ...]
  kernel_sizes: tuple[Size, ...]
  layer_activations: tuple[str, ...] = ()
  num_classes: int = 10
  residual: tuple[int, ...] = ()
  strides: tuple[Size, ...] = ()
  paddings: tuple[Size, ...] = ()
  reduction: str = 'pool'
  map_size: tuple[int, int] | None = None

  def __post_init__(self) -> None:
    num = self.num_convolutions
    kernels = tuple(map(pair, self.kernel_sizes))
    halves = tuple((h // 2, w // 2) for h, w in kernels)
    filled = {
      'channels': tuple(self.channels),
      'kernel_sizes': kernels,
      'layer_activations': tuple(self.layer_activations) or ('relu',) * num,
      'residual': tuple(self.residual) or (-1,) * num,
      'strides': tuple(map(pair, self.strides)) or ((1, 1),) * num,
      'paddings': tuple(map(pair, self.paddings)) or halves,
    }
    for name, value in filled.items():
      object.__setattr__(self, name, value)
    self._check_lengths()
    self._check_reduction()
    for i, start in enumerate(self.residual):
      self._check_residual(i, start)

  @property
  def num_convolutions(self) -> int:
    """Number of convolutions."""
    return len(self.channels) - 1

  @property
  def spec(self) -> specs.NetworkSpec:
    """Spec of the weights; residual edges come after all others."""
    last = self.num_convolutions
    names = ['input', *(f'hidden_{i + 1}' for i in range(last)), 'output']
    sets = (
      specs.NeuronSet('input', self.channels[0], 'input'),
      *(
        specs.NeuronSet(name, size, activation=activation)
        for name, size, activation in zip(
          names[1:-1], self.channels[1:], self.layer_activations, strict=True
        )
      ),
      specs.NeuronSet('output', self.num_classes, 'output'),
    )
    blocks = [
      _conv_block(f'conv_{i + 1}', names[i], names[i + 1], size)
      for i, size in enumerate(map(pair, self.kernel_sizes))
    ]
    blocks.append(self._linear_block(names[-2]))
    blocks += [
      specs.Block(
        f'residual_{i + 1}',
        names[start + 1],
        names[i + 1],
        kind='diagonal',
        type='skip',
      )
      for i, start in enumerate(self.residual)
      if start >= 0
    ]
    leaves = [
      leaf for block in blocks[: last + 1] for leaf in layer_leaves(block)
    ]
    return specs.NetworkSpec(sets, tuple(blocks), tuple(leaves))

  def _linear_block(self, source: str) -> specs.Block:
    if self.map_size:
      # A dense layer on a whole map is a kernel of the map's size.
      return _conv_block('linear', source, 'output', self.map_size)
    return specs.Block('linear', source, 'output')

  def _check_lengths(self) -> None:
    if self.num_convolutions < 1:
      raise ValueError(
        'channels must name the input and at least one convolution, got '
        f'{self.channels}; try (3, 16, 16).'
      )
    for name in (
      'kernel_sizes',
      'layer_activations',
      'residual',
      'strides',
      'paddings',
    ):
      found = len(getattr(self, name))
      if found != self.num_convolutions:
        raise ValueError(
          f'{name} must have one entry per convolution, '
          f'{self.num_convolutions} by channels={self.channels}, got {found}.'
        )
    for name in self.layer_activations:
      if name not in specs.ACTIVATIONS:
        raise ValueError(
          f'unknown activation {name!r}; expected one of '
          f'{sorted(specs.ACTIVATIONS)}.'
        )

  def _check_reduction(self) -> None:
    if self.reduction not in _REDUCTIONS:
      raise ValueError(
        f'unknown reduction {self.reduction!r}; expected one of '
        f'{list(_REDUCTIONS)}.'
      )
    if (self.reduction == 'flatten') != (self.map_size is not None):
      raise ValueError(
        "map_size, (height, width) of the last map, goes with 'flatten' and "
        f'with nothing else, got reduction={self.reduction!r} and '
        f'map_size={self.map_size}.'
      )

  def _check_residual(self, i: int, start: int) -> None:
    where = f'residual[{i}]={start}'
    if not -1 <= start < self.num_convolutions:
      raise ValueError(
        f'{where} must be -1 or the number of a convolution, 0 to '
        f'{self.num_convolutions - 1}.'
      )
    if start >= i:
      raise ValueError(
        f'{where} must name an earlier convolution, or the network has a '
        f'cycle; try a number below {i}.'
      )
    if start == i - 1 and start >= 0:
      raise ValueError(
        f'{where} must skip at least one convolution, at most {i - 2}; its '
        'edges would coincide with those of the kernel.'
      )
    changed = [
      j
      for j in range(start + 1, i + 1)
      if start >= 0 and not self._keeps_size(j)
    ]
    if changed:
      raise ValueError(
        f'{where} needs maps of one size, but the convolutions {changed} '
        'change it; use stride 1 and odd kernels with padding (size - 1) / 2.'
      )

  def _keeps_size(self, i: int) -> bool:
    kernel, padding = pair(self.kernel_sizes[i]), pair(self.paddings[i])
    kept = all(k == 2 * p + 1 for k, p in zip(kernel, padding, strict=True))
    return kept and pair(self.strides[i]) == (1, 1)


def pair(size: Size) -> tuple[int, int]:
  """(height, width) of a size; one number stands for both. Jit: static."""
  if isinstance(size, int):
    return size, size
  height, width = size
  return int(height), int(width)


def _conv_block(
  name: str, source: str, target: str, kernel: tuple[int, int]
) -> specs.Block:
  return specs.Block(
    name,
    source,
    target,
    type='conv',
    num_channels=math.prod(kernel),
    kernel=kernel,
  )


def layer_leaves(block: specs.Block) -> list[specs.Leaf]:
  """Kernel and bias of a block.

  Args:
    block: of a convolution or of the linear layer.

  Returns:
    The two leaves. Jit: static.
  """
  layout = 'source target'
  sizes: tuple[tuple[str, int], ...] = ()
  if block.kernel:
    sizes = (('height', block.kernel[0]), ('width', block.kernel[1]))
    layout = 'height width source target'
    if block.name == 'linear':
      layout = '(height width source) target'
  return [
    specs.Leaf(f'{block.name}/kernel', layout, block.name, sizes=sizes),
    specs.Leaf(f'{block.name}/bias', 'target', block.target, kind='node'),
  ]
