# SPDX-License-Identifier: Apache-2.0
"""Drawing of a neural graph: neurons are nodes, weights are edges.

The graph of Kofinas et al. (2024), section 2, for any `NetworkSpec`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ng_jax import graphs
from ng_jax import specs
from ng_jax.graphs import encoding
from ng_jax.plots import canvas
from ng_jax.plots import graph_layout
from ng_jax.plots import graph_marks

_MAX_WIDTH = 24.0
_QUANTILE = 0.98  # Of the magnitudes has the strongest colour.


def neural_graph(
  spec: specs.NetworkSpec,
  weights: specs.Weights,
  *,
  title: str = '',
  max_neurons: int = 12,
  labels: Mapping[str, Sequence[str]] | None = None,
  per_layer: bool = False,
) -> Any:
  """Draws a network as a graph, from its inputs on the left to its outputs.

  Args:
    spec: of the network, any.
    weights: leaves [*leaf_shape], of one network.
    title: above the figure.
    max_neurons: a neuron set with more is drawn by its first and last ones; the
      line below the graph then says how many are shown.
    labels: {neuron set: a short text for each of its neurons}, written into the
      nodes; sets may be left out.
    per_layer: whether each layer has its own scale of colours; useful where the
      weights of one layer are much larger than those of others.

  Returns:
    A matplotlib Figure. Neuron sets are columns. Edges have the colour of their
    weight, blue below and orange above zero, and are wider where it is larger;
    nodes have the colour of their bias, and are white without one. Of several
    channels (a kernel; query, key and value) the mean counts, and a line below
    says so. Edges without a weight (skips) are dark and dashed; edges that pass
    over other columns are arcs. Jit: no.

  Raises:
    ValueError: weights that do not fit the spec or have batch axes, labels that
      do not fit it, `max_neurons` below 2.
  """
  batch = specs.check_weights(spec, weights)
  if batch:
    raise ValueError(
      f'weights must be of one network, got batch axes {batch}; take one with '
      'jax.tree.map(lambda leaf: leaf[0], weights).'
    )
  labels = labels or {}
  _check_labels(spec, labels)
  layout = graph_layout.arrange(spec, max_neurons)
  topology = graphs.topology(spec)
  graph = graphs.encode(topology, weights)
  edges, biases = _edge_values(topology, graph), _bias_values(topology, graph)
  edge_scale, bias_scale = _scale(edges), _scale(biases)
  if per_layer:
    edges, biases = _relative(edges), _relative(biases)
    edge_scale, bias_scale = 1.0, float(bool(biases))
  figure = canvas.new_figure(_size(layout))
  panel = figure.subplots()
  graph_marks.draw_edges(panel, layout, edges, edge_scale)
  graph_marks.draw_nodes(panel, layout, biases, bias_scale, labels)
  graph_marks.name_sets(panel, layout)
  _frame(panel, layout)
  notes = [_note(layout)]
  if any(block.num_channels > 1 for block in spec.blocks):
    notes.append('an edge with several weights has the colour of their mean')
  if per_layer:
    notes.append('colours are relative to the largest of a layer')
  panel.set_xlabel(
    '\n'.join(filter(None, notes)),
    color=canvas.GREY,
    fontsize=9,
  )
  scales = {
    'bias': (bias_scale, _largest_magnitude(biases) > bias_scale),
    'weight': (edge_scale, _largest_magnitude(edges) > edge_scale),
  }
  graph_marks.draw_scales(figure, panel, scales)
  if title:
    panel.set_title(title)
  return figure


def _check_labels(
  spec: specs.NetworkSpec, labels: Mapping[str, Sequence[str]]
) -> None:
  sizes = {s.name: s.size for s in spec.neuron_sets}
  for name, texts in labels.items():
    if name not in sizes:
      raise ValueError(
        f'labels name the unknown neuron set {name!r}; expected some of '
        f'{sorted(sizes)}.'
      )
    if len(texts) != sizes[name]:
      raise ValueError(
        f'labels must have one text for each of the {sizes[name]} neurons of '
        f'{name!r}, got {len(texts)}.'
      )


def _edge_values(
  topology: graphs.Topology, graph: Any
) -> dict[str, np.ndarray]:
  """{block with weights: [num_sources, num_targets] or [num_edges] float}."""
  filled = {leaf.fills for leaf in topology.spec.leaves if leaf.kind == 'edge'}
  arrays = graph.edges[encoding.WEIGHT].arrays
  return {
    # Channels beyond those of the block are padding.
    entry.block.name: _sum(values) / entry.block.num_channels
    for entry, values in zip(topology.blocks, arrays, strict=True)
    if entry.block.name in filled
  }


def _bias_values(
  topology: graphs.Topology, graph: Any
) -> dict[str, np.ndarray]:
  """{neuron set with a bias: [size] float}."""
  filled = {leaf.fills for leaf in topology.spec.leaves if leaf.kind == 'node'}
  values = graph.nodes[encoding.BIAS]
  return {
    name: _sum(values[first:last])
    for name, (first, last) in topology.node_ranges.items()
    if name in filled
  }


def _sum(values: Any) -> np.ndarray:
  return np.asarray(values, np.float64).sum(axis=-1)


def _relative(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  return {
    name: values / _scale({name: values}) for name, values in arrays.items()
  }


def _largest_magnitude(arrays: Mapping[str, np.ndarray]) -> float:
  return max([0.0, *(float(np.abs(x).max()) for x in arrays.values())])


def _scale(arrays: Mapping[str, np.ndarray]) -> float:
  """The magnitude of the strongest colour; 0 where nothing has a colour."""
  if not arrays:
    return 0.0
  values = np.concatenate([np.abs(x).reshape(-1) for x in arrays.values()])
  # A network whose biases are all zero still has a scale.
  return float(np.quantile(values, _QUANTILE)) or float(values.max()) or 1.0


def _size(layout: graph_layout.Layout) -> tuple[float, float]:
  width = min(1.4 + 1.35 * layout.num_columns, _MAX_WIDTH)
  height = 0.27 * (layout.ceiling - layout.bottom + 3.1) + 0.6
  return max(width, 5.0), max(height, 3.2)


def _frame(panel: Any, layout: graph_layout.Layout) -> None:
  panel.set_xlim(-0.5, layout.num_columns - 0.5)
  panel.set_ylim(layout.bottom - 2.4, layout.ceiling + 0.7)
  panel.set_xticks([])
  panel.set_yticks([])
  for spine in panel.spines.values():
    spine.set_visible(False)


def _note(layout: graph_layout.Layout) -> str:
  """What of the network is shown, where that is not all."""
  spec = layout.spec
  if layout.num_shown == spec.num_nodes:
    return ''
  num_edges = graphs.topology(spec).num_edges
  shown = sum(layout.neurons(b)[0].size for b in spec.blocks)
  return (
    f'{layout.num_shown:,} of {spec.num_nodes:,} neurons and {shown:,} of '
    f'{num_edges:,} edges are shown'
  )
