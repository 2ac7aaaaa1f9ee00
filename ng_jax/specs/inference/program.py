# SPDX-License-Identifier: Apache-2.0
"""A network as one flat list of primitive operations on numbered arrays."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

import jax
from jax.extend import core

# Calls that are taken apart; their bodies are what is understood.
_CALLS = (
  'checkpoint',
  'closed_call',
  'core_call',
  'custom_jvp_call',
  'custom_vjp_call',
  'custom_vjp_call_jaxpr',
  'jit',
  'pjit',
  'remat',
  'remat2',
)


@dataclasses.dataclass(frozen=True)
class Step:
  """One primitive operation.

  Attributes:
    primitive: of JAX.
    params: its static arguments.
    inputs: numbers of the arrays it reads.
    outputs: numbers of the arrays it makes.
    shapes: of the outputs.
  """

  primitive: Any
  params: Mapping[str, Any]
  inputs: tuple[int, ...]
  outputs: tuple[int, ...]
  shapes: tuple[tuple[int, ...], ...]

  @property
  def name(self) -> str:
    """Name of the primitive."""
    return str(self.primitive.name)


@dataclasses.dataclass(frozen=True)
class Program:
  """A traced function.

  Attributes:
    steps: in order, only those that the outputs need.
    inputs: numbers of its arguments.
    outputs: numbers of its results.
    constants: {number: array}.
    shapes: of the arguments and constants, {number: shape}.
    num_uses: {number: how many steps and outputs read the array}.
  """

  steps: tuple[Step, ...]
  inputs: tuple[int, ...]
  outputs: tuple[int, ...]
  constants: Mapping[int, Any]
  shapes: Mapping[int, tuple[int, ...]]
  num_uses: Mapping[int, int]

  def run(self, arguments: Sequence[Any], wanted: Sequence[int]) -> list[Any]:
    """Runs the steps and returns some of the arrays.

    Args:
      arguments: one array per input, of the shapes and dtypes of the trace.
      wanted: numbers of arrays.

    Returns:
      The arrays. Jit: yes.
    """
    known = dict(self.constants)
    known.update(zip(self.inputs, arguments, strict=True))
    for step in _needed(self.steps, wanted):
      values = [known[number] for number in step.inputs]
      made = step.primitive.bind(*values, **step.params)
      made = made if step.primitive.multiple_results else [made]
      known.update(zip(step.outputs, made, strict=True))
    return [known[number] for number in wanted]


class _Flattener:
  """Numbers the variables of nested jaxprs and lists their equations."""

  def __init__(self) -> None:
    self.steps: list[Step] = []
    self.constants: dict[int, Any] = {}
    self.shapes: dict[int, tuple[int, ...]] = {}
    self._count = 0

  def number(self, shape: tuple[int, ...]) -> int:
    self._count += 1
    self.shapes[self._count] = tuple(int(size) for size in shape)
    return self._count

  def constant(self, value: Any) -> int:
    number = self.number(jax.numpy.shape(value))
    self.constants[number] = value
    return number

  def flatten(
    self, jaxpr: Any, constants: Sequence[Any], inputs: Sequence[int]
  ) -> tuple[int, ...]:
    known: dict[Any, int] = {}
    known.update(zip(jaxpr.invars, inputs, strict=True))
    for variable, value in zip(jaxpr.constvars, constants, strict=True):
      known[variable] = self.constant(value)

    def read(atom: Any) -> int:
      if isinstance(atom, core.Literal):
        return self.constant(atom.val)
      return known[atom]

    for equation in jaxpr.eqns:
      numbers = tuple(read(atom) for atom in equation.invars)
      inner = _body(equation)
      if inner is not None:
        outputs = self.flatten(*inner, numbers)
      else:
        shapes = tuple(tuple(v.aval.shape) for v in equation.outvars)
        outputs = tuple(self.number(shape) for shape in shapes)
        self.steps.append(
          Step(equation.primitive, equation.params, numbers, outputs, shapes)
        )
      known.update(zip(equation.outvars, outputs, strict=True))
    return tuple(read(atom) for atom in jaxpr.outvars)


def _body(equation: Any) -> tuple[Any, Sequence[Any]] | None:
  """The jaxpr of a call and its constants; None if it is no call."""
  if equation.primitive.name not in _CALLS:
    return None
  for name in ('jaxpr', 'call_jaxpr', 'fun_jaxpr'):
    inner = equation.params.get(name)
    if inner is not None:
      return getattr(inner, 'jaxpr', inner), getattr(inner, 'consts', ())
  return None


def trace(
  fn: Callable[..., Any],  # (list of arrays, array) -> array
  arrays: Sequence[Any],
  x: Any,
) -> Program:
  """Traces a network.

  Args:
    fn: from its leaves and inputs to its output.
    arrays: the leaves, or their shapes and dtypes.
    x: its input, or its shape and dtype.

  Returns:
    The program; its inputs are the leaves, then `x`. Jit: static.
  """
  closed = jax.make_jaxpr(fn)(list(arrays), x)
  flattener = _Flattener()
  inputs = tuple(flattener.number(aval.shape) for aval in closed.in_avals)
  outputs = flattener.flatten(closed.jaxpr, closed.consts, inputs)
  steps = _needed(flattener.steps, outputs)
  num_uses: dict[int, int] = {}
  for numbers in [*(step.inputs for step in steps), outputs]:
    for number in numbers:
      num_uses[number] = num_uses.get(number, 0) + 1
  return Program(
    steps, inputs, outputs, flattener.constants, flattener.shapes, num_uses
  )


def _needed(steps: Sequence[Step], wanted: Sequence[int]) -> tuple[Step, ...]:
  """The steps that the wanted arrays depend on."""
  needed = set(wanted)
  kept = []
  for step in reversed(steps):
    if needed & set(step.outputs):
      needed |= set(step.inputs)
      kept.append(step)
  return tuple(reversed(kept))
