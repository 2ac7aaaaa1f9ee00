# SPDX-License-Identifier: Apache-2.0
"""Activations and probe inputs that travel with graphs.

Activations are a node field beside the bias, probe inputs an entry of the
globals beside the weights; a model that probes uses them in place of its own.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import jraph
import numpy as np

from ng_jax.graphs import encoding
from ng_jax.graphs import structure

# Fixed names of the graph's fields.
ACTIVATIONS = 'activations'
PROBE_INPUTS = 'probe_inputs'


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
