# SPDX-License-Identifier: Apache-2.0
"""Where the neurons of a network are drawn: neuron sets as columns.

Everything is numpy and follows from the spec alone. A set stands one column
after the last of the sets that lead into it; sets that share a column stand
above one another. Of a large set only the first and last neurons are drawn.
"""

import dataclasses

import numpy as np

from ng_jax import specs

# Room for the names between the sets of one column; neighbours are 1 apart.
_GAP = 2.4
_ARC_POINTS = 24


@dataclasses.dataclass(frozen=True)
class Layout:
  """Places of the neurons that are drawn.

  Attributes:
    spec: of the network.
    shown: {set: [num_shown] int, the neurons that are drawn, in order}.
    columns: {set: its column}.
    heights: {set: [num_shown] float, from top to bottom}; distances between
      neighbours are 1, and 2 where neurons are left out.
  """

  spec: specs.NetworkSpec
  shown: dict[str, np.ndarray]
  columns: dict[str, int]
  heights: dict[str, np.ndarray]

  @property
  def num_columns(self) -> int:
    """Number of columns."""
    return max(self.columns.values()) + 1

  @property
  def num_shown(self) -> int:
    """Number of neurons that are drawn."""
    return sum(rows.size for rows in self.shown.values())

  @property
  def top(self) -> float:
    """Height of the highest neuron."""
    return max(float(y[0]) for y in self.heights.values())

  @property
  def bottom(self) -> float:
    """Height of the lowest neuron."""
    return min(float(y[-1]) for y in self.heights.values())

  def lowest(self, column: int) -> float:
    """Height of the lowest neuron of a column."""
    found = [
      y for name, y in self.heights.items() if self.columns[name] == column
    ]
    return min(float(y[-1]) for y in found)

  @property
  def ceiling(self) -> float:
    """Height of the highest neuron or arc."""
    arcs = [self.paths(b) for b in self.spec.blocks if self.is_arc(b)]
    return max([self.top, *(float(p[..., 1].max()) for p in arcs if p.size)])

  def places(self, name: str) -> np.ndarray:
    """[num_shown, 2] float, column and height of the neurons of a set."""
    heights = self.heights[name]
    return np.stack([np.full(heights.size, self.columns[name]), heights], 1)

  def gap(self, name: str) -> float | None:
    """Height at which neurons of a set are left out, or None."""
    skipped = np.flatnonzero(np.diff(self.shown[name]) > 1)
    if not skipped.size:
      return None
    return float(self.heights[name][skipped[0]]) - 1.0

  def neurons(self, block: specs.Block) -> tuple[np.ndarray, np.ndarray]:
    """Neurons at the ends of the edges of a block that are drawn.

    Args:
      block: of the spec.

    Returns:
      Sources and targets, [num_shown_edges] int each, numbers inside their
      neuron sets. Jit: no.
    """
    sources, targets = self.shown[block.source], self.shown[block.target]
    if block.kind == 'diagonal':
      same = np.intersect1d(sources, targets)
      return same, same
    return np.repeat(sources, targets.size), np.tile(targets, sources.size)

  def is_arc(self, block: specs.Block) -> bool:
    """Whether the edges of a block pass over other columns."""
    return self.columns[block.target] - self.columns[block.source] > 1

  def paths(self, block: specs.Block) -> np.ndarray:
    """Lines to draw for the edges of a block.

    Args:
      block: of the spec.

    Returns:
      [num_shown_edges, num_points, 2] float: two points of a straight line, or
      more on an arc that passes above all columns. Jit: no.
    """
    ends = []
    for name, numbers in zip(
      (block.source, block.target), self.neurons(block), strict=True
    ):
      rows = np.searchsorted(self.shown[name], numbers)
      ends.append(self.places(name)[rows])
    if self.is_arc(block):
      return self._arcs(*ends)
    return np.stack(ends, axis=1)

  def _arcs(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Cubic curves; lower neurons have flatter arcs, so that few cross."""
    span = ends[:, 0] - starts[:, 0]
    peak = self.top + 1.0 + 0.4 * span + 0.15 * (starts[:, 1] - self.top)
    # The curve reaches three quarters of the way to its middle points.
    middle = (starts[:, 1] + ends[:, 1]) / 2
    lift = middle + np.maximum(peak - middle, 0.0) / 0.75
    first = np.stack([starts[:, 0] + 0.1 * span, lift], axis=1)
    last = np.stack([ends[:, 0] - 0.1 * span, lift], axis=1)
    t = np.linspace(0.0, 1.0, _ARC_POINTS)[:, None]
    a, b, c, d = (x[:, None] for x in (starts, first, last, ends))
    s = 1.0 - t
    return s**3 * a + 3 * s**2 * t * b + 3 * s * t**2 * c + t**3 * d


def arrange(spec: specs.NetworkSpec, max_neurons: int) -> Layout:
  """Places the neurons of a network.

  Args:
    spec: of the network.
    max_neurons: a set with more is drawn by its first and last ones.

  Returns:
    The layout. Jit: no, static.

  Raises:
    ValueError: `max_neurons` below 2.
  """
  if max_neurons < 2:
    raise ValueError(
      f'max_neurons must be at least 2, the first and the last, got '
      f'{max_neurons}.'
    )
  shown = {s.name: _choose(s.size, max_neurons) for s in spec.neuron_sets}
  columns = _columns(spec)
  heights = {}
  for column in set(columns.values()):
    names = [s.name for s in spec.neuron_sets if columns[s.name] == column]
    heights.update(_stack(names, shown))
  return Layout(spec, shown, columns, heights)


def _choose(size: int, max_neurons: int) -> np.ndarray:
  if size <= max_neurons:
    return np.arange(size)
  last = max_neurons // 2
  first = max_neurons - last
  return np.concatenate([np.arange(first), np.arange(size - last, size)])


def _columns(spec: specs.NetworkSpec) -> dict[str, int]:
  """Longest path from an input; outputs stand in the last column."""
  columns = {s.name: 0 for s in spec.neuron_sets}
  position = {s.name: i for i, s in enumerate(spec.neuron_sets)}
  for block in sorted(spec.blocks, key=lambda b: position[b.source]):
    reached = columns[block.source] + 1
    columns[block.target] = max(columns[block.target], reached)
  last = max(columns.values())
  for s in spec.neuron_sets:
    if s.role == 'output':
      columns[s.name] = last
  return columns


def _stack(
  names: list[str], shown: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """Heights of the sets of one column, the whole of it centred at 0."""
  heights = {}
  top = 0.0
  for name in names:
    rows = shown[name]
    steps = np.where(np.diff(rows) > 1, 2.0, 1.0)
    heights[name] = top - np.concatenate([[0.0], np.cumsum(steps)])
    top = float(heights[name][-1]) - 1.0 - _GAP
  middle = float(heights[names[-1]][-1]) / 2
  return {name: values - middle for name, values in heights.items()}
