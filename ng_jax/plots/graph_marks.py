# SPDX-License-Identifier: Apache-2.0
"""The marks of a drawn graph: edges, nodes, names of neuron sets, scales."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ng_jax import specs
from ng_jax.plots import canvas
from ng_jax.plots import graph_layout

_NODE_AREA = 120.0  # In square points.
_LABELLED_AREA = 220.0
_SKIP = '#444444'
_DARK = 0.6  # Of the scale; labels on stronger colours are white.
_MAX_NAME = 19  # Letters that fit under a column.


def draw_edges(
  panel: Any,
  layout: graph_layout.Layout,
  values: Mapping[str, np.ndarray],
  scale: float,
) -> None:
  """Draws the edges between the neurons that are shown.

  Args:
    panel: matplotlib Axes.
    layout: of the network.
    values: {block: [num_sources, num_targets] or, diagonal, [num_edges] float};
      blocks left out have no weights.
    scale: the magnitude that has the strongest colour.
  """
  for block in layout.spec.blocks:
    paths = layout.paths(block)
    if block.name not in values:
      _add_lines(panel, paths, colors=_SKIP, linewidths=0.8, linestyles='--')
      continue
    sources, targets = layout.neurons(block)
    found = values[block.name]
    weights = found[sources, targets] if found.ndim == 2 else found[sources]
    strength = np.minimum(np.abs(weights) / scale, 1.0)
    order = np.argsort(strength)  # Strong edges lie above weak ones.
    _add_lines(
      panel,
      paths[order],
      array=weights[order],
      cmap=canvas.diverging_map(),
      clim=(-scale, scale),
      linewidths=0.5 + 1.9 * strength[order],
    )


def draw_nodes(
  panel: Any,
  layout: graph_layout.Layout,
  biases: Mapping[str, np.ndarray],
  scale: float,
  labels: Mapping[str, Sequence[str]],
) -> None:
  """Draws the neurons that are shown, and dots where others are left out.

  Args:
    panel: matplotlib Axes.
    layout: of the network.
    biases: {neuron set: [size] float}; sets left out have none.
    scale: the magnitude that has the strongest colour.
    labels: {neuron set: [size] texts}.
  """
  for name, rows in layout.shown.items():
    values = biases[name][rows] if name in biases else None
    _draw_circles(
      panel,
      layout.places(name),
      values,
      scale,
      area=_LABELLED_AREA if name in labels else _NODE_AREA,
    )
    if name in labels:
      texts = [labels[name][row] for row in rows]
      _write(panel, layout.places(name), texts, values, scale)
    if layout.gap(name) is not None:
      place = (layout.columns[name], layout.gap(name))
      panel.text(*place, '⋮', ha='center', va='center', fontsize=14, zorder=3)


def name_sets(panel: Any, layout: graph_layout.Layout) -> None:
  """Writes below each neuron set its name, size and activation.

  Sets that stand alone, or last, in their column have them in one line.

  Args:
    panel: matplotlib Axes.
    layout: of the network.
  """
  for s in layout.spec.neuron_sets:
    column, lowest = layout.columns[s.name], layout.heights[s.name][-1]
    if lowest == layout.lowest(column):
      lowest = layout.bottom
    panel.text(
      column,
      lowest - 0.75,
      _describe(s),
      ha='center',
      va='top',
      fontsize=8,
      linespacing=1.15,
      zorder=3,
    )


def draw_scales(
  figure: Any, panel: Any, scales: Mapping[str, tuple[float, bool]]
) -> None:
  """Draws a colour bar for each scale, below the panel.

  Args:
    figure: of the panel.
    panel: matplotlib Axes.
    scales: {what it is: (magnitude of the strongest colour, whether there are
      larger values)}; 0 leaves a scale out.
  """
  from matplotlib import cm
  from matplotlib import colors

  for name, (scale, exceeded) in scales.items():
    if scale:
      shades = cm.ScalarMappable(
        colors.Normalize(-scale, scale), canvas.diverging_map()
      )
      bar = figure.colorbar(
        shades,
        ax=panel,
        orientation='vertical',
        extend='both' if exceeded else 'neither',
        shrink=0.85,
        aspect=22,
        pad=0.02,
        ticks=(-scale, 0.0, scale),
        format='{x:.2g}',
      )
      bar.ax.tick_params(labelsize=8)
      bar.ax.set_title(name, fontsize=9)


def _add_lines(panel: Any, paths: np.ndarray, **style: Any) -> None:
  from matplotlib import collections

  lines = collections.LineCollection(list(paths), zorder=1, **style)
  panel.add_collection(lines)


def _draw_circles(
  panel: Any,
  places: np.ndarray,
  values: np.ndarray | None,
  scale: float,
  *,
  area: float,
) -> None:
  colours: dict[str, Any] = {'color': 'white'}
  if values is not None:
    colours = {
      'c': values,
      'cmap': canvas.diverging_map(),
      'vmin': -scale,
      'vmax': scale,
    }
  panel.scatter(
    *places.T, s=area, edgecolors='black', linewidths=0.8, zorder=2, **colours
  )


def _write(
  panel: Any,
  places: np.ndarray,
  texts: Sequence[str],
  values: np.ndarray | None,
  scale: float,
) -> None:
  strength = np.zeros(len(texts)) if values is None else np.abs(values) / scale
  for place, text, strong in zip(places, texts, strength > _DARK, strict=True):
    panel.text(
      *place,
      text,
      ha='center',
      va='center_baseline',
      fontsize=9,
      color='white' if strong else 'black',
      zorder=3,
    )


def _describe(neuron_set: specs.NeuronSet) -> str:
  name = neuron_set.name
  if len(name) > _MAX_NAME:
    name = '…' + name[1 - _MAX_NAME :]
  activation = neuron_set.activation
  rest = '' if activation == 'none' else f', {activation}'
  return f'{name}\n{neuron_set.size:,}{rest}'
