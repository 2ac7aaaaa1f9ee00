# SPDX-License-Identifier: Apache-2.0
"""Activations and probe inputs that travel with graphs.

Activations are a node field beside the bias, probe inputs an entry of the
globals beside the weights; a model that probes uses them in place of its own.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from ng_jax import specs
from ng_jax.graphs import encoding
from ng_jax.graphs import structure

# Fixed names of the graph's fields.
ACTIVATIONS = 'activations'
PROBE_INPUTS = 'probe_inputs'


@dataclasses.dataclass(frozen=True)
class Carried:
  """What graphs bring for probes, zero at padding; made by a connectivity.

  Attributes:
    graph_globals: of the graphs, leaves [num_graphs, ...].
    nodes: fields of the nodes, [..., width].
    spec: of all graphs where it is known when compiling, else None.
    graph_mask: [num_graphs] bool, False at padding; None without padding.
    node_mask: [total_nodes] bool, likewise.
  """

  graph_globals: Mapping[str, Any] | None
  nodes: Mapping[str, Any]
  spec: specs.NetworkSpec | None = None
  graph_mask: jax.Array | None = None
  node_mask: jax.Array | None = None

  def weights(self) -> Any:
    """The graphs' weights, leaves [num_graphs, ...], or None. Jit: yes."""
    return self._global(encoding.WEIGHTS)

  def inputs(self) -> jax.Array | None:
    """Probe inputs, [num_graphs or 1, num_probes, ...], or None. Jit: yes."""
    return self._global(PROBE_INPUTS)

  def activations(self) -> jax.Array | None:
    """Activations of the nodes, [..., num_probes], or None. Jit: yes."""
    return _clean(self.nodes.get(ACTIVATIONS), self.node_mask)

  def _global(self, name: str) -> Any:
    values = (self.graph_globals or {}).get(name)
    return jax.tree.map(lambda x: _clean(x, self.graph_mask), values)


def _clean(values: Any, mask: jax.Array | None) -> Any:
  """Zeros where the mask says so; what has no row per entry is shared."""
  if values is None or mask is None or values.shape[0] != mask.shape[0]:
    return values
  mask = mask.reshape(-1, *[1] * (values.ndim - 1))
  return jnp.where(mask, values, jnp.zeros_like(values))


def add_activations(graph: jraph.GraphsTuple, values: Any) -> jraph.GraphsTuple:
  """Puts activations into the graphs that a model will read.

  Args:
    graph: of `encode` or `flatten`.
    values: [*batch, num_nodes, num_probes] float, see `node_activations`.

  Returns:
    The graph with the node field 'activations'. Jit: yes.

  Raises:
    ValueError: another number of graphs or nodes.
  """
  wanted = graph.nodes[encoding.BIAS].shape[:-1]
  if tuple(np.shape(values)[:-1]) != wanted:
    raise ValueError(
      'activations must have one row per node, shape '
      f'{(*wanted, "num_probes")}, got {tuple(np.shape(values))}; compute them '
      'with graphs.node_activations from the same networks.'
    )
  return graph._replace(nodes={**graph.nodes, ACTIVATIONS: values})


def add_probe_inputs(
  graph: jraph.GraphsTuple, inputs: Any
) -> jraph.GraphsTuple:
  """Gives the inputs that a model shall probe these graphs' networks with.

  They take the place of the model's own.

  Args:
    graph: of `encode`, `flatten`, `concatenate` or `stack`.
    inputs: [num_probes, *input_shape], the same for all graphs.

  Returns:
    The graph with globals 'probe_inputs' [1, num_probes, *input_shape];
    [num_graphs, ...] there gives every graph inputs of its own. Jit: yes.
  """
  shared = jnp.asarray(inputs)[None]
  return graph._replace(globals={**(graph.globals or {}), PROBE_INPUTS: shared})


def join(
  rows: Sequence[Any],
  topologies: Sequence[structure.Topology],
  *,
  num_nodes: int,
) -> np.ndarray:
  """Activations of networks one after another, then zeros.

  Args:
    rows: per network [its num_nodes, num_probes].
    topologies: of the networks.
    num_nodes: rows of the result.

  Returns:
    [num_nodes, num_probes] numpy. Jit: no, host only.

  Raises:
    ValueError: arrays that do not fit the networks or each other.
  """
  _check_rows(rows, topologies)
  joined = np.concatenate(rows)
  return np.pad(joined, [(0, num_nodes - len(joined)), (0, 0)])


def pad(
  rows: Sequence[Any],
  topologies: Sequence[structure.Topology],
  *,
  shape: tuple[int, int],
) -> np.ndarray:
  """Activations of networks, each padded with zeros to the same size.

  Args:
    rows: per network [its num_nodes, num_probes].
    topologies: of the networks.
    shape: (num_graphs, max_nodes) of the result.

  Returns:
    [num_graphs, max_nodes, num_probes] numpy. Jit: no, host only.

  Raises:
    ValueError: as `join`.
  """
  _check_rows(rows, topologies)
  full = np.zeros((*shape, rows[0].shape[-1]), np.result_type(*rows))
  for i, values in enumerate(rows):
    full[i, : len(values)] = values
  return full


def _check_rows(
  rows: Sequence[Any], topologies: Sequence[structure.Topology]
) -> None:
  wanted = [t.num_nodes for t in topologies]
  found = [tuple(np.shape(values)) for values in rows]
  same_probes = len({shape[-1:] for shape in found}) == 1
  if [shape[:-1] for shape in found] != [(n,) for n in wanted] or (
    not same_probes
  ):
    raise ValueError(
      'node_activations must hold one array [num_nodes, num_probes] per '
      f'network, num_probes the same for all; got shapes {found} for networks '
      f'of {wanted} nodes. Make them with graphs.compute_activations.'
    )
