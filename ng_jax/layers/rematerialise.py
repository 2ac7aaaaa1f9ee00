# SPDX-License-Identifier: Apache-2.0
"""Rematerialisation: memory for time, in a way that XLA cannot undo.

`jax.checkpoint` keeps the second computation apart by an optimization barrier.
XLA's CPU compiler removes barriers early, merges the second computation with
the first and keeps everything alive after all. Here the second computation
lies in a branch of its own, which no compiler can merge or move.
"""

from collections.abc import Callable
import functools
from typing import Any

from flax import linen as nn
from flax.core import lift
import jax
from jax.extend import core
import jax.numpy as jnp


def rematerialise(function: Callable[..., Any]) -> Callable[..., Any]:
  """Keeps only what goes into a function for its backward pass.

  Args:
    function: of trees of arrays, pure but for what happens while it is traced,
      which is once; it may close over traced values.

  Returns:
    The same function with the same gradients, of which there is no forward-mode
    derivative. Jit: yes.
  """

  def run(*args: Any) -> Any:
    traced, shapes = jax.make_jaxpr(function, return_shape=True)(*args)

    def flat(consts: list[Any], *leaves: Any) -> list[jax.Array]:
      closed = core.ClosedJaxpr(traced.jaxpr, consts)
      return core.jaxpr_as_fun(closed)(*leaves)

    num_consts = len(traced.consts)
    found = _run(lambda *x: flat(list(x[:num_consts]), *x[num_consts:]))(
      *traced.consts, *jax.tree.leaves(args)
    )
    return jax.tree.unflatten(jax.tree.structure(shapes), found)

  return run


def _run(function: Callable[..., Any]) -> Callable[..., Any]:
  run = jax.custom_vjp(function)
  run.defvjp(
    lambda *leaves: (function(*leaves), leaves),
    lambda leaves, cotangents: _backward(function, leaves, cotangents),
  )
  return run


def _backward(
  function: Callable[..., Any], leaves: tuple[Any, ...], cotangents: Any
) -> tuple[Any, ...]:
  """Cotangents of the leaves, None for those that are no floats."""
  floats = [i for i, x in enumerate(leaves) if _is_float(x)]
  cotangents = [x for x in cotangents if _is_float(x)]

  def of_floats(*values: jax.Array) -> list[jax.Array]:
    full = list(leaves)
    for i, value in zip(floats, values, strict=True):
      full[i] = value
    return [x for x in function(*full) if _is_float(x)]

  def again(
    values: list[jax.Array], cotangents: list[jax.Array]
  ) -> list[jax.Array]:
    return list(jax.vjp(of_floats, *values)[1](cotangents))

  def never(
    values: list[jax.Array], cotangents: list[jax.Array]
  ) -> list[jax.Array]:
    del cotangents
    return [jnp.zeros_like(value) for value in values]

  values = [leaves[i] for i in floats]
  found = jax.lax.cond(_is_true(cotangents), again, never, values, cotangents)
  by_leaf = dict(zip(floats, found, strict=True))
  return tuple(by_leaf.get(i) for i in range(len(leaves)))


def _is_float(x: Any) -> bool:
  """False for integers and keys, and for what stands for their cotangents."""
  return jnp.issubdtype(x.dtype, jnp.inexact)


def _is_true(cotangents: list[jax.Array]) -> jax.Array:
  """True whatever the values, which no compiler may know (x may be NaN)."""
  # Of all: some may be zeros that are known when compiling.
  firsts = [jnp.ravel(x)[0] for x in cotangents]
  return functools.reduce(jnp.logical_and, [x * 0 != 1 for x in firsts])


def run_module(
  function: Callable[..., Any], module: nn.Module, *args: Any
) -> Any:
  """`rematerialise` for a function that makes submodules on a module.

  Args:
    function: (module, *args) -> tree of arrays.
    module: in whose compact method this is called.
    *args: trees of arrays.

  Returns:
    What the function returns; variables and random numbers are those of a plain
    call. Jit: yes.
  """
  return nn.transforms.lift_direct_transform(
    _lift, (function,), module, *args, multi_scope=True
  )


def _lift(function: Callable[..., Any], scope: Any, *args: Any) -> Any:
  def inner(
    make_scope: Callable[..., Any],
    repack: Callable[..., Any],
    variables: Any,
    rngs: Any,
    *args: Any,
  ) -> Any:
    def pure(variables: Any, rngs: Any, *args: Any) -> Any:
      scope = make_scope(variables, rngs)
      return function(scope, *args), repack(scope)

    return rematerialise(pure)(variables, rngs, *args)

  lifted = lift.pack(inner, (True,), (True,), (True,), name='rematerialise')
  return lifted(scope, *args)
