# SPDX-License-Identifier: Apache-2.0
"""Operations that move, drop or repeat entries and compute nothing."""

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

from ng_jax.specs.inference import axes as axes_lib
from ng_jax.specs.inference import program as program_lib
from ng_jax.specs.inference import values as values_lib

_Axes = tuple[axes_lib.Axis, ...]


def _with_axes(value: Any, axes: Sequence[axes_lib.Axis]) -> Any:
  return dataclasses.replace(value, axes=tuple(axes))


def _reshape(step: program_lib.Step, value: Any) -> Any:
  atoms = tuple(atom for axis in value.axes for atom in axis)
  return _with_axes(value, axes_lib.regroup(atoms, step.shapes[0]))


def _transpose(step: program_lib.Step, value: Any) -> Any:
  return _with_axes(value, [value.axes[i] for i in step.params['permutation']])


def _broadcast(step: program_lib.Step, value: Any) -> Any:
  axes = [
    axes_lib.new_axis(size, axes_lib.BROADCAST) for size in step.shapes[0]
  ]
  for i, axis in zip(
    step.params['broadcast_dimensions'], value.axes, strict=True
  ):
    axes[i] = axes_lib.resolve(axis) or axes[i]
  return _with_axes(value, axes)


def _squeeze(step: program_lib.Step, value: Any) -> Any:
  dropped = {i % len(value.axes) for i in step.params['dimensions']}
  return _with_axes(
    value, [axis for i, axis in enumerate(value.axes) if i not in dropped]
  )


def _expand(step: program_lib.Step, value: Any) -> Any:
  axes = list(value.axes)
  for i in sorted(step.params['dimensions']):
    axes.insert(i, ())
  return _with_axes(value, axes)


def _reverse(step: program_lib.Step, value: Any) -> Any:
  if isinstance(value, values_lib.Parameter):
    return value  # A flipped kernel, as transposed convolutions have.
  axes = list(value.axes)
  for i in step.params['dimensions']:
    axes[i] = _new_places(axes[i], axes_lib.length(axes[i]))
  return _with_axes(value, axes)


def _tile(step: program_lib.Step, value: Any) -> Any:
  axes = [
    (*axes_lib.new_axis(count, axes_lib.BROADCAST), *axis)
    for count, axis in zip(step.params['reps'], value.axes, strict=True)
  ]
  return _with_axes(value, axes)


def _new_places(axis: axes_lib.Axis, size: int) -> axes_lib.Axis:
  """An axis whose places are no longer those of another array."""
  if any(a.kind == axes_lib.NEURON for a in axes_lib.resolve(axis)):
    raise axes_lib.Unsupported('it moves or cuts neurons of a layer')
  return axes_lib.new_axis(size, axes_lib.SPACE)


_RULES: dict[str, Callable[[program_lib.Step, Any], Any]] = {
  'broadcast_in_dim': _broadcast,
  'expand_dims': _expand,
  'reshape': _reshape,
  'rev': _reverse,
  'squeeze': _squeeze,
  'tile': _tile,
  'transpose': _transpose,
}
NAMES = (*_RULES, 'slice', 'split', 'unstack')


def apply(
  step: program_lib.Step, value: values_lib.Value
) -> list[values_lib.Value]:
  """Reads a step that changes the shape of one array.

  Args:
    step: its primitive is one of `NAMES`.
    value: the array, no constant.

  Returns:
    One value per output of the step. Jit: static.

  Raises:
    Unsupported: it cuts an axis of neurons where it may not be cut.
  """
  if step.name == 'slice':
    return [_slice(step, value)]
  if step.name == 'split':
    return _split(step, value)
  if step.name == 'unstack':
    return _unstack(step, value)
  return [_RULES[step.name](step, value)]


def _slice(step: program_lib.Step, value: Any) -> Any:
  starts = step.params['start_indices']
  limits = step.params['limit_indices']
  strides = step.params['strides'] or (1,) * len(starts)
  for i, (start, limit, stride) in enumerate(
    zip(starts, limits, strides, strict=True)
  ):
    value = cut(value, i, start, limit, stride)
  return value


def _split(step: program_lib.Step, value: Any) -> list[Any]:
  parts = []
  start = 0
  for size in map(int, step.params['sizes']):
    parts.append(cut(value, step.params['axis'], start, start + size, 1))
    start += size
  return parts


def _unstack(step: program_lib.Step, value: Any) -> list[Any]:
  axis = step.params['axis'] % len(value.axes)
  parts = [cut(value, axis, i, i + 1, 1) for i in range(len(step.shapes))]
  return [
    _with_axes(part, [*part.axes[:axis], *part.axes[axis + 1 :]])
    for part in parts
  ]


def cut(value: Any, i: int, start: int, limit: int, stride: int) -> Any:
  """Takes entries start, start + stride, ... below limit of an axis.

  Args:
    value: no constant.
    i: number of the axis.
    start: first entry.
    limit: one past the last entry.
    stride: step between entries.

  Returns:
    The value with a shorter axis. Jit: static.

  Raises:
    Unsupported: a parameter is cut, or neurons otherwise than into equal parts
      or to the first few.
  """
  axis = axes_lib.resolve(value.axes[i])
  size = -((start - limit) // stride)
  if size == axes_lib.length(axis):
    return value
  if isinstance(value, values_lib.Parameter):
    raise axes_lib.Unsupported(
      f'it takes a part of the leaves {list(value.leaves)}'
    )
  axes = list(value.axes)
  if isinstance(value, values_lib.Activation) and any(
    atom.kind == axes_lib.NEURON for atom in axis
  ):
    return _cut_neurons(value, i, start, size, stride)
  axes[i] = _new_places(axis, size)
  return _with_axes(value, axes)


def _cut_neurons(
  value: values_lib.Activation, i: int, start: int, size: int, stride: int
) -> values_lib.Activation:
  axis = axes_lib.resolve(value.axes[i])
  total = axes_lib.length(axis)
  axes = list(value.axes)
  equal = total % size == 0 and start % size == 0
  if value.is_whole and stride == 1 and equal:
    outer, inner = axes_lib.regroup(axis, (total // size, size))
    if len(outer) == 1:
      axes[i] = inner
      return dataclasses.replace(
        value, axes=tuple(axes), part=(outer[0], start // size)
      )
  if value.is_whole and stride == 1 and start == 0 and axis == value.neurons:
    axes[i] = axes_lib.new_axis(size, axes_lib.NEURON)
    return dataclasses.replace(value, axes=tuple(axes), visible=size)
  raise axes_lib.Unsupported(
    f'it takes neurons {start} to {start + size} of the {total} of the layer '
    f'{value.layer.name!r}'
  )
