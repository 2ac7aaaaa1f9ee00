# SPDX-License-Identifier: Apache-2.0
"""Features of an optimizee's parameters by edges and nodes, and back."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from ng_jax import graphs
from ng_jax import specs
from ng_jax.optimizers import features as features_lib
from ng_jax.optimizers import spec_optimizer

Features = Mapping[str, jax.Array]  # {path: [num_features, *shape]}


class GraphReader:
  """Reads features by the optimizee's spec; static, made when tracing.

  Attributes:
    topology: of the graph.
    edge_leaves: per block, its leaves in slot order; empty for skips.
    node_leaves: per neuron set, likewise.
    rest: paths that the graph does not show.
  """

  def __init__(self, spec: specs.NetworkSpec, paths: Sequence[str]) -> None:
    self.topology = graphs.topology(spec)
    self._spec = spec
    prefix = spec_optimizer.path_prefix(spec, paths)
    self._path = {leaf.path: prefix + leaf.path for leaf in spec.leaves}
    self.edge_leaves = tuple(
      self._leaves_of('edge', block.name) for block in spec.blocks
    )
    self.node_leaves = tuple(
      self._leaves_of('node', s.name) for s in spec.neuron_sets
    )
    shown = {
      self._path[leaf.path]
      for leaves in (*self.edge_leaves, *self.node_leaves)
      for leaf in leaves
    }
    self.rest = tuple(path for path in paths if path not in shown)

  def edges(self, inputs: Features) -> tuple[jax.Array, ...]:
    """Features of the blocks' edges.

    Args:
      inputs: {path: [num_features, *shape]}.

    Returns:
      Per block [1, num_sources, num_targets, channels, num_features]; without
      num_sources if it is diagonal. Jit: yes.
    """
    return tuple(
      self._stack(leaves, inputs)
      if leaves
      else self._skip(entry.shape, next(iter(inputs.values())))
      for entry, leaves in zip(
        self.topology.blocks, self.edge_leaves, strict=True
      )
    )

  def nodes(self, inputs: Features) -> tuple[jax.Array | None, ...]:
    """Features of the neuron sets' nodes.

    Args:
      inputs: {path: [num_features, *shape]}.

    Returns:
      Per set [1, num_nodes, channels, num_features], or None where it has no
      bias. Jit: yes.
    """
    return tuple(
      self._stack(leaves, inputs) if leaves else None
      for leaves in self.node_leaves
    )

  def connect(self, nodes: jax.Array, *, reverse: bool) -> graphs.Connectivity:
    """The connectivity of one graph.

    Args:
      nodes: [1, num_nodes, node_size], for the dtype.
      reverse: whether messages also pass against the edges.

    Returns:
      The connectivity. Jit: yes.
    """
    arrays = tuple(
      jnp.zeros((1, *entry.shape, len(entry.channels)), nodes.dtype)
      for entry in self.topology.blocks
    )
    count = jnp.ones((1, 1), jnp.int32)
    graph = jraph.GraphsTuple(
      nodes={'bias': nodes},
      edges={'weight': graphs.EdgeBlocks(arrays, self.topology)},
      senders=None,
      receivers=None,
      globals={},
      n_node=count * self.topology.num_nodes,
      n_edge=count * self.topology.num_edges,
    )
    return graphs.connect(graph, reverse=reverse)

  def rows(
    self,
    inputs: Features,
    nodes: jax.Array,
    edges: Sequence[jax.Array],
  ) -> tuple[list[str], list[jax.Array], list[jax.Array | None]]:
    """Own features and context of every parameter, for an `UpdateHead`.

    Args:
      inputs: {path: [num_features, *shape]}.
      nodes: context of the nodes [1, num_nodes, context_size].
      edges: of the blocks' edges [1, *block_shape, context_size].

    Returns:
      The paths; per path the features [*unfolded, num_features], and the
      context with 1 channel, None for what the graph does not show. Jit: yes.
    """
    paths: list[str] = []
    features: list[jax.Array] = []
    contexts: list[jax.Array | None] = []
    for leaves, context in zip(self.edge_leaves, edges, strict=True):
      for leaf in leaves:
        paths.append(self._path[leaf.path])
        features.append(self._unfold(leaf, inputs))
        contexts.append(context[0][..., None, :])
    for s, leaves in zip(self._spec.neuron_sets, self.node_leaves, strict=True):
      first, last = self.topology.node_ranges[s.name]
      for leaf in leaves:
        paths.append(self._path[leaf.path])
        features.append(self._unfold(leaf, inputs))
        contexts.append(nodes[0, first:last, None])
    for path in self.rest:
      paths.append(path)
      features.append(jnp.moveaxis(inputs[path], 0, -1))
      contexts.append(None)
    return paths, features, contexts

  def fold(
    self, paths: Sequence[str], updates: Sequence[jax.Array]
  ) -> dict[str, jax.Array]:
    """Brings what an `UpdateHead` made of `rows` into the arrays' shapes.

    Args:
      paths: of `rows`.
      updates: per path [*unfolded].

    Returns:
      {path: [*shape]}. Jit: yes.
    """
    layouts = {
      self._path[leaf.path]: self._spec.layout(leaf)
      for leaf in self._spec.leaves
    }
    folded = dict(zip(paths, updates, strict=True))
    for path in sorted(set(paths) - set(self.rest)):
      folded[path] = layouts[path].fold(folded[path])
    return folded

  def _leaves_of(self, kind: str, name: str) -> tuple[specs.Leaf, ...]:
    own = [x for x in self._spec.leaves if x.kind == kind and x.fills == name]
    return tuple(sorted(own, key=lambda leaf: leaf.slot))

  def _unfold(self, leaf: specs.Leaf, inputs: Features) -> jax.Array:
    values = self._spec.layout(leaf).unfold(inputs[self._path[leaf.path]])
    return jnp.moveaxis(values, 0, -1)

  def _stack(self, leaves: Sequence[specs.Leaf], inputs: Features) -> jax.Array:
    values = [self._unfold(leaf, inputs) for leaf in leaves]
    stacked = values[0] if len(values) == 1 else jnp.concatenate(values, -2)
    return stacked[None]

  def _skip(self, shape: tuple[int, ...], like: jax.Array) -> jax.Array:
    """A skip is a constant weight of 1 without gradient."""
    raw = np.zeros(len(like) // 2)
    raw[0] = 1.0
    features = features_lib.log_sign(jnp.asarray(raw, like.dtype)).T.reshape(-1)
    return jnp.broadcast_to(features, (1, *shape, 1, len(like)))
