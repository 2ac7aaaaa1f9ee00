# SPDX-License-Identifier: Apache-2.0
"""Sums of two layers: skip connections, whole or on the first channels."""

from ng_jax.specs.inference import axes as axes_lib
from ng_jax.specs.inference import context as context_lib
from ng_jax.specs.inference import draft as draft_lib
from ng_jax.specs.inference import values as values_lib


def add(
  x: values_lib.Activation,
  y: values_lib.Activation,
  context: context_lib.Context,
) -> values_lib.Activation:
  """Reads x + y as skip edges.

  Where one of the two is the fresh output of a layer, the other skips into that
  layer's set (paper, section 2.2, residual connections); otherwise both skip
  into a set of their own.

  Args:
    x: of one set.
    y: of another.
    context: of the reading.

  Returns:
    The sum, as values of the set where the skips end. Jit: static.

  Raises:
    Unsupported: their axes do not lie over each other neuron by neuron.
  """
  for a, b in ((x, y), (y, x)):
    positions = values_lib.has_atoms(b.axes, b.neurons)
    context.locate_input(a, tuple(q for i in positions for q in a.axes[i]))
  # The later of two fresh layers receives; inputs never do.
  source, target = sorted([x, y], key=_rank)
  axes = _lay_over(source, target)
  if not target.is_whole:
    raise axes_lib.Unsupported(
      'it adds parts of layers, and neither is a whole layer'
    )
  if not _receives(target):
    target = _new_sum(target, context)
  _skip(source, target.layer, context)
  return values_lib.Activation(axes, target.layer)


def _receives(value: values_lib.Activation) -> bool:
  return (
    value.is_open
    and value.is_plain
    and value.is_whole
    and value.layer.role != 'input'
  )


def _rank(value: values_lib.Activation) -> tuple[bool, bool, int]:
  return value.is_whole, _receives(value), value.layer.number


def _new_sum(
  value: values_lib.Activation, context: context_lib.Context
) -> values_lib.Activation:
  layer = context.draft.add_layer('sum', value.layer.atoms, value.layer.size)
  _skip(value, layer, context)
  return values_lib.Activation(value.axes, layer)


def _skip(
  source: values_lib.Activation,
  target: draft_lib.Layer,
  context: context_lib.Context,
) -> None:
  visible = source.layer.size
  if source.visible is not None:
    visible = source.visible
  elif source.part is not None:
    visible = axes_lib.length(source.neurons) if source.part[1] == 0 else 0
  if visible != min(source.layer.size, target.size):
    raise axes_lib.Unsupported(
      f'a skip must join the first channels of {source.layer.name!r} and '
      f'{target.name!r}, as many as both have, '
      f'{min(source.layer.size, target.size)}'
    )
  source = context.read(source)
  context.draft.add_edges(
    draft_lib.Edges(
      f'{source.layer.name}_to_{target.name}',
      source.layer,
      source.activation,
      target,
      'diagonal',
      'skip',
    )
  )


def _lay_over(
  source: values_lib.Activation, target: values_lib.Activation
) -> tuple[axes_lib.Axis, ...]:
  """Axes of the sum; neurons must meet neurons, in the order of their sets."""
  axes = []
  pairs = []
  for a, b in zip(source.axes, target.axes, strict=True):
    if not axes_lib.resolve(a) or not axes_lib.resolve(b):
      axes.append(axes_lib.resolve(a) or axes_lib.resolve(b))
      continue
    axis: list[axes_lib.Atom] = []
    for p, q in axes_lib.align(a, b):
      if axes_lib.NEURON in (p.kind, q.kind):
        pairs.append((p, q))
        axis.append(q)
      else:
        axis += axes_lib.unify((p,), (q,))
    axes.append(tuple(axis))
  expected = set(zip(source.neurons, target.neurons, strict=False))
  count = max(len(source.neurons), len(target.neurons))
  if set(pairs) != expected or len(pairs) != count:
    raise axes_lib.Unsupported(
      f'it adds {source.layer.name!r} and {target.layer.name!r}, whose neurons '
      'do not lie over each other'
    )
  return tuple(axes)
