# SPDX-License-Identifier: Apache-2.0
"""Products, sums and maxima over edges, laid out for XLA's CPU backend.

There are far more edges than features. Left to itself, XLA transposes the tall
operand of a gradient and repeats elementwise work in every operation that reads
its result; both cost more on a CPU than the products themselves. What is said
here of speed was measured on CPUs. On other platforms the same functions are
the plain operations.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def _on_cpu(
  on_cpu: Callable[..., Any], elsewhere: Callable[..., Any], *arguments: Any
) -> Any:
  """Chooses when lowering; both functions compute the same."""
  return jax.lax.platform_dependent(*arguments, cpu=on_cpu, default=elsewhere)


def linear(
  x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None
) -> jax.Array:
  """X W + b, whose gradients are one contraction each over all leading axes.

  Args:
    x: [..., in] float.
    kernel: [in, out] float.
    bias: [out] or None.

  Returns:
    [..., out]. Jit: yes. Reverse mode only, to any order.
  """
  product = _product(x, kernel)
  return product if bias is None else _add_bias(product, bias)


@jax.custom_vjp
def _product(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return x @ kernel


def _product_forward(
  x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return x @ kernel, (x, kernel)


def _product_backward(
  saved: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  kernel_bar = sum_outer(
    x.reshape(-1, x.shape[-1]), cotangent.reshape(-1, cotangent.shape[-1])
  )
  return (cotangent @ kernel.T).astype(x.dtype), kernel_bar


_product.defvjp(_product_forward, _product_backward)

_ROWS = (((0,), (0,)), ((), ()))


def sum_outer(x: jax.Array, y: jax.Array) -> jax.Array:
  """Sum over rows of their outer products, x^T y.

  Args:
    x: [num_rows, a] float.
    y: [num_rows, b] float.

  Returns:
    [a, b]. Jit: yes. Differentiable in both modes.
  """
  if x.shape[1] <= y.shape[1]:
    return jax.lax.dot_general(x, y, _ROWS)

  def wider_second(x: jax.Array, y: jax.Array) -> jax.Array:
    # Up to twice as fast on a CPU. A plain transpose would be folded back into
    # the product; the identity, exact in any precision, is not.
    transposed = jax.lax.dot_general(y, x, _ROWS)
    identity = jnp.eye(y.shape[1], dtype=y.dtype)
    return jax.lax.dot_general(transposed, identity, _ROWS)

  return _on_cpu(
    wider_second, lambda x, y: jax.lax.dot_general(x, y, _ROWS), x, y
  )


@jax.custom_vjp
def _add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
  return x + bias


def _add_bias_backward(
  _: None, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
  rows = cotangent.reshape(-1, cotangent.shape[-1])
  return cotangent, _sum_rows(rows)


_add_bias.defvjp(lambda x, bias: (x + bias, None), _add_bias_backward)

# A product with this many rows of ones is not turned back into a fused loop.
_ONES = 8


def _sum_rows(x: jax.Array) -> jax.Array:
  """Sum over the second last axis: [..., n, k] -> [..., k]."""

  def plain(x: jax.Array) -> jax.Array:
    return jnp.sum(x, axis=-2)

  def as_product(x: jax.Array) -> jax.Array:
    ones = jnp.ones((*x.shape[:-2], _ONES, x.shape[-2]), x.dtype)
    return (ones @ x)[..., 0, :]

  if x.shape[-1] == 1:
    # XLA fuses a product with one column, and jax 0.10.1 gets some of those
    # wrong on CPU (a test in test_numerics.py shows one).
    return plain(x)
  return _on_cpu(as_product, plain, x)


@jax.custom_vjp
def add_outer(of_rows: jax.Array, of_columns: jax.Array) -> jax.Array:
  """Adds a value of the row and one of the column, for every pair.

  Args:
    of_rows: [batch, num_rows, features] float.
    of_columns: [batch, num_columns, features] float.

  Returns:
    [batch, num_rows, num_columns, features]. Jit: yes. Reverse mode only, to
    any order.
  """
  return of_rows[:, :, None] + of_columns[:, None]


def _add_outer_backward(
  _: None, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
  batch, rows, columns, features = cotangent.shape
  flat = cotangent.reshape(batch, rows, columns * features)
  of_columns = _sum_rows(flat).reshape(batch, columns, features)
  return jnp.sum(cotangent, axis=2), of_columns


add_outer.defvjp(
  lambda of_rows, of_columns: (add_outer(of_rows, of_columns), None),
  _add_outer_backward,
)


@jax.custom_vjp
def materialize(x: jax.Array) -> jax.Array:
  """The same values, which XLA computes once when differentiating.

  XLA repeats elementwise work in every operation that reads its result. That is
  slow where many read it, and the repetitions may round differently, so that
  the gradient of a minimum, which compares values for equality, is lost.
  Neither `x`, when it is differentiated, nor its gradient is repeated.

  Args:
    x: [..., features] float, finite.

  Returns:
    `x`. Jit: yes. Reverse mode only, to any order.
  """
  return x


def computed_once(x: jax.Array) -> jax.Array:
  """As `materialize`, for `x` alone and also without differentiation.

  Args:
    x: [..., features] float, finite.

  Returns:
    `x`. Jit: yes.
  """

  def product(x: jax.Array) -> jax.Array:
    # Exact in any precision, and a product reads its operand from memory. XLA
    # removes its own barrier from CPU programs before it fuses.
    rows = x.reshape(-1, x.shape[-1])
    return (rows @ jnp.eye(x.shape[-1], dtype=x.dtype)).reshape(x.shape)

  return _on_cpu(product, jax.lax.optimization_barrier, x)


materialize.defvjp(
  lambda x: (computed_once(x), None),
  lambda _, cotangent: (computed_once(cotangent),),
)


def max_along(x: jax.Array, *, axis: int) -> jax.Array:
  """Maximum along an axis, whose gradient goes to the first entry that has it.

  The rule of `jnp.max` compares all entries with the maximum, and XLA may
  compute them twice, in two fusions that round differently; then no entry
  equals the maximum and the gradient is lost. An index cannot be rounded.

  Args:
    x: any shape, float.
    axis: to reduce.

  Returns:
    `x` without the axis. Jit: yes. Differentiable in both modes.
  """
  index = jnp.argmax(x, axis=axis, keepdims=True)
  positions = jax.lax.broadcasted_iota(index.dtype, x.shape, axis % x.ndim)
  return jnp.sum(jnp.where(positions == index, x, 0), axis=axis)
