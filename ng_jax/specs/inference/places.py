# SPDX-License-Identifier: Apache-2.0
"""Operations over space: reductions, pooling, padding, more tokens."""

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from ng_jax.specs.inference import axes as axes_lib
from ng_jax.specs.inference import context as context_lib
from ng_jax.specs.inference import program as program_lib
from ng_jax.specs.inference import shifts
from ng_jax.specs.inference import values as values_lib

REDUCTIONS = ('reduce_sum', 'reduce_max', 'reduce_min', 'reduce_prod')
POOLING = (
  'reduce_window_max',
  'reduce_window_min',
  'reduce_window_sum',
  'reduce_window',
)


def reduce(step: program_lib.Step, value: Any) -> values_lib.Value:
  """Reads a reduction: pooling over space, statistics over neurons.

  Args:
    step: one of `REDUCTIONS`.
    value: no constant.

  Returns:
    Values of the same set, or a statistic of it. Jit: static.

  Raises:
    Unsupported: a reduced parameter, or groups of neurons that interleave.
  """
  reduced = {i % len(value.axes) for i in step.params['axes']}
  axes = tuple(a for i, a in enumerate(value.axes) if i not in reduced)
  if isinstance(value, values_lib.Parameter):
    raise axes_lib.Unsupported(f'it reduces the leaves {list(value.leaves)}')
  if isinstance(value, values_lib.Statistic):
    return dataclasses.replace(value, axes=axes)
  neurons = value.neurons
  over = values_lib.has_atoms(value.axes, neurons)
  if not reduced & set(over):
    return dataclasses.replace(value.settle(), axes=axes, pooled=True)
  if not value.is_whole:
    raise axes_lib.Unsupported(
      f'it reduces a part of the neurons of {value.layer.name!r}'
    )
  kept = [a for axis in axes for a in axes_lib.resolve(axis) if a in neurons]
  if kept:
    if tuple(kept) != neurons[: len(kept)]:
      raise axes_lib.Unsupported(
        f'it reduces groups of neurons of {value.layer.name!r} that interleave'
      )
    value.layer.restrict(axes_lib.length(tuple(kept)))
  return values_lib.Statistic(axes)


def pool(step: program_lib.Step, value: Any) -> values_lib.Value:
  """Reads pooling over windows.

  Args:
    step: one of `POOLING`.
    value: no constant.

  Returns:
    Values of the same set at other places. Jit: static.

  Raises:
    Unsupported: a window over neurons, or over a parameter.
  """
  if isinstance(value, values_lib.Parameter):
    raise axes_lib.Unsupported(f'it pools the leaves {list(value.leaves)}')
  axes = list(value.axes)
  for i, size in enumerate(step.shapes[0]):
    window = step.params['window_dimensions'][i]
    if window > 1 or step.params['window_strides'][i] > 1:
      if any(a.kind == axes_lib.NEURON for a in axes_lib.resolve(axes[i])):
        raise axes_lib.Unsupported('its windows reach over neurons')
      axes[i] = axes_lib.new_axis(size, axes_lib.SPACE)
  if isinstance(value, values_lib.Activation):
    value = value.settle()
  return dataclasses.replace(value, axes=tuple(axes))


def pad(
  step: program_lib.Step, value: Any, filling: values_lib.Value
) -> values_lib.Value:
  """Reads padding: of images with anything, of neurons with zeros behind.

  Args:
    step: the primitive 'pad'.
    value: what is padded, no constant.
    filling: what it is padded with.

  Returns:
    Values of the same set. Jit: static.

  Raises:
    Unsupported: neurons padded with something else, or before.
  """
  for i, (low, high, inner) in enumerate(step.params['padding_config']):
    if (low, high, inner) == (0, 0, 0):
      continue
    size = step.shapes[0][i]
    axis = axes_lib.resolve(value.axes[i])
    zero = isinstance(filling, values_lib.Constant) and filling.scalar == 0
    if any(atom.kind == axes_lib.NEURON for atom in axis):
      if low or inner or not zero:
        raise axes_lib.Unsupported(
          'it pads neurons otherwise than with zeros behind them'
        )
      value = _pad_neurons(value, i, size)
    else:
      axes = list(value.axes)
      axes[i] = axes_lib.new_axis(size, axes_lib.SPACE)
      value = dataclasses.replace(value, axes=tuple(axes))
  return value


def pad_update(
  step: program_lib.Step, values: Sequence[values_lib.Value]
) -> values_lib.Value:
  """Reads x.at[..., :n].add(y): y, padded to the shape of x.

  Args:
    step: the primitive 'scatter-add'.
    values: x, the first index and y.

  Returns:
    What is added to x. Jit: static.

  Raises:
    Unsupported: y does not stand at the start of one axis of neurons.
  """
  x, index, y = values
  numbers = step.params['dimension_numbers']
  whole = (
    isinstance(index, values_lib.Constant)
    and not np.any(np.asarray(index.array))
    and not numbers.inserted_window_dims
    and not numbers.operand_batching_dims
    and isinstance(x, values_lib.Activation)
    and isinstance(y, values_lib.Activation)
    and len(x.axes) == len(y.axes)
  )
  if not whole or isinstance(y, values_lib.Constant):
    raise axes_lib.Unsupported(
      'it must add a layer to the first neurons of another'
    )
  result: Any = y
  for i, size in enumerate(step.shapes[0]):
    if axes_lib.length(result.axes[i]) != size:
      result = _pad_neurons(result, i, size)
  return result


def _pad_neurons(value: Any, i: int, size: int) -> values_lib.Activation:
  axis = axes_lib.resolve(value.axes[i])
  if not isinstance(value, values_lib.Activation) or axis != value.neurons:
    raise axes_lib.Unsupported('it pads an axis that is more than one layer')
  if value.part is not None and value.part[1] != 0:
    raise axes_lib.Unsupported('it pads neurons that are not the first ones')
  axes = list(value.axes)
  axes[i] = axes_lib.new_axis(size, axes_lib.NEURON)
  visible = value.visible or axes_lib.length(axis)
  return dataclasses.replace(
    value, axes=tuple(axes), visible=visible, part=None
  )


def concatenate(
  step: program_lib.Step,
  values: Sequence[values_lib.Value],
  context: context_lib.Context,
) -> values_lib.Value:
  """Reads joined arrays: more places of one layer, class tokens, zeros.

  Args:
    step: the primitive 'concatenate'.
    values: what is joined.
    context: of the reading.

  Returns:
    Values of the same set. Jit: static.

  Raises:
    Unsupported: neurons of two layers side by side.
  """
  i = step.params['dimension']
  size = step.shapes[0][i]
  activations = [v for v in values if isinstance(v, values_lib.Activation)]
  parameters = [v for v in values if isinstance(v, values_lib.Parameter)]
  if not activations or len(activations) + len(parameters) < sum(
    not isinstance(v, values_lib.Constant) for v in values
  ):
    raise axes_lib.Unsupported('it joins arrays that are not layers')
  first = activations[0]
  if any(v.layer is not first.layer for v in activations):
    raise axes_lib.Unsupported(
      f'it joins the layers {[v.layer.name for v in activations]}; their '
      'neurons would need a set of their own'
    )
  if any(a.kind == axes_lib.NEURON for a in axes_lib.resolve(first.axes[i])):
    if values[0] is first and all(_is_zero(v) for v in values[1:]):
      return _pad_neurons(first, i, size)
    raise axes_lib.Unsupported(
      f'it joins neurons of {first.layer.name!r} and something else'
    )
  for parameter in parameters:
    first = _join_tokens(first, parameter, i, context)
  axes = list(first.axes)
  axes[i] = axes_lib.new_axis(size, axes_lib.SPACE)
  names = {v.settle().activation for v in activations}
  if len(activations) > 1:
    first = first.settle()
  if len(names) > 1:
    first = dataclasses.replace(first, activation='other')
  return dataclasses.replace(first, axes=tuple(axes))


def _is_zero(value: values_lib.Value) -> bool:
  return isinstance(value, values_lib.Constant) and not np.any(
    np.asarray(value.array)
  )


def _join_tokens(
  x: values_lib.Activation,
  p: values_lib.Parameter,
  i: int,
  context: context_lib.Context,
) -> values_lib.Activation:
  """Leaves that stand where activations could: class tokens."""
  # Only the joined axis may differ; a sum of the two has the other axes.
  without = [() if j == i else axis for j, axis in enumerate(x.axes)]
  laid = dataclasses.replace(x, axes=tuple(without))
  shifted = shifts.add_leaves(laid, p, context, are_tokens=True)
  axes = list(shifted.axes)
  axes[i] = x.axes[i]
  return dataclasses.replace(shifted, axes=tuple(axes))
