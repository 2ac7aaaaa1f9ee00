# SPDX-License-Identifier: Apache-2.0
"""Elementwise operations: activations, normalisation, biases and scales."""

from collections.abc import Sequence
import dataclasses

import numpy as np

from ng_jax.specs.inference import axes as axes_lib
from ng_jax.specs.inference import context as context_lib
from ng_jax.specs.inference import curves
from ng_jax.specs.inference import program as program_lib
from ng_jax.specs.inference import residual
from ng_jax.specs.inference import shifts
from ng_jax.specs.inference import values as values_lib

# Those that keep a parameter a parameter: scales and shifts by constants.
_LINEAR = (
  'add', 'add_any', 'convert_element_type', 'copy', 'copy_p', 'div', 'mul',
  'neg', 'reduce_precision', 'stop_gradient', 'sub',
)  # fmt: skip
# Those that leave zeros zero, so that padded neurons stay padding.
_KEEP_ZEROS = (
  'convert_element_type', 'copy', 'copy_p', 'div', 'mul', 'neg',
  'reduce_precision', 'stop_gradient',
)  # fmt: skip


def apply(
  step: program_lib.Step,
  values: Sequence[values_lib.Value],
  context: context_lib.Context,
) -> values_lib.Value:
  """Reads an elementwise step.

  Args:
    step: its primitive is a key of `curves.FUNCTIONS`.
    values: its operands, not all of them constants.
    context: of the reading.

  Returns:
    The result. Jit: static.

  Raises:
    Unsupported: it combines what may not be combined.
  """
  activations = [v for v in values if isinstance(v, values_lib.Activation)]
  parameters = [v for v in values if isinstance(v, values_lib.Parameter)]
  if len({id(v.layer) for v in activations}) > 1:
    if step.name not in ('add', 'add_any', 'scatter-add'):
      names = [v.layer.name for v in activations]
      raise axes_lib.Unsupported(
        f'it combines neurons of two layers, {names}, other than by addition'
      )
    return residual.add(activations[0], activations[1], context)
  if activations and parameters:
    if step.name == 'mul' and _is_spread(activations[0]):
      # Statistics of single neurons, as InstanceNorm has.
      joined = _joined_axes(step, values)
      return dataclasses.replace(parameters[0], axes=joined, scaled=True)
    return shifts.combine(step, values, context)
  if activations:
    return _within_layer(step, values, activations)
  if parameters:
    return _parameters(step, values, parameters)
  return _statistics(step, values)


def _is_spread(value: values_lib.Activation) -> bool:
  """Whether it is a spread over places, 1 / sqrt(variance), and no pooling."""
  return value.pooled and value.settle().activation == 'other'


def _joined_axes(
  step: program_lib.Step, values: Sequence[values_lib.Value]
) -> tuple[axes_lib.Axis, ...]:
  axes: list[axes_lib.Axis] = [() for _ in step.shapes[0]]
  for value in values:
    if not isinstance(value, values_lib.Constant):
      for i, axis in enumerate(value.axes):
        axes[i] = axes_lib.unify(axes[i], axis)
  for value in values:
    if isinstance(value, values_lib.Constant):
      axes = _add_constant_axes(axes, np.shape(value.array))
  return tuple(axes)


def _add_constant_axes(
  axes: list[axes_lib.Axis], shape: tuple[int, ...]
) -> list[axes_lib.Axis]:
  """Axes along which only a constant varies are space."""
  if not shape:
    return axes
  return [
    axis or axes_lib.new_axis(size, axes_lib.SPACE)
    for axis, size in zip(axes, shape, strict=True)
  ]


def _varies(
  value: values_lib.Constant, axes: tuple[axes_lib.Axis, ...]
) -> bool:
  """Whether a constant changes along an axis that runs over neurons."""
  if value.scalar is not None:
    return False
  array = np.asarray(value.array)
  for i, axis in enumerate(axes):
    if any(a.kind == axes_lib.NEURON for a in axes_lib.resolve(axis)):
      if np.any(array != np.take(array, [0], axis=i)):
        return True
  return False


def _within_layer(
  step: program_lib.Step,
  values: Sequence[values_lib.Value],
  activations: list[values_lib.Activation],
) -> values_lib.Activation:
  """Functions of one layer, of its statistics and of constants."""
  first = activations[0]
  shown = (first.part, first.visible)
  if any((v.part, v.visible) != shown for v in activations):
    raise axes_lib.Unsupported(
      f'it combines different parts of the layer {first.layer.name!r}'
    )
  axes = _joined_axes(step, values)
  length = axes_lib.length(first.neurons)
  if (first.visible or length) < length and step.name not in _KEEP_ZEROS:
    raise axes_lib.Unsupported('it is applied to neurons padded with zeros')
  constants = [v for v in values if isinstance(v, values_lib.Constant)]
  if any(_varies(v, axes) for v in constants) and first.layer.role != 'input':
    first.layer.fixed = f'a constant of {step.name!r} tells them apart'
  full = [v for v in activations if not v.pooled] or activations
  simple = (
    len(activations) + len(constants) == len(values)
    and len(full) == len(activations)
    and len({id(v.base) for v in activations}) == 1
    and all(v.scalar is not None for v in constants)
  )
  if simple:
    return _piece(step, values, activations, axes)
  names = {v.settle().activation for v in full} if len(full) > 1 else set()
  mixed = len({id(v.base) for v in full}) > 1 and len(full) > 1
  result = full[0].settle()
  activation = 'other' if mixed and names else result.activation
  return dataclasses.replace(result, axes=axes, activation=activation)


def _piece(
  step: program_lib.Step,
  values: Sequence[values_lib.Value],
  activations: list[values_lib.Activation],
  axes: tuple[axes_lib.Axis, ...],
) -> values_lib.Activation:
  """Continues the unary function of a layer's values."""
  first = activations[0]
  curve = curves.evaluate(
    step.name,
    step.params,
    [
      v.curve if isinstance(v, values_lib.Activation) else _number(v)
      for v in values
    ],
  )
  affine = curve.dtype != bool and curves.is_affine(curve)
  result = dataclasses.replace(
    first,
    axes=axes,
    curve=curve,
    is_open=affine and all(v.is_open for v in activations),
  )
  if affine and first.curve is curves.GRID and not first.is_shared:
    # Scales and shifts of what nothing else reads are no activation function.
    return dataclasses.replace(result, curve=curves.GRID, base=object())
  return result


def _number(value: values_lib.Value) -> np.ndarray:
  array = value.array if isinstance(value, values_lib.Constant) else np.nan
  return np.asarray(array).reshape(-1)[0]


def _parameters(
  step: program_lib.Step,
  values: Sequence[values_lib.Value],
  parameters: list[values_lib.Parameter],
) -> values_lib.Parameter:
  """Functions of leaves, such as the factor 1 / sqrt(variance) * scale."""
  leaves = tuple(dict.fromkeys(path for p in parameters for path in p.leaves))
  statistics = frozenset[str]().union(*(p.statistics for p in parameters))
  others = [v for v in values if isinstance(v, values_lib.Statistic)]
  if others and step.name not in ('mul', 'div'):
    raise axes_lib.Unsupported(
      'it combines a parameter with statistics or attention scores other than '
      f'by multiplication; leaves: {list(leaves)}'
    )
  for value in values:
    if isinstance(value, values_lib.Constant) and value.scalar is None:
      raise axes_lib.Unsupported(
        f'it combines a parameter with a constant array; leaves: {list(leaves)}'
      )
  if step.name not in _LINEAR:
    statistics |= frozenset(leaves)
  if step.name == 'div' and isinstance(values[1], values_lib.Parameter):
    statistics |= frozenset(values[1].leaves)
  return values_lib.Parameter(
    _joined_axes(step, values),
    leaves,
    statistics,
    scaled=bool(others) or any(p.scaled for p in parameters),
  )


def _statistics(
  step: program_lib.Step, values: Sequence[values_lib.Value]
) -> values_lib.Statistic:
  """Functions of statistics: variances, softmax."""
  axes = _joined_axes(step, values)
  for value in values:
    if isinstance(value, values_lib.Constant) and _varies(value, axes):
      raise axes_lib.Unsupported(
        'it combines a constant that differs between groups of neurons'
      )
  scores = [
    v.scores
    for v in values
    if isinstance(v, values_lib.Statistic) and v.scores is not None
  ]
  return values_lib.Statistic(axes, scores[0] if scores else None)
