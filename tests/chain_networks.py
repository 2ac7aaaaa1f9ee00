# SPDX-License-Identifier: Apache-2.0
"""Specs of plain chains of layers, stored as PyTorch stores them."""

import math

from ng_jax import specs


def torch_chain(shapes: list[tuple[int, ...]]) -> specs.NetworkSpec:
  """Chain of linear [out, in] and convolutional [out, in, kh, kw] layers.

  Weights are {'layers_0': {'weight': ..., 'bias': [out]}, 'layers_1': ...};
  neuron sets are 'input', 'hidden_1', ..., 'output'.
  """
  sizes = [shapes[0][1], *(shape[0] for shape in shapes)]
  hidden = [f'hidden_{i}' for i in range(1, len(shapes))]
  names = ['input', *hidden, 'output']
  roles = ['input', *['hidden'] * len(hidden), 'output']
  sets = tuple(map(specs.NeuronSet, names, sizes, roles))
  blocks, leaves = [], []
  for i, shape in enumerate(shapes):
    layer, kernel = f'layers_{i}', tuple(shape[2:])
    blocks.append(
      specs.Block(
        layer,
        names[i],
        names[i + 1],
        type='conv' if kernel else 'linear',
        num_channels=math.prod(kernel),
        kernel=kernel or None,
      )
    )
    axes = ('kh', 'kw')[: len(kernel)]
    leaves.append(
      specs.Leaf(
        f'{layer}/weight',
        ' '.join(('target', 'source', *axes)),
        layer,
        sizes=tuple(zip(axes, kernel, strict=True)),
      )
    )
    leaves.append(
      specs.Leaf(f'{layer}/bias', 'target', names[i + 1], kind='node')
    )
  return specs.NetworkSpec(sets, tuple(blocks), tuple(leaves))
