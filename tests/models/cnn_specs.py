# SPDX-License-Identifier: Apache-2.0
"""Specs of CNNs in PyTorch's layout, for recordings of them."""

from collections.abc import Sequence

from ng_jax import specs


def from_torch_shapes(shapes: Sequence[tuple[int, ...]]) -> specs.NetworkSpec:
  """Chain of convolutions [out, in, h, w] and linear layers [out, in]."""
  last = len(shapes)
  sizes = [shapes[0][1], *(shape[0] for shape in shapes)]
  roles = ['input', *['hidden'] * (last - 1), 'output']
  sets = tuple(
    specs.NeuronSet(f'set_{i}', size, role)
    for i, (size, role) in enumerate(zip(sizes, roles, strict=True))
  )
  blocks, leaves = [], []
  for i, shape in enumerate(shapes):
    kernel = tuple(shape[2:])
    layout = 'target source' + (' kh kw' if kernel else '')
    blocks.append(
      specs.Block(
        f'layer_{i}',
        f'set_{i}',
        f'set_{i + 1}',
        type='conv' if kernel else 'linear',
        num_channels=kernel[0] * kernel[1] if kernel else 1,
        kernel=kernel or None,
      )
    )
    sizes_of = tuple(zip(('kh', 'kw'), kernel, strict=False))
    leaves += [
      specs.Leaf(f'layer_{i}/weight', layout, f'layer_{i}', sizes=sizes_of),
      specs.Leaf(f'layer_{i}/bias', 'target', f'set_{i + 1}', kind='node'),
    ]
  return specs.NetworkSpec(sets, tuple(blocks), tuple(leaves))
