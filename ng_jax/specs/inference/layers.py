# SPDX-License-Identifier: Apache-2.0
"""Layers with weights: matrix products and convolutions."""

from collections.abc import Sequence
import dataclasses

from ng_jax.specs.inference import attention
from ng_jax.specs.inference import axes as axes_lib
from ng_jax.specs.inference import context as context_lib
from ng_jax.specs.inference import draft as draft_lib
from ng_jax.specs.inference import program as program_lib
from ng_jax.specs.inference import values as values_lib


def dot(
  step: program_lib.Step,
  values: Sequence[values_lib.Value],
  context: context_lib.Context,
) -> values_lib.Value:
  """Reads a dot_general: a layer, a step of attention, or a map of space.

  Args:
    step: the primitive 'dot_general'.
    values: its two operands.
    context: of the reading.

  Returns:
    Values of a new set, attention scores, or the same set at other places.
    Jit: static.

  Raises:
    Unsupported: any other product.
  """
  (contract, batch) = step.params['dimension_numbers']
  sides = [
    attention.Side(value, tuple(contract[i]), tuple(batch[i]))
    for i, value in enumerate(values)
  ]
  layers = [s for s in sides if isinstance(s.value, values_lib.Activation)]
  others = [s for s in sides if s not in layers]
  if len(layers) == 2:
    return attention.scores(sides)
  if len(layers) == 1:
    other = others[0].value
    if isinstance(other, values_lib.Parameter):
      return _dense(sides, layers[0], others[0], context)
    if isinstance(other, values_lib.Statistic):
      return attention.weighted_values(sides, layers[0], others[0], context)
    return _map_space(sides, layers[0])
  leaves = [
    path
    for s in sides
    if isinstance(s.value, values_lib.Parameter)
    for path in s.value.leaves
  ]
  raise axes_lib.Unsupported(
    f'it multiplies no layer of neurons; leaves: {leaves}'
  )


def require_kernel(
  value: values_lib.Parameter, context: context_lib.Context
) -> str:
  """The leaf that a layer's weights are.

  Args:
    value: of the weights.
    context: of the reading.

  Returns:
    Its path. Jit: static.

  Raises:
    Unsupported: the weights are computed from several leaves or normalised, or
      used already.
  """
  if len(value.leaves) != 1 or value.statistics or value.scaled:
    raise axes_lib.Unsupported(
      f'its weights must be one leaf as it is, but they are computed from '
      f'{list(value.leaves)}'
    )
  context.draft.require_unused(value.leaves[0])
  return value.leaves[0]


def _dense(
  sides: list[attention.Side],
  layer: attention.Side,
  kernel: attention.Side,
  context: context_lib.Context,
) -> values_lib.Activation:
  x, w = layer.value, kernel.value
  path = require_kernel(w, context)
  if any(axes_lib.resolve(x.axes[i]) for i in layer.batch):
    raise axes_lib.Unsupported(
      f'leaf {path!r} has weights of its own for each place or group of '
      'neurons; grouped layers are not supported'
    )
  context.require_whole(x)
  read = tuple(a for i in layer.contract for a in axes_lib.resolve(x.axes[i]))
  context.locate_input(x, read)
  _require_all(x, read, path)
  for i, j in zip(layer.contract, kernel.contract, strict=True):
    axes_lib.unify(x.axes[i], w.axes[j])
  return _new_layer(x, path, sides, kernel, context)


def _require_all(
  x: values_lib.Activation, read: axes_lib.Axis, path: str
) -> None:
  read = axes_lib.resolve(read)
  missing = [a for a in x.neurons if a not in read]
  if missing or (not x.neurons and x.layer.size > 1):
    raise axes_lib.Unsupported(
      f'leaf {path!r} mixes places (pixels, tokens) or groups of neurons, not '
      f'all neurons of {x.layer.name!r}'
    )


def _new_layer(
  x: values_lib.Activation,
  path: str,
  sides: list[attention.Side],
  kernel: attention.Side,
  context: context_lib.Context,
) -> values_lib.Activation:
  draft = context.draft
  x = context.read(x)
  atoms = tuple(
    a for i in kernel.free for a in axes_lib.resolve(kernel.value.axes[i])
  )
  for atom in atoms:
    atom.kind = axes_lib.NEURON
  name = draft.layer_of_leaf(path)
  layer = draft.add_layer(name, atoms, axes_lib.length(atoms))
  edges = draft.add_edges(draft_lib.Edges(name, x.layer, x.activation, layer))
  draft.claim(path, 'edge', edges)
  return values_lib.Activation(attention.product_axes(sides), layer)


def _map_space(
  sides: list[attention.Side], layer: attention.Side
) -> values_lib.Activation:
  """A constant matrix over space, as resizing an image has."""
  x = layer.value
  axes = []
  for side in sides:
    for i in side.free:
      if side is layer:
        axes.append(side.value.axes[i])
      else:
        size = side.value.array.shape[i]
        axes.append(axes_lib.new_axis(size, axes_lib.SPACE))
  touched = [x.axes[i] for i in (*layer.contract, *layer.batch)]
  atoms = [a for axis in touched for a in axes_lib.resolve(axis)]
  if any(atom.kind == axes_lib.NEURON for atom in atoms):
    raise axes_lib.Unsupported(
      f'it multiplies the neurons of {x.layer.name!r} by a constant matrix'
    )
  before = [x.axes[i] for i in layer.batch]
  return dataclasses.replace(x.settle(), axes=(*before, *axes))


def convolve(
  step: program_lib.Step,
  values: Sequence[values_lib.Value],
  context: context_lib.Context,
) -> values_lib.Activation:
  """Reads a convolution.

  Args:
    step: the primitive 'conv_general_dilated'.
    values: image and kernel.
    context: of the reading.

  Returns:
    Values of a new set. Jit: static.

  Raises:
    Unsupported: grouped or depthwise, in more than two dimensions, or not of a
      layer and a leaf.
  """
  x, w = values
  if not isinstance(x, values_lib.Activation) or not isinstance(
    w, values_lib.Parameter
  ):
    raise axes_lib.Unsupported('it must convolve a layer with a leaf')
  path = require_kernel(w, context)
  groups = step.params['feature_group_count'] * step.params['batch_group_count']
  if groups > 1:
    raise axes_lib.Unsupported(
      f'leaf {path!r} is a grouped or depthwise convolution of {groups} groups'
    )
  numbers = step.params['dimension_numbers']
  batch, feature, *space = numbers.lhs_spec
  kernel_out, kernel_in, *kernel_space = numbers.rhs_spec
  if len(space) > 2:
    raise axes_lib.Unsupported(
      f'leaf {path!r} is a convolution in {len(space)} dimensions'
    )
  context.require_whole(x)
  context.locate_input(x, x.axes[feature])
  if axes_lib.resolve(x.axes[feature]) != x.neurons:
    raise axes_lib.Unsupported(
      f'leaf {path!r} does not convolve over the neurons of {x.layer.name!r} '
      'and nothing else'
    )
  axes_lib.unify(x.axes[feature], w.axes[kernel_in])
  sizes = [axes_lib.length(w.axes[i]) for i in sorted(kernel_space)]
  result = _new_convolved(x, path, w.axes[kernel_out], sizes, context)
  out_batch, out_feature, *out_space = numbers.out_spec
  axes: list[axes_lib.Axis] = [() for _ in step.shapes[0]]
  axes[out_batch] = x.axes[batch]
  axes[out_feature] = result.layer.atoms or ()
  for i in out_space:
    axes[i] = axes_lib.new_axis(step.shapes[0][i], axes_lib.SPACE)
  return dataclasses.replace(result, axes=tuple(axes))


def _new_convolved(
  x: values_lib.Activation,
  path: str,
  target: axes_lib.Axis,
  sizes: list[int],
  context: context_lib.Context,
) -> values_lib.Activation:
  draft = context.draft
  x = context.read(x)
  atoms = axes_lib.resolve(target)
  for atom in atoms:
    atom.kind = axes_lib.NEURON
  name = draft.layer_of_leaf(path)
  layer = draft.add_layer(name, atoms, axes_lib.length(atoms))
  kernel = (1, *sizes)[-2:]
  edges = draft_lib.Edges(
    name, x.layer, x.activation, layer, 'dense', 'conv', (kernel[0], kernel[1])
  )
  draft.claim(path, 'edge', draft.add_edges(edges))
  return values_lib.Activation((), layer)
