# SPDX-License-Identifier: Apache-2.0
"""Probing: judging networks by their answers alone (Kahana et al., ICLR 2025).

Learned inputs are pushed through the network that is read, and a multi-layer
perceptron reads the outputs, side by side. No weight is looked at, so hidden
permutations cannot matter. `probe_source='normal'` is the plain method,
'generator' is ProbeGen, whose inputs come from a shared deep linear generator.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import jraph

from ng_jax import graphs
from ng_jax import layers
from ng_jax import specs
from ng_jax.layers import probe_inputs


class Probing(nn.Module):
  """Outputs on probe inputs, then linear layers with ReLU in between.

  Attributes:
    num_outputs: width of the prediction (classes).
    num_output_nodes: output neurons of the networks read, needed only where
      graphs carry activations.
    network: the family that is read, with `apply(weights, x)`: weights with
      leaves [*batch, ...], x [*batch or nothing, num_probes, *input_shape],
      result [*batch, num_probes, ...]. Not needed where graphs carry
      activations.
    num_probes: number of inputs; 64 or 128 as published.
    probe_source: 'normal' (learned, from N(0, 1); images through tanh),
      'generator', 'uniform' or 'given', see `models.NeuralGraphModel`.
    probe_inputs: [num_probes, *input shape] for 'given', kept in `constants`.
    probe_shape: shape of one input, where the network does not say.
    generator_layers: of the generator of images, 6 or 5.
    hidden_size: width of the perceptron.
    num_layers: linear layers of the perceptron.
    dtype: its computation dtype; None follows inputs and parameters.
  """

  num_outputs: int = 10
  num_output_nodes: int = 1
  network: Any = None
  num_probes: int = 64
  probe_source: str = 'normal'
  probe_inputs: Any = None
  probe_shape: tuple[int, ...] | None = None
  generator_layers: int = 6
  hidden_size: int = 256
  num_layers: int = 6
  dtype: Any = None

  @nn.compact
  def __call__(
    self, graph: jraph.GraphsTuple, *, train: bool = False
  ) -> jax.Array:
    """Predicts from networks.

    Args:
      graph: of `graphs.encode` with one batch axis, or a padded batch, with the
        networks' weights in its globals; or any batch whose nodes carry
        activations, those of the output nodes being the networks' outputs.
      train: changes nothing, the model has no dropout.

    Returns:
      [num_graphs, num_outputs]; rows of padding graphs mean nothing. Jit: yes.

    Raises:
      ValueError: no network, networks of different specs without activations,
        inputs that do not fit, an unknown source.
    """
    del train
    connectivity = graphs.connect(graph)
    values = connectivity.carried.activations()
    if values is None:
      outputs = self._run(connectivity)
    else:
      probe_inputs.check_num_probes(values, self.num_probes)
      last = connectivity.last_nodes(values, count=self.num_output_nodes)
      outputs = jnp.swapaxes(last, -1, -2)
    return layers.Readout(
      self.hidden_size,
      self.num_outputs,
      self.num_layers,
      self.dtype,
      name='readout',
    )(outputs.reshape(connectivity.num_graphs, -1))

  def _run(self, connectivity: graphs.Connectivity) -> jax.Array:
    """Outputs [num_graphs, num_probes, ...] of the networks."""
    if not hasattr(self.network, 'apply'):
      raise ValueError(
        'probing needs the network that it reads, with `apply(weights, x)`, '
        f'got network={self.network!r}; give network=networks.Siren(...), or '
        'graphs that carry activations (graphs.add_activations).'
      )
    weights = probe_inputs.require_weights(connectivity)
    if hasattr(self.network, 'spec'):
      specs.check_weights(self.network.spec, weights)
    inputs = probe_inputs.choose_inputs(
      self,
      connectivity,
      num_probes=self.num_probes,
      shape=probe_inputs.input_shape(self.network, self.probe_shape),
      source=self.probe_source,
      fixed=self.probe_inputs,
      generator_layers=self.generator_layers,
    )
    inputs = graphs.match_dtype(inputs, weights)
    outputs = self.network.apply(weights, inputs)
    wanted = (connectivity.num_graphs, self.num_probes)
    if outputs.shape[:2] != wanted:
      raise ValueError(
        'apply(weights, x) must return [num_graphs, num_probes, ...], here '
        f'{wanted}, got {outputs.shape}; let apply take weights with a leading '
        'batch axis, for example by jax.vmap.'
      )
    return outputs
