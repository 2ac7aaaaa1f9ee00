# SPDX-License-Identifier: Apache-2.0
"""NFN as an optimizer (l2o spec 3.4): equivariant layers, then the update head.

The layers of Zhou et al. (2023) are equivariant to permutations of all neurons,
inputs and outputs included.
"""

import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import specs
from ng_jax.optimizers import graph_reading
from ng_jax.optimizers import head
from ng_jax.optimizers import kernel_grid
from ng_jax.optimizers import nfn_layers
from ng_jax.optimizers import nfn_maps
from ng_jax.optimizers import spec_optimizer

SHARINGS = ('layer', 'role')


class NFNNetwork(nn.Module):
  """NFN layers with ReLU, a last one without, and the update head.

  Attributes:
    spec: of the optimizee.
    features: width of the layers.
    num_layers: with ReLU.
    by_role: whether the layers of the optimizee share maps by role.
    head_sizes: hidden layers of the head.
    step_scale: see `head.UpdateHead`.
    max_exponent: see `head.UpdateHead`.
  """

  spec: specs.NetworkSpec
  features: int
  num_layers: int
  by_role: bool
  head_sizes: tuple[int, ...]
  step_scale: float
  max_exponent: float | None

  @nn.compact
  def __call__(self, inputs: graph_reading.Features) -> dict[str, jax.Array]:
    """Computes updates.

    Args:
      inputs: {path: [num_features, *shape]}.

    Returns:
      {path: update [*shape]}. Jit: yes.
    """
    reader = graph_reading.GraphReader(self.spec, tuple(inputs))
    layers = nfn_layers.find(self.spec)
    sharing = nfn_layers.Sharing(layers, self.by_role)
    space = self._read(reader, inputs, layers)
    channels = kernel_grid.NUM_PLACES * len(next(iter(inputs.values())))
    for i in range(self.num_layers + 1):
      if i > 0:
        space = _relu(space)
      space = nfn_maps.NFNLayer(
        sharing, channels, self.features, name=f'equivariant_{i}'
      )(space)
      channels = self.features
    nodes, edges = self._contexts(reader, layers, space)
    paths, features, contexts = reader.rows(inputs, nodes, edges)
    updates = head.UpdateHead(
      self.head_sizes, self.step_scale, self.max_exponent, name='head'
    )(features, contexts)
    return reader.fold(paths, updates)

  def _read(
    self,
    reader: graph_reading.GraphReader,
    inputs: graph_reading.Features,
    layers: tuple[nfn_layers.Layer, ...],
  ) -> nfn_maps.Space:
    edges, nodes = reader.edges(inputs), reader.nodes(inputs)
    names = [s.name for s in self.spec.neuron_sets]
    weights: list[nfn_maps.Values] = []
    biases: list[nfn_maps.Values | None] = []
    for layer in layers:
      kernel = kernel_grid.kernel_of(self.spec.blocks[layer.block])
      weights.append(
        nfn_maps.Values(
          *kernel_grid.read(edges[layer.block], kernel, channel_major=False)
        )
      )
      own: Any = None
      if layer.neurons is not None:
        own = nodes[names.index(layer.neurons)]
        size = (1, own.shape[2])
        own = kernel_grid.read(own, size, channel_major=True)
        own = nfn_maps.Values(*own)
      biases.append(own)
    return weights, biases

  def _contexts(
    self,
    reader: graph_reading.GraphReader,
    layers: tuple[nfn_layers.Layer, ...],
    space: nfn_maps.Space,
  ) -> tuple[jax.Array, list[jax.Array]]:
    """Of all nodes and edges; zeros where no layer is."""
    weights, biases = space
    nothing = jnp.zeros((1, 1, self.features), weights[0].array.dtype)
    edges = [nothing] * len(self.spec.blocks)
    for layer, weight in zip(layers, weights, strict=True):
      edges[layer.block] = weight.array
    nodes = []
    for s in self.spec.neuron_sets:
      found = [
        bias.array
        for layer, bias in zip(layers, biases, strict=True)
        if layer.neurons == s.name and bias is not None
      ]
      # Several layers may lead into one set of neurons.
      total = sum(found[1:], found[0]) / len(found) if found else nothing
      nodes.append(jnp.broadcast_to(total, (1, s.size, self.features)))
    return jnp.concatenate(nodes, axis=1), edges


def _relu(space: nfn_maps.Space) -> nfn_maps.Space:
  weights, biases = space
  return (
    [nfn_maps.Values(nn.relu(w.array)) for w in weights],
    [b if b is None else nfn_maps.Values(nn.relu(b.array)) for b in biases],
  )


@dataclasses.dataclass(frozen=True)
class NeuralFunctional(spec_optimizer.SpecOptimizer):
  """NFN (l2o spec 3.4) without encodings of inputs and outputs.

  Attributes: those of `PerParameterOptimizer` and
    features: width of the layers and of the head.
    num_layers: equivariant layers with ReLU; one without follows.
    num_head_layers: hidden layers of the head.
    share: 'layer', as in the paper: the layers of the optimizee have maps of
      their own, and theta fits only optimizees with as many layers, connected
      alike. 'role': the first, the hidden and the last layers share theirs, and
      theta fits any optimizee.

  Raises:
    ValueError: an unknown value of `share`.
  """

  features: int = 32
  num_layers: int = 2
  num_head_layers: int = 2
  share: str = 'layer'

  def __post_init__(self) -> None:
    if self.share not in SHARINGS:
      raise ValueError(
        f'unknown share {self.share!r}; expected one of {sorted(SHARINGS)}.'
      )

  def network(self, paths: tuple[str, ...]) -> nn.Module:
    del paths
    return NFNNetwork(
      self.given_spec(),
      self.features,
      self.num_layers,
      self.share == 'role',
      (self.features,) * self.num_head_layers,
      **self.head_options(),
    )

  def example(self) -> tuple[nn.Module, dict[str, tuple[int, ...]]]:
    if self.share == 'role':
      return super().example()
    return self.example_of(self.given_spec())
