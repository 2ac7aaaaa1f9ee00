# SPDX-License-Identifier: Apache-2.0
"""Spec of a plain chain of linear layers (multi-layer perceptrons, SIRENs)."""

from ng_jax.specs import parts
from ng_jax.specs import spec as spec_lib


def mlp(
  layer_sizes: tuple[int, ...], activation: str = 'relu'
) -> spec_lib.NetworkSpec:
  """Spec of a multi-layer perceptron.

  Args:
    layer_sizes: (inputs, hidden widths..., outputs), at least two.
    activation: of the hidden layers, one of `specs.ACTIVATIONS`.

  Returns:
    The spec of weights {'layer_1': {'kernel': [n_0, n_1], 'bias': [n_1]},
    'layer_2': ...}. Jit: static.

  Raises:
    ValueError: fewer than two sizes, a size below 1, an unknown activation.
  """
  if len(layer_sizes) < 2:
    raise ValueError(
      'layer_sizes must have an input and an output size, got '
      f'{tuple(layer_sizes)}; try (2, 32, 32, 1).'
    )
  last = len(layer_sizes) - 1
  names = ['input', *(f'hidden_{i}' for i in range(1, last)), 'output']
  roles = ['input', *['hidden'] * (last - 1), 'output']
  neuron_sets = tuple(
    parts.NeuronSet(
      name, int(size), role, activation if role == 'hidden' else 'none'
    )
    for name, size, role in zip(names, layer_sizes, roles, strict=True)
  )
  layers = [f'layer_{i}' for i in range(1, last + 1)]
  blocks = tuple(
    parts.Block(layer, names[i], names[i + 1]) for i, layer in enumerate(layers)
  )
  leaves = tuple(
    leaf
    for i, layer in enumerate(layers)
    for leaf in (
      parts.Leaf(f'{layer}/kernel', 'source target', layer),
      parts.Leaf(f'{layer}/bias', 'target', names[i + 1], kind='node'),
    )
  )
  return spec_lib.NetworkSpec(neuron_sets, blocks, leaves)
