# SPDX-License-Identifier: Apache-2.0
"""Both padded layouts of a batch, made by hand, with rubbish in the padding."""

import jax
import jraph
import numpy as np

RUBBISH = {'huge': 1e30, 'nan': np.nan}


def per_graph(
  flat: jraph.GraphsTuple,
  *,
  num_graphs: int,
  max_nodes: int,
  max_edges: int,
  rubbish: float,
) -> jraph.GraphsTuple:
  """Pads every graph of `graphs.flatten` and appends empty graphs.

  Floats in the padding are `rubbish`, integers point and name at random.
  """
  nodes = {
    name: _fill(x, (num_graphs, max_nodes), rubbish)
    for name, x in flat.nodes.items()
  }
  edges = {
    name: _fill(x, (num_graphs, max_edges), rubbish)
    for name, x in flat.edges.items()
  }
  ends = np.random.default_rng(0).integers(
    0, max_nodes, (2, num_graphs, max_edges), dtype=np.int32
  )
  count, size = flat.senders.shape
  ends[0, :count, :size], ends[1, :count, :size] = flat.senders, flat.receivers
  sizes = np.zeros((2, num_graphs, 1), np.int32)
  sizes[0, :count], sizes[1, :count] = flat.n_node, flat.n_edge
  weights = jax.tree.map(
    lambda x: _fill(x, (num_graphs,), rubbish), flat.globals
  )
  return jraph.GraphsTuple(
    nodes, edges, ends[1], ends[0], weights, sizes[0], sizes[1]
  )


def concatenated(
  flat: jraph.GraphsTuple,
  *,
  num_graphs: int,
  num_nodes: int,
  num_edges: int,
  rubbish: float,
) -> jraph.GraphsTuple:
  """The graphs of `graphs.flatten` in jraph's layout, padded by jraph."""
  count = flat.n_node.shape[0]
  one_by_one = []
  for i in range(count):
    graph = jax.tree.map(lambda x, i=i: np.asarray(x)[i], flat)
    weights = jax.tree.map(lambda x: x[None], graph.globals)
    one_by_one.append(graph._replace(globals=weights))
  batch = jraph.pad_with_graphs(
    jraph.batch_np(one_by_one), num_nodes, num_edges, num_graphs
  )
  real_nodes, real_edges = np.sum(flat.n_node), np.sum(flat.n_edge)
  return batch._replace(
    nodes={
      name: _fill(x[:real_nodes], (num_nodes,), rubbish)
      for name, x in batch.nodes.items()
    },
    edges={
      name: _fill(x[:real_edges], (num_edges,), rubbish)
      for name, x in batch.edges.items()
    },
    globals=jax.tree.map(
      lambda x: _fill(x[:count], (num_graphs,), rubbish), batch.globals
    ),
  )


def _fill(values: object, shape: tuple[int, ...], rubbish: float) -> np.ndarray:
  """Extends the leading axes of `values` to `shape`."""
  values = np.asarray(values)
  full = np.zeros((*shape, *values.shape[len(shape) :]), values.dtype)
  if np.issubdtype(values.dtype, np.integer):
    full[:] = np.random.default_rng(0).integers(0, 5, full.shape)
  else:
    full[:] = rubbish
  full[tuple(slice(0, n) for n in values.shape[: len(shape)])] = values
  return full
