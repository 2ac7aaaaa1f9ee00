# SPDX-License-Identifier: Apache-2.0
"""Tests of the fast sine and cosine: accuracy, derivatives, dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import numerics
from tests import programs


def _turns(count=20001, limit=40.0):
  """Angles in turns, with all multiples of an eighth and tiny values."""
  grid = np.linspace(-limit, limit, count)
  eighths = np.arange(-8 * limit, 8 * limit + 1) / 8
  tiny = np.array([0.0, 1e-30, -1e-30, 1e-7, -1e-7, 1e-4])
  return np.concatenate([grid, eighths, tiny]).astype(np.float32)


def test_turns_are_as_accurate_as_float32_allows():
  t = _turns()
  sine, cosine = programs.usual_jit(numerics.sin_cos_turns)(t)
  angle = 2 * np.pi * t.astype(np.float64)
  assert sine.dtype == cosine.dtype == jnp.float32
  assert np.max(np.abs(sine - np.sin(angle))) < 1.5e-7
  assert np.max(np.abs(cosine - np.cos(angle))) < 1.5e-7


def test_many_turns():
  t = np.random.default_rng(0).uniform(-1e4, 1e4, 10000).astype(np.float32)
  sine, cosine = numerics.sin_cos_turns(t)
  angle = 2 * np.pi * (t.astype(np.float64) % 1.0)
  assert np.max(np.abs(sine - np.sin(angle))) < 1.5e-7
  assert np.max(np.abs(cosine - np.cos(angle))) < 1.5e-7


@pytest.mark.parametrize('limit', [1.0, 30.0, 1000.0])
def test_radians_err_by_the_rounding_of_the_angle(limit):
  x = np.linspace(-limit, limit, 20001).astype(np.float32)
  sine, cosine = numerics.sin_cos(x)
  allowed = 1.5e-7 + 1.2e-7 * np.abs(x)
  exact = x.astype(np.float64)
  assert np.all(np.abs(sine - np.sin(exact)) <= allowed)
  assert np.all(np.abs(cosine - np.cos(exact)) <= allowed)


def test_exact_at_quarter_turns():
  sine, cosine = numerics.sin_cos_turns(np.float32([0, 0.25, 0.5, 0.75, 1.0]))
  np.testing.assert_allclose(sine, [0, 1, 0, -1, 0], rtol=0, atol=6e-8)
  np.testing.assert_allclose(cosine, [1, 0, -1, 0, 1], rtol=0, atol=6e-8)


def test_sine_is_odd_and_small_at_small_angles():
  t = np.float32([1e-20, 1e-10, 1e-5])
  sine, _ = numerics.sin_cos_turns(t)
  mirrored, _ = numerics.sin_cos_turns(-t)
  np.testing.assert_array_equal(sine, -mirrored)
  np.testing.assert_allclose(sine, 2 * np.pi * t, rtol=1e-6)


def test_64_bit_is_xla(x64):
  x = np.linspace(-50, 50, 1001)
  sine, cosine = numerics.sin_cos(x)
  assert sine.dtype == cosine.dtype == jnp.float64
  np.testing.assert_array_equal(sine, jnp.sin(x))
  np.testing.assert_array_equal(cosine, jnp.cos(x))
  sine, cosine = numerics.sin_cos_turns(x)
  np.testing.assert_array_equal(sine, jnp.sin((2 * np.pi) * x))
  np.testing.assert_array_equal(cosine, jnp.cos((2 * np.pi) * x))


@pytest.mark.parametrize('fn', [numerics.sin_cos, numerics.sin_cos_turns])
@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
def test_16_bit_types_are_kept(fn, dtype):
  x = jnp.linspace(-1, 1, 11).astype(dtype)
  sine, cosine = fn(x)
  assert sine.dtype == cosine.dtype == dtype
  factor = 2 * np.pi if fn is numerics.sin_cos_turns else 1.0
  exact = np.sin(factor * np.asarray(x, np.float64))
  np.testing.assert_allclose(np.asarray(sine, np.float64), exact, atol=0.05)


@pytest.mark.parametrize(
  ('fn', 'factor'),
  [(numerics.sin_cos, 1.0), (numerics.sin_cos_turns, 2 * np.pi)],
  ids=['radians', 'turns'],
)
@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_derivatives(x64, fn, factor, dtype):
  x = np.linspace(-3, 3, 301).astype(dtype)
  exact = factor * x.astype(np.float64)
  sine, cosine = np.sin(exact), np.cos(exact)

  def both(t):
    return jnp.stack(fn(t))

  def derivatives(t):
    first = jax.jacfwd(both)
    return {
      'forward': first(t),
      'reverse': jax.jacrev(both)(t),
      'forward forward': jax.jacfwd(first)(t),
      'reverse forward': jax.jacrev(first)(t),
      'forward reverse': jax.jacfwd(jax.jacrev(both))(t),
      'reverse reverse': jax.jacrev(jax.jacrev(both))(t),
    }

  found = jax.jit(jax.vmap(derivatives))(x)
  once = factor * np.stack([cosine, -sine], axis=-1)
  twice = factor**2 * np.stack([-sine, -cosine], axis=-1)
  atol = 1e-4 if dtype == 'float32' else 1e-12
  for name, values in found.items():
    assert values.dtype == dtype
    expected = twice if ' ' in name else once
    np.testing.assert_allclose(values, expected, atol=atol, err_msg=name)


def test_the_gradient_reuses_the_values_of_the_forward_pass():
  # No second evaluation: one rounding to the nearest quarter in all.
  def loss(t):
    sine, cosine = numerics.sin_cos_turns(t)
    return jnp.sum(sine * cosine)

  text = jax.jit(jax.grad(loss)).lower(np.zeros(4, np.float32)).as_text()
  assert text.count('round_nearest') == 1


@pytest.mark.parametrize('lead', [(), (4,), (2, 3)])
@pytest.mark.parametrize('bias', [False, True], ids=['plain', 'bias'])
def test_linear_is_a_product_with_the_usual_gradient(x64, lead, bias):
  rng = np.random.default_rng(0)
  args = (rng.normal(size=(*lead, 5)), rng.normal(size=(5, 3)))
  args += (rng.normal(size=3),) * bias
  cotangent = rng.normal(size=(*lead, 3))

  def plain(x, kernel, bias=0.0):
    return x @ kernel + bias

  @jax.jit
  def run(args):
    found, pull = jax.vjp(numerics.linear, *args)
    expected, plain_pull = jax.vjp(plain, *args)
    return (found, pull(cotangent)), (expected, plain_pull(cotangent))

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13),
    *run(args),
  )


def test_the_gradient_of_a_bias_of_width_1():
  # As a product with ones, jax 0.10.1 gets the sum of these three wrong on CPU;
  # with XLA's usual optimisations only.
  rng = np.random.default_rng(0)
  shapes = ((2, 2, 5, 1), (2, 5, 7, 1), (2, 7, 3, 1))
  x = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
  scale = np.array([0.5, 0.3, 0.2], np.float32)
  kernel = np.ones((1, 1), np.float32)

  def loss(bias, scale):
    rows = [
      (scale[i] * numerics.linear(v, kernel, bias)).reshape(-1)
      for i, v in enumerate(x)
    ]
    return jnp.mean(jnp.concatenate(rows) ** 2)

  found = programs.usual_jit(jax.grad(loss))(np.ones(1, np.float32), scale)
  sums = [2 * s**2 * np.sum(v + 1) for s, v in zip(scale, x, strict=True)]
  np.testing.assert_allclose(found, [sum(sums) / 132], rtol=1e-5)


def test_sums_of_all_pairs(x64):
  rng = np.random.default_rng(0)
  args = (rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4)))
  cotangent = rng.normal(size=(2, 3, 5, 4))

  @jax.jit
  def run(args):
    found, pull = jax.vjp(numerics.add_outer, *args)
    return found, pull(cotangent)

  found, (of_rows, of_columns) = run(args)
  np.testing.assert_array_equal(found, args[0][:, :, None] + args[1][:, None])
  np.testing.assert_allclose(of_rows, cotangent.sum(2), rtol=1e-13)
  np.testing.assert_allclose(of_columns, cotangent.sum(1), rtol=1e-13)


@pytest.mark.parametrize('axis', [0, 1, -1])
def test_the_gradient_of_a_maximum_is_one_entry(axis):
  x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
  x[0, 0, 0] = -np.inf

  def both(x):
    high = numerics.max_along(x, axis=axis)
    return jnp.sum(high), high

  grad, high = jax.jit(jax.grad(both, has_aux=True))(x)
  np.testing.assert_array_equal(high, x.max(axis))
  np.testing.assert_array_equal(grad, x == x.max(axis, keepdims=True))


def test_the_gradient_of_a_maximum_of_equals_goes_to_the_first():
  grad = jax.grad(lambda x: numerics.max_along(x, axis=0))(np.zeros(3))
  np.testing.assert_array_equal(grad, [1.0, 0.0, 0.0])


def test_the_gradient_of_a_maximum_survives_recomputation():
  # With jnp.max, XLA computes the norm twice, rounds it differently, finds no
  # entry equal to the maximum and divides by zero entries.
  def loss(params, x):
    x = x + jnp.tanh(x @ params['a'])
    x = (x - jnp.mean(x, -1, keepdims=True)) * jax.lax.rsqrt(
      jnp.var(x, -1, keepdims=True) + 1e-5
    )
    return jnp.sum(numerics.max_along(x * params['b'], axis=1) ** 2)

  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 11, 6)).astype(np.float32)
  params = {
    'a': rng.normal(size=(6, 6)).astype(np.float32),
    'b': rng.normal(size=6).astype(np.float32),
  }
  # sum_i b_i dL/db_i = 2 L holds for any loss that is a square of b.
  for jit in (programs.usual_jit, jax.jit):
    value, grads = jit(jax.value_and_grad(loss))(params, x)
    np.testing.assert_allclose(
      np.sum(params['b'] * grads['b']), 2 * value, rtol=1e-5
    )


@pytest.mark.parametrize(('a', 'b'), [(7, 3), (3, 7), (4, 4), (5, 1)])
def test_sum_of_outer_products(x64, a, b):
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=(50, a)), rng.normal(size=(50, b))
  found = jax.jit(numerics.sum_outer)(x, y)
  np.testing.assert_allclose(found, x.T @ y, rtol=0, atol=1e-13)
  # Differentiable once more, in both operands.
  weight = rng.normal(size=(a, b))
  grads = jax.grad(
    lambda x, y: jnp.sum(weight * numerics.sum_outer(x, y)), argnums=(0, 1)
  )(x, y)
  np.testing.assert_allclose(grads[0], y @ weight.T, rtol=0, atol=1e-13)
  np.testing.assert_allclose(grads[1], x @ weight, rtol=0, atol=1e-13)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
def test_values_that_are_computed_once_are_the_same(x64, dtype):
  x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 5)), dtype)
  for function in (numerics.computed_once, numerics.materialize):
    np.testing.assert_array_equal(jax.jit(function)(x), x)
  value, grad = programs.usual_jit(
    jax.value_and_grad(
      lambda x: jnp.sum(numerics.materialize(x * x).astype(jnp.float32))
    )
  )(x)
  np.testing.assert_array_equal(grad, 2 * x)
  np.testing.assert_allclose(
    value, np.sum(np.asarray(x * x, np.float32)), rtol=1e-6
  )
