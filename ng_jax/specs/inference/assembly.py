# SPDX-License-Identifier: Apache-2.0
"""Turns a draft into a `NetworkSpec`: order, names and layouts."""

from collections.abc import Sequence
import dataclasses
import math

from ng_jax.specs import parts
from ng_jax.specs import spec as spec_lib
from ng_jax.specs.inference import axes as axes_lib
from ng_jax.specs.inference import draft as draft_lib
from ng_jax.specs.inference import readouts


@dataclasses.dataclass(frozen=True)
class Assembled:
  """A spec, and where the values of its neuron sets can be read.

  Attributes:
    spec: of the network.
    readouts: one per neuron set.
  """

  spec: spec_lib.NetworkSpec
  readouts: tuple[readouts.Readout, ...]


def assemble(draft: draft_lib.Draft) -> Assembled:
  """Makes the spec.

  Args:
    draft: complete.

  Returns:
    The spec and its readouts. Jit: static.

  Raises:
    ValueError: a leaf stores neurons in another order than its neighbours.
  """
  _separate_readers(draft)
  layers = _sorted_layers(draft)
  _make_unique(layers)
  _make_unique(draft.edges)
  leaves, channels = _leaves(draft)
  neuron_sets = tuple(
    parts.NeuronSet(
      s.name, s.size, s.role, next(iter(s.readers), 'none'), s.num_groups
    )
    for s in layers
  )
  blocks = tuple(
    _block(edges, channels.get(edges.name, ())) for edges in draft.edges
  )
  spec = spec_lib.NetworkSpec(neuron_sets, blocks, tuple(leaves))
  return Assembled(spec, tuple(readouts.locate(layer) for layer in layers))


def _separate_readers(draft: draft_lib.Draft) -> None:
  """Gives each activation of a set that is read under several its own set.

  Where one layer reads x and another relu(x), the second reads a set behind
  skip edges from x.
  """
  for layer in list(draft.layers):
    if len(layer.readers) < 2:
      continue
    for activation in [name for name in layer.readers if name != 'none']:
      name = f'{layer.name}_{activation}'
      other = draft.add_layer(name, layer.atoms, layer.size)
      other.readers[activation] = layer.readers[activation]
      for edges in draft.edges:
        if edges.source is layer and edges.activation == activation:
          edges.source = other
      draft.edges.append(
        draft_lib.Edges(
          f'{name}_skip', layer, 'none', other, 'diagonal', 'skip'
        )
      )
    kept = layer.readers.get('none') or next(iter(layer.readers.values()))
    layer.readers = {'none': kept}


def _sorted_layers(draft: draft_lib.Draft) -> list[draft_lib.Layer]:
  """Inputs first, outputs last, edges forward, else in order of creation."""
  pending = [layer for layer in draft.layers if layer.readers]
  ordered: list[draft_lib.Layer] = []
  while pending:
    waiting = {
      id(edges.target)
      for edges in draft.edges
      if any(edges.source is layer for layer in pending)
    }
    ready = [layer for layer in pending if id(layer) not in waiting]
    first = min(ready, key=lambda layer: layer.role == 'output')
    pending.remove(first)
    ordered.append(first)
  return sorted(ordered, key=lambda layer: layer.role == 'output')


def _make_unique(entries: Sequence[draft_lib.Layer | draft_lib.Edges]) -> None:
  taken: set[str] = set()
  for entry in entries:
    name, count = entry.name, 1
    while name in taken:
      count += 1
      name = f'{entry.name}_{count}'
    entry.name = name
    taken.add(name)


def _block(edges: draft_lib.Edges, channels: tuple[int, ...]) -> parts.Block:
  kernel, kind = edges.kernel, edges.type
  if kind == 'linear' and len(channels) == 2:
    # A dense layer on a flat image is a convolution as large as the image.
    kernel, kind = (channels[0], channels[1]), 'conv'
  return parts.Block(
    edges.name,
    edges.source.name,
    edges.target.name,
    edges.kind,
    kind,
    math.prod(kernel or channels),
    kernel,
  )


def _leaves(
  draft: draft_lib.Draft,
) -> tuple[list[parts.Leaf], dict[str, tuple[int, ...]]]:
  """All leaves, and the sizes of the channel axes of each block."""
  leaves = []
  channels: dict[str, tuple[int, ...]] = {}
  slots: dict[tuple[str, str], int] = {}
  order = sorted(
    draft.uses, key=lambda use: list(draft.leaf_axes).index(use.path)
  )
  ranked = sorted(order, key=lambda use: use.rank)
  made = {}
  for use in ranked:
    layout, sizes, sizes_of_channels = _layout(draft, use)
    key = (use.kind, use.fills.name)
    slot = 0 if use.kind == 'buffer' else slots.get(key, 0)
    slots[key] = slot + math.prod(sizes_of_channels)
    made[use.path] = parts.Leaf(
      use.path, layout, use.fills.name, use.kind, slot, sizes
    )
    if use.kind == 'edge':
      if isinstance(use.fills, draft_lib.Edges):
        channels[use.fills.name] = (
          (slots[key],) if use.fills.type == 'attention' else sizes_of_channels
        )
  for use in order:
    leaves.append(made[use.path])
  return leaves, channels


def _layout(
  draft: draft_lib.Draft, use: draft_lib.Use
) -> tuple[str, tuple[tuple[str, int], ...], tuple[int, ...]]:
  """Layout, sizes of its factors, sizes of its channels."""
  ends = _ends(use)
  axes = [axes_lib.resolve(axis) for axis in draft.leaf_axes[use.path]]
  for end, atoms in ends.items():
    stored = tuple(a for axis in axes for a in axis if a in atoms)
    if stored != atoms:
      raise ValueError(
        f'leaf {use.path!r} stores the {end} neurons of {use.fills.name!r} in '
        'another order than the layers around it; transpose the leaf.'
      )
  tokens = _name_ends(_runs(axes, ends), ends)
  _place_single(tokens, [end for end in ends if not ends[end]], use)
  _name_channels(tokens, use)
  sizes = tuple(t for axis in tokens for t in axis if t[0] not in ends)
  channels = tuple(n for name, n in sizes if n > 1 and not _is_end(name))
  words = [' '.join(name for name, _ in axis) for axis in tokens]
  layout = ' '.join(
    f'({word})' if len(axis) > 1 else word
    for word, axis in zip(words, tokens, strict=True)
  )
  return layout, sizes, channels


def _ends(use: draft_lib.Use) -> dict[str, axes_lib.Axis]:
  """The atoms of the sets at the ends of what a leaf fills."""
  fills = use.fills
  if isinstance(fills, draft_lib.Layer):
    return {'target': axes_lib.resolve(fills.atoms or ())}
  target = axes_lib.resolve(fills.target.atoms or ())
  if fills.kind == 'diagonal':
    return {'target': target}
  return {
    'source': axes_lib.resolve(fills.source.atoms or ()),
    'target': target,
  }


def _runs(
  axes: Sequence[axes_lib.Axis], ends: dict[str, axes_lib.Axis]
) -> list[list[tuple[str, int]]]:
  """Joins neighbouring atoms of one set; '' stands for a channel."""
  runs = []
  for axis in axes:
    found: list[tuple[str, int]] = []
    for atom in axis:
      end = next((e for e, atoms in ends.items() if atom in atoms), '')
      if end and found and found[-1][0] == end:
        found[-1] = (end, found[-1][1] * atom.size)
      else:
        found.append((end, atom.size))
    runs.append(found)
  return runs


def _name_ends(
  runs: list[list[tuple[str, int]]], ends: dict[str, axes_lib.Axis]
) -> list[list[tuple[str, int]]]:
  """Tells the factors of a set apart where it has several."""
  count = {end: sum(r[0] == end for axis in runs for r in axis) for end in ends}
  seen = dict.fromkeys(ends, 0)
  tokens = []
  for axis in runs:
    named = []
    for end, size in axis:
      name = end
      if end and count[end] > 1:
        number = seen[end]
        suffix = ('head', 'dim')[number] if count[end] == 2 else number
        name = f'{end}_{suffix}'
        seen[end] += 1
      named.append((name, size))
    tokens.append(named)
  return tokens


def _place_single(
  tokens: list[list[tuple[str, int]]], ends: list[str], use: draft_lib.Use
) -> None:
  """Gives sets of one neuron, which have no atoms, an axis of size 1."""
  for end in reversed(ends):
    if not tokens:
      raise ValueError(
        f'leaf {use.path!r} is a single number; give it an axis of neurons.'
      )
    empty = [axis for axis in tokens if not axis]
    (empty[-1] if empty else tokens[-1]).append((end, 1))


def _name_channels(
  tokens: list[list[tuple[str, int]]], use: draft_lib.Use
) -> None:
  """Names all other axes, those of size 1 too."""
  fills = use.fills
  layer = fills if isinstance(fills, draft_lib.Layer) else fills.target
  is_kernel = isinstance(fills, draft_lib.Edges) and fills.kernel is not None
  single = 0
  for axis in tokens:
    if not axis:
      axis.append(('', 1) if is_kernel else (f'one_{single}', 1))
      single += not is_kernel
  count = sum(name == '' for axis in tokens for name, _ in axis)
  words = [f'channel_{i}' for i in range(count)]
  if count == 2:
    words = ['kh', 'kw']
  elif count == 1:
    attends = layer.attends and use.kind != 'buffer'
    words = ['kw' if is_kernel else 'qkv' if attends else 'token']
  names = iter(words)
  for axis in tokens:
    axis[:] = [(name or next(names), size) for name, size in axis]


def _is_end(name: str) -> bool:
  return name.split('_')[0] in ('source', 'target')
