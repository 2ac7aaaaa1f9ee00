# SPDX-License-Identifier: Apache-2.0
"""Reads a program step by step into a draft of its spec."""

from collections.abc import Sequence
import dataclasses

import jax
import numpy as np

from ng_jax.specs.inference import axes as axes_lib
from ng_jax.specs.inference import context as context_lib
from ng_jax.specs.inference import curves
from ng_jax.specs.inference import draft as draft_lib
from ng_jax.specs.inference import elementwise
from ng_jax.specs.inference import layers
from ng_jax.specs.inference import places
from ng_jax.specs.inference import program as program_lib
from ng_jax.specs.inference import shapes
from ng_jax.specs.inference import values as values_lib

_IDENTITIES = ('optimization_barrier', 'sharding_constraint', 'copy', 'copy_p')


def read(
  program: program_lib.Program,
  paths: Sequence[str],
  buffers: frozenset[str],
  *,
  token_kind: str = 'buffer',
) -> draft_lib.Draft:
  """Follows the neurons of a network through its program.

  Args:
    program: its inputs are the leaves, in order of `paths`, then the network's
      input.
    paths: of the leaves.
    buffers: those of them that are statistics.
    token_kind: as in `Context`.

  Returns:
    The draft; its last layer is the output. Jit: static.

  Raises:
    ValueError: names the operation that is not understood, and the leaf where
      one is known; or lists the leaves that the output does not depend on.
  """
  *leaf_numbers, x = program.inputs
  leaf_axes = {
    path: tuple(
      axes_lib.new_axis(size, axes_lib.FREE) for size in program.shapes[number]
    )
    for path, number in zip(paths, leaf_numbers, strict=True)
  }
  draft = draft_lib.Draft(leaf_axes, buffers)
  context = context_lib.Context(draft, token_kind)
  known: dict[int, values_lib.Value] = {
    number: values_lib.Constant(value)
    for number, value in program.constants.items()
  }
  for path, number in zip(paths, leaf_numbers, strict=True):
    known[number] = values_lib.Parameter(leaf_axes[path], (path,))
  known[x] = _input(x, program, draft)
  for step in program.steps:
    _read_step(step, known, program, context)
  _finish(known[program.outputs[0]], program, context)
  _check_input(draft.layers[0], known[x])
  _check_leaves(draft)
  return draft


def _input(
  number: int, program: program_lib.Program, draft: draft_lib.Draft
) -> values_lib.Activation:
  axes = tuple(
    axes_lib.new_axis(size, axes_lib.SPACE) for size in program.shapes[number]
  )
  layer = draft.add_layer('input', None, 1)
  layer.role = 'input'
  return values_lib.Activation(axes, layer, probe=(number, axes))


def _read_step(
  step: program_lib.Step,
  known: dict[int, values_lib.Value],
  program: program_lib.Program,
  context: context_lib.Context,
) -> None:
  values = [known[number] for number in step.inputs]
  for i, number in enumerate(step.inputs):
    value = values[i]
    if isinstance(value, values_lib.Activation):
      if program.num_uses[number] > 1:
        values[i] = dataclasses.replace(value, is_shared=True, is_open=False)
  try:
    results = _apply(step, values, context)
  except axes_lib.Unsupported as error:
    raise ValueError(
      f'the network cannot be read at operation {step.name!r}: {error}. Write '
      'its spec by hand with specs.NetworkSpec.'
    ) from error
  for number, result in zip(step.outputs, results, strict=True):
    if isinstance(result, values_lib.Activation):
      result = dataclasses.replace(result, is_shared=False)
      if result.is_whole:
        result = dataclasses.replace(result, probe=(number, result.axes))
    known[number] = result


def _apply(
  step: program_lib.Step,
  values: list[values_lib.Value],
  context: context_lib.Context,
) -> list[values_lib.Value]:
  """Dispatches on the name of the primitive."""
  if all(isinstance(v, values_lib.Constant) for v in values):
    return _fold(step, values)
  if step.name in _IDENTITIES:
    return values
  if step.name in curves.FUNCTIONS:
    return [elementwise.apply(step, values, context)]
  if step.name in shapes.NAMES:
    return shapes.apply(step, values[0])
  if step.name in places.REDUCTIONS:
    return [places.reduce(step, values[0])]
  if step.name in places.POOLING:
    return [places.pool(step, values[0])]
  if step.name == 'pad' and not isinstance(values[0], values_lib.Constant):
    return [places.pad(step, values[0], values[1])]
  if step.name == 'scatter-add':
    values = [values[0], places.pad_update(step, values)]
    return [elementwise.apply(step, values, context)]
  if step.name == 'concatenate':
    return [places.concatenate(step, values, context)]
  if step.name == 'dot_general':
    return [layers.dot(step, values, context)]
  if step.name == 'conv_general_dilated':
    return [layers.convolve(step, values, context)]
  leaves = [
    path
    for value in values
    if isinstance(value, values_lib.Parameter)
    for path in value.leaves
  ]
  where = f'; leaves: {leaves}' if leaves else ''
  raise axes_lib.Unsupported(f'it is not supported{where}')


def _fold(
  step: program_lib.Step, values: list[values_lib.Value]
) -> list[values_lib.Value]:
  """Computes what depends on no input and no weight."""
  arrays = [v.array for v in values if isinstance(v, values_lib.Constant)]
  shape = step.shapes[0]
  if step.name == 'broadcast_in_dim':
    kept = [1] * len(shape)
    for i, size in zip(
      step.params['broadcast_dimensions'], np.shape(arrays[0]), strict=True
    ):
      kept[i] = size
    spread = np.broadcast_to(np.asarray(arrays[0]).reshape(kept), shape)
    return [values_lib.Constant(spread)]
  # In numpy, where nothing is compiled and NaNs are no errors.
  if step.name in ('reshape', 'squeeze', 'expand_dims'):
    return [values_lib.Constant(np.asarray(arrays[0]).reshape(shape))]
  if step.name in curves.FUNCTIONS:
    found = curves.evaluate(step.name, step.params, arrays)
    return [values_lib.Constant(found)]
  with jax.ensure_compile_time_eval():
    made = step.primitive.bind(*arrays, **step.params)
  made = made if step.primitive.multiple_results else [made]
  return [values_lib.Constant(array) for array in made]


def _finish(
  value: values_lib.Value,
  program: program_lib.Program,
  context: context_lib.Context,
) -> None:
  """Makes the set of the result the output."""
  if len(program.outputs) != 1 or not isinstance(value, values_lib.Activation):
    raise ValueError(
      'the network must return one array that runs over the neurons of its '
      f'last layer, got {len(program.outputs)} arrays, the first of which is '
      f'a {type(value).__name__.lower()}; wrap it in a function that returns '
      'such an array.'
    )
  if not value.is_whole:
    raise ValueError(
      f'the network returns only a part of the layer {value.layer.name!r}; '
      'wrap it in a function that returns the whole layer.'
    )
  draft = context.draft
  layer = value.layer
  if layer.readers or layer.role == 'input':
    value = context.read(value)
    layer = draft.add_layer('output', value.layer.atoms, value.layer.size)
    edges = draft_lib.Edges(
      'to_output', value.layer, value.activation, layer, 'diagonal', 'skip'
    )
    draft.add_edges(edges)
    value = values_lib.Activation(value.axes, layer, probe=value.probe)
  context.read(value)
  layer.role = 'output'
  layer.name = 'output'


def _check_input(layer: draft_lib.Layer, value: values_lib.Value) -> None:
  axes = () if isinstance(value, values_lib.Constant) else value.axes
  present = {a for axis in axes for a in axes_lib.resolve(axis)}
  if not set(axes_lib.resolve(layer.atoms or ())) <= present:
    raise ValueError(
      'the network computes features of its inputs, or takes them apart, '
      'before its first layer; give it these features as its inputs.'
    )


def _check_leaves(draft: draft_lib.Draft) -> None:
  used = {use.path for use in draft.uses}
  unused = [path for path in draft.leaf_axes if path not in used]
  if unused:
    raise ValueError(
      f'the output does not depend on the leaves {unused}, or not as weights, '
      'biases, scales or statistics of a layer; remove them from the weights.'
    )
  fixed = [s for s in draft.layers if s.fixed and s.role == 'hidden']
  if fixed:
    raise ValueError(
      'neurons of a hidden layer must be alike, but '
      + '; '.join(f'{s.name!r}: {s.fixed}' for s in fixed)
      + '. Make such constants inputs or parameters of the network.'
    )
