# SPDX-License-Identifier: Apache-2.0
"""Plain chains of linear layers whose leaves are stored in any layout."""

import dataclasses

import jax

from ng_jax import specs
from ng_jax.networks import mlp


@dataclasses.dataclass(frozen=True)
class Chain:
  """Runs a chain of linear layers from its spec, such as a state_dict's.

  Attributes:
    spec: every set but the last has one dense block to the next, of one
      channel, as `specs.mlp` and `specs.sequential` make them.
  """

  spec: specs.NetworkSpec

  def __post_init__(self) -> None:
    names = [s.name for s in self.spec.neuron_sets]
    ends = [(b.source, b.target) for b in self.spec.blocks]
    odd = [
      b.name
      for b in self.spec.blocks
      if b.kind != 'dense' or b.num_channels != 1 or b.kernel
    ]
    expected = list(zip(names[:-1], names[1:], strict=True))
    if odd or ends != expected:
      raise ValueError(
        'spec must be a chain of linear layers, got blocks between '
        f'{ends}, of which {odd} are not linear; a spec does not say how to '
        'run other networks, networks.from_module does.'
      )
    unknown = {s.activation for s in self.spec.neuron_sets} - set(
      mlp.ACTIVATION_FUNCTIONS
    )
    if unknown:
      raise ValueError(
        f'activations must be known functions, got {sorted(unknown)}; expected '
        f'some of {sorted(mlp.ACTIVATION_FUNCTIONS)}.'
      )

  def activations(
    self, weights: specs.Weights, x: jax.Array
  ) -> tuple[jax.Array, ...]:
    """Post-activation values of every neuron set.

    Args:
      weights: leaves [*batch, *leaf_shape] float.
      x: [*batch or nothing, num_points, num_inputs] float.

    Returns:
      One array [*batch, num_points, size] per neuron set. Jit: yes.

    Raises:
      ValueError: weights that do not fit the spec.
    """
    specs.check_weights(self.spec, weights)
    arrays = specs.leaf_arrays(weights)
    values = [x]
    for block in self.spec.blocks:
      target = self.spec.neuron_set(block.target)
      for leaf in self.spec.leaves:
        if leaf.fills == block.name and leaf.kind == 'edge':
          kernel = self.spec.layout(leaf).unfold(arrays[leaf.path])[..., 0]
          x = x @ kernel
      for leaf in self.spec.leaves:
        if leaf.fills == target.name and leaf.kind == 'node':
          bias = self.spec.layout(leaf).unfold(arrays[leaf.path])
          x = x + bias[..., None, :, 0]
      x = mlp.ACTIVATION_FUNCTIONS[target.activation](x)
      values.append(x)
    return tuple(values)

  def apply(self, weights: specs.Weights, x: jax.Array) -> jax.Array:
    """Output of the network.

    Args:
      weights: leaves [*batch, *leaf_shape] float.
      x: [*batch or nothing, num_points, num_inputs] float.

    Returns:
      [*batch, num_points, num_outputs]. Jit: yes.

    Raises:
      ValueError: weights that do not fit the spec.
    """
    return self.activations(weights, x)[-1]
