# SPDX-License-Identifier: Apache-2.0
"""Probe features: what every neuron answers to probe inputs (paper, sec. 3).

Inputs are pushed through the network that is read, with its raw weights; each
neuron's activations on them are projected, normalised and added to its node
embedding. Invariant to hidden permutations like the neuron itself.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import graphs
from ng_jax import specs
from ng_jax.graphs import structure
from ng_jax.layers import linear
from ng_jax.layers import probe_inputs

PROJECTIONS = ('role', 'set')


class ProbeFeatures(nn.Module):
  """Per-neuron projections of the activations on probe inputs.

  Activations that the graphs carry (`graphs.add_activations`, and
  `node_activations` of `graphs.concatenate` and `graphs.stack`) are used as
  they are; otherwise the layer runs the network, on the inputs that the graphs
  give (`graphs.add_probe_inputs`) or else on its own.

  Attributes:
    features: output width.
    num_probes: number of inputs.
    network: with `spec` and `activations(weights, x)`, see
      `graphs.activations`; every graph of the batch must be one of its
      networks. Not needed where graphs carry activations.
    source: where the layer's own inputs come from, one of
      `probe_inputs.SOURCES`; the paper's are 'uniform'.
    fixed_inputs: [num_probes, *input_shape] for the source 'given'.
    input_shape: of one input, where the network does not say.
    projection: 'set' has a linear map and a norm for each neuron set (the
      paper's); 'role' for inputs, for each depth of hidden sets and for
      outputs, so that networks of several depths share them.
    num_hidden_layers: depths that 'role' tells apart; deeper sets share the
      last.
  """

  features: int
  num_probes: int
  network: Any = None
  source: str = 'uniform'
  fixed_inputs: Any = None
  input_shape: tuple[int, ...] | None = None
  projection: str = 'set'
  num_hidden_layers: int = 2

  @nn.compact
  def __call__(
    self, connectivity: graphs.Connectivity
  ) -> tuple[jax.Array, jax.Array]:
    """Runs the probes.

    Args:
      connectivity: of graphs that carry their weights or activations.

    Returns:
      For every node its projection [..., features] and its activations
      [..., num_probes], zero at padding. Jit: yes.

    Raises:
      ValueError: no network, a network that cannot be probed, another number
        of inputs, a mixed batch with projections per set, an unknown option.
    """
    if self.projection not in PROJECTIONS:
      raise ValueError(
        f'unknown probe_projection {self.projection!r}; expected one of '
        f'{list(PROJECTIONS)}.'
      )
    carried = connectivity.carried.activations()
    spec = connectivity.carried.spec
    if carried is None:
      sets = self._run(connectivity)
      self._check_nodes(connectivity)
      projected = self._project_sets(self.network.spec, sets)

      def of_nodes(sets: Any) -> jax.Array:
        # Activations of inputs may be those of every graph.
        dense = _side_by_side(sets, num_graphs=connectivity.num_graphs)
        return connectivity.from_dense_nodes(dense)

      return of_nodes(projected), of_nodes(sets)
    probe_inputs.check_num_probes(carried, self.num_probes)
    if spec is not None:
      ends = np.cumsum([s.size for s in spec.neuron_sets])[:-1]
      projected = self._project_sets(spec, jnp.split(carried, ends, axis=-2))
      return jnp.concatenate(projected, axis=-2), carried
    return self._project_rows(connectivity, carried), carried

  def _run(self, connectivity: graphs.Connectivity) -> tuple[jax.Array, ...]:
    """Activations [num_graphs or nothing, size, num_probes] per neuron set."""
    if self.network is None:
      raise ValueError(
        f'num_probes={self.num_probes} needs the network that the probes run '
        'through, got network=None; give network=networks.Siren(...), or set '
        'num_probes=0.'
      )
    graphs.check_network(self.network)
    weights = probe_inputs.require_weights(connectivity)
    inputs = probe_inputs.choose_inputs(
      self,
      connectivity,
      num_probes=self.num_probes,
      shape=probe_inputs.input_shape(self.network, self.input_shape),
      source=self.source,
      fixed=self.fixed_inputs,
    )
    return graphs.run_probes(self.network, weights, inputs)

  def _check_nodes(self, connectivity: graphs.Connectivity) -> None:
    nodes = connectivity.node_ids('role')
    num_neurons = self.network.spec.num_nodes
    if isinstance(nodes, np.ndarray) and len(nodes) != num_neurons:
      raise ValueError(
        'probe features need graphs with one node per neuron, got '
        f'{len(nodes)} nodes for {num_neurons} neurons; encode the weights '
        'with the topology of network.spec.'
      )

  def _project_sets(
    self, spec: specs.NetworkSpec, sets: Any
  ) -> list[jax.Array]:
    """Projects each neuron set with its own row of parameters."""
    layers = self._layers(len(spec.neuron_sets))
    rows = self._rows_of_sets(spec)
    return [
      norm(linear_map(values))
      for (linear_map, norm), values in zip(
        [layers[row] for row in rows], sets, strict=True
      )
    ]

  def _rows_of_sets(self, spec: specs.NetworkSpec) -> list[int]:
    if self.projection == 'set':
      return list(range(len(spec.neuron_sets)))
    last = self.num_hidden_layers + 1
    rows, depth = [], 0
    for s in spec.neuron_sets:
      depth += s.role == 'hidden'
      hidden = min(depth, self.num_hidden_layers)
      rows.append({'input': 0, 'hidden': hidden, 'output': last}[s.role])
    return rows

  def _project_rows(
    self, connectivity: graphs.Connectivity, values: jax.Array
  ) -> jax.Array:
    """Projects nodes whose sets are known when running only."""
    if self.projection == 'set':
      rows, num_sets = self._rows_by_network(connectivity)
    else:
      rows, num_sets = self._rows_by_role(connectivity), 0
    total = jnp.zeros((), values.dtype)
    for row, (linear_map, norm) in enumerate(self._layers(num_sets)):
      projected = norm(linear_map(values))
      total = total + jnp.where(rows == row, projected, 0)
    return total

  def _rows_by_role(self, connectivity: graphs.Connectivity) -> jax.Array:
    role = connectivity.node_ids('role')
    depth = connectivity.node_ids('depth')
    last = self.num_hidden_layers + 1
    rows = jnp.select(
      [role == structure.ROLES[name] for name in ('input', 'hidden', 'output')],
      [jnp.zeros_like(depth), jnp.minimum(depth, last - 1), last],
      -1,
    )
    return rows[..., None]

  def _rows_by_network(
    self, connectivity: graphs.Connectivity
  ) -> tuple[jax.Array, int]:
    if self.network is None or connectivity.network_weights() is None:
      raise ValueError(
        "probe_projection='set' needs networks of one spec, but the specs of "
        'these graphs are not known to be the same; set '
        "probe_projection='role', or give the network (and graphs with their "
        'weights).'
      )
    sizes = [s.size for s in self.network.spec.neuron_sets]
    rows = np.repeat(np.arange(1, len(sizes) + 1), sizes)[:, None]
    shape = (connectivity.num_graphs, *rows.shape)
    # Zero at padding, then -1.
    found = connectivity.from_dense_nodes(jnp.broadcast_to(rows, shape))
    return found - 1, len(sizes)

  def _layers(self, num_sets: int) -> list[tuple[nn.Module, nn.Module]]:
    """Linear map and norm of every row, all of them with parameters."""
    names = [str(i) for i in range(num_sets)]
    if self.projection == 'role':
      hidden = [f'hidden_{i + 1}' for i in range(self.num_hidden_layers)]
      names = ['input', *hidden, 'output']
    found: list[tuple[nn.Module, nn.Module]] = [
      (
        linear.Linear(self.features, name=f'projection_{name}'),
        linear.layer_norm(f'norm_{name}'),
      )
      for name in names
    ]
    if self.is_initializing():
      # Also those that no neuron set of this graph uses.
      for linear_map, norm in found:
        norm(linear_map(jnp.zeros((1, self.num_probes))))
    return found


def _side_by_side(sets: Any, *, num_graphs: int) -> jax.Array:
  """[num_graphs, nodes, features] of sets [num_graphs or nothing, size, n]."""
  return jnp.concatenate(
    [jnp.broadcast_to(x, (num_graphs, *x.shape[-2:])) for x in sets], axis=-2
  )
