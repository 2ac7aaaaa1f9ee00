# SPDX-License-Identifier: Apache-2.0
"""Leaves that meet activations one to one: biases, scales, statistics."""

from collections.abc import Sequence
import dataclasses

from ng_jax.specs.inference import axes as axes_lib
from ng_jax.specs.inference import context as context_lib
from ng_jax.specs.inference import curves
from ng_jax.specs.inference import draft as draft_lib
from ng_jax.specs.inference import program as program_lib
from ng_jax.specs.inference import values as values_lib


def combine(
  step: program_lib.Step,
  values: Sequence[values_lib.Value],
  context: context_lib.Context,
) -> values_lib.Activation:
  """Reads a product or sum of an activation and a parameter.

  Args:
    step: elementwise.
    values: its operands, one layer and a parameter among them.
    context: of the reading.

  Returns:
    The result: the same set, shifted, or a new one behind a scale. Jit: static.

  Raises:
    Unsupported: another operation, or a leaf that has no neuron axis.
  """
  symmetric = ('add', 'add_any', 'mul')
  x, p = values[0], values[-1]
  if isinstance(x, values_lib.Parameter) and step.name in symmetric:
    x, p = p, x
  if not (
    len(values) == 2
    and isinstance(x, values_lib.Activation)
    and isinstance(p, values_lib.Parameter)
    and step.name in (*symmetric, 'sub', 'div')
  ):
    raise axes_lib.Unsupported(
      'it combines a layer with leaves other than by x + leaf, x - leaf, '
      f'x * leaf or x / leaf; leaves: {_leaves(values)}'
    )
  context.require_whole(x)
  if step.name in ('sub', 'div'):
    # What is subtracted and divided by are running statistics.
    p = dataclasses.replace(p, statistics=frozenset(p.leaves))
  if step.name in ('sub', 'add', 'add_any'):
    return add_leaves(x, p, context)
  x = dataclasses.replace(x, axes=_lay_over(x, p, context))
  return _scale(x, p, context)


def add_leaves(
  x: values_lib.Activation,
  p: values_lib.Parameter,
  context: context_lib.Context,
  *,
  are_tokens: bool = False,
) -> values_lib.Activation:
  """Reads x + p: biases, position embeddings, running means.

  Args:
    x: a layer.
    p: of the same shape, up to axes of size 1.
    context: of the reading.
    are_tokens: whether the leaves stand where activations could.

  Returns:
    Values of the same set, or of one behind skip edges if something else reads
    the set too. Jit: static.

  Raises:
    Unsupported: a leaf without a neuron axis, or used already.
  """
  x = dataclasses.replace(x, axes=_lay_over(x, p, context))
  if p.scaled:
    raise axes_lib.Unsupported(
      f'it adds leaves {list(p.leaves)} that were multiplied by activations'
    )
  known = context.draft.buffers | p.statistics
  if set(p.leaves) <= known:
    _claim(p, x.layer, context, are_tokens=are_tokens)
    return x
  if not (x.is_open and x.is_plain):
    x = _identity_layer(x, p.leaves[0], context)
  _claim(p, x.layer, context, are_tokens=are_tokens)
  return dataclasses.replace(x, curve=curves.GRID, base=object())


def _claim(
  p: values_lib.Parameter,
  layer: draft_lib.Layer,
  context: context_lib.Context,
  *,
  are_tokens: bool,
) -> None:
  """Uses leaves as biases or statistics of a set."""
  neurons = axes_lib.resolve(layer.atoms or ())
  for path in p.leaves:
    atoms = [
      atom
      for axis in context.draft.leaf_axes[path]
      for atom in axes_lib.resolve(axis)
    ]
    plain = set(atoms) <= set(neurons) and not are_tokens
    kind = 'node' if plain else context.token_kind
    if path in p.statistics or path in context.draft.buffers:
      kind = 'buffer'
    context.draft.claim(path, kind, layer)


def _leaves(values: Sequence[values_lib.Value]) -> list[str]:
  return [
    path
    for value in values
    if isinstance(value, values_lib.Parameter)
    for path in value.leaves
  ]


def _lay_over(
  x: values_lib.Activation,
  p: values_lib.Parameter,
  context: context_lib.Context,
) -> tuple[axes_lib.Axis, ...]:
  """Common axes; every leaf must have the neurons of the layer."""
  if len(p.axes) != len(x.axes):
    raise axes_lib.Unsupported(
      f'leaves {list(p.leaves)} are single numbers, not one per neuron'
    )
  for path in p.leaves:
    context.draft.require_unused(path)
  context.locate_input(x, x.axes[-1])
  axes = tuple(
    axes_lib.unify(a, b) for a, b in zip(x.axes, p.axes, strict=True)
  )
  neurons = set(axes_lib.resolve(x.layer.atoms or ()))
  for path in p.leaves:
    atoms = {
      atom
      for axis in context.draft.leaf_axes[path]
      for atom in axes_lib.resolve(axis)
    }
    if not neurons <= atoms:
      raise axes_lib.Unsupported(
        f'leaf {path!r} does not have one entry per neuron of the layer '
        f'{x.layer.name!r}'
      )
  return axes


def _identity_layer(
  x: values_lib.Activation, path: str, context: context_lib.Context
) -> values_lib.Activation:
  """A set behind skip edges, for a bias after an activation function."""
  draft = context.draft
  x = context.read(x)
  name = draft.layer_of_leaf(path)
  layer = draft.add_layer(name, x.layer.atoms, x.layer.size)
  draft.add_edges(
    draft_lib.Edges(
      f'{name}_skip', x.layer, x.activation, layer, 'diagonal', 'skip'
    )
  )
  return values_lib.Activation(x.axes, layer)


def _scale(
  x: values_lib.Activation,
  p: values_lib.Parameter,
  context: context_lib.Context,
) -> values_lib.Activation:
  draft = context.draft
  known = draft.buffers | p.statistics
  scales = [path for path in p.leaves if path not in known]
  if len(scales) > 1:
    raise axes_lib.Unsupported(f'it multiplies the leaves {scales}')
  for path in p.leaves:
    if path in known:
      draft.claim(path, 'buffer', x.layer)
  if not scales:
    return x.settle()
  x = context.read(x)
  name = draft.layer_of_leaf(scales[0])
  layer = draft.add_layer(name, x.layer.atoms, x.layer.size)
  edges = draft.add_edges(
    draft_lib.Edges(name, x.layer, x.activation, layer, 'diagonal', 'norm')
  )
  draft.claim(scales[0], 'edge', edges)
  return values_lib.Activation(x.axes, layer)
