# SPDX-License-Identifier: Apache-2.0
"""Every registered optimizer behaves as optax expects (l2o spec 7.10)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ng_jax import networks
from ng_jax import optimizers
from ng_jax.optimizers import base
from tests import repeats
from tests.optimizers import tiny

_NAMES = sorted(optimizers.OPTIMIZERS)
_QUICK = ('ff', 'lstm', 'ng_gnn')
_SPEC = networks.Mlp((2, 3, 2)).spec
_NUM_STEPS = 3


def _create(name: str) -> Any:
  return tiny.create(name, _SPEC if name in tiny.NEED_SPEC else None)


def _params(seed: int = 0) -> Any:
  return tiny.draw_params(_SPEC, seed)


@functools.cache
def _step(name: str) -> Any:
  """(theta, gradients, state, params) -> (updates, state), compiled."""

  def step(theta: Any, gradients: Any, state: Any, params: Any) -> Any:
    tx = _create(name).transformation(theta)
    return tx.update(gradients, state, params, value=jnp.asarray(1.0))

  return jax.jit(step)


def _avals(tree: Any) -> Any:
  return jax.tree.map(
    lambda x: (jnp.shape(x), jnp.result_type(x), jax.typeof(x).weak_type), tree
  )


def test_all_are_tested():
  assert set(tiny.OPTIONS) == set(optimizers.OPTIMIZERS)


@pytest.mark.parametrize('name', repeats.cases(_NAMES, quick=_QUICK))
def test_scan_and_vmap_over_theta_equal_single_steps(name):
  optimizer = _create(name)
  thetas = [tiny.draw_theta(optimizer, seed) for seed in range(2)]
  gradients = [_params(10 + t) for t in range(_NUM_STEPS)]

  def unroll(theta: Any, params: Any, gradients: Any) -> Any:
    tx = optimizer.transformation(theta)

    def step(carry: Any, gradients: Any) -> Any:
      params, state = carry
      updates, state = tx.update(gradients, state, params, value=1.0)
      return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, tx.init(params)), gradients)[0]

  both = jax.tree.map(lambda *leaves: jnp.stack(leaves), *thetas)
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *gradients)
  run = jax.jit(jax.vmap(unroll, in_axes=(0, None, None)))
  found = run(both, _params(), stacked)
  for i, theta in enumerate(thetas):
    params = _params()
    state = optimizer.transformation(theta).init(params)
    for own in gradients:
      updates, state = _step(name)(theta, own, state, params)
      params = optax.apply_updates(params, updates)
    tiny.assert_trees_close(
      jax.tree.map(lambda x, i=i: x[i], found),
      (params, state),
      rtol=1e-4,
      atol=1e-5,
    )
  moved = found[0]['layer_1']['kernel'] - _params()['layer_1']['kernel']
  assert np.min(np.abs(moved)) > 0
  assert np.max(np.abs(moved[0] - moved[1])) > 0


def _compiled(tx: Any) -> Any:
  """(gradients, state, params) -> (updates, state) of any transformation."""
  return jax.jit(
    lambda gradients, state, params: tx.update(
      gradients, state, params, value=jnp.asarray(1.0)
    )
  )


@pytest.mark.allow_nans
@pytest.mark.parametrize('name', repeats.cases(_NAMES, quick=_QUICK))
def test_composes_with_chain_and_apply_if_finite(name):
  theta = tiny.draw_theta(_create(name))
  inner = _create(name).transformation(theta)
  chained = optax.chain(optax.clip(0.05), inner, optax.scale(0.5))
  tx = optax.apply_if_finite(chained, max_consecutive_errors=5)
  update = _compiled(tx)
  params = _params()
  state, inner_state = tx.init(params), inner.init(params)
  bad = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), params)
  for gradients in (_params(1), bad, _params(2)):
    found, state = update(gradients, state, params)
    if gradients is bad:  # Skipped, and the state does not change.
      assert not any(np.any(leaf) for leaf in jax.tree.leaves(found))
      continue
    clipped = jax.tree.map(lambda x: jnp.clip(x, -0.05, 0.05), gradients)
    expected, inner_state = _step(name)(theta, clipped, inner_state, params)
    expected = jax.tree.map(lambda x: 0.5 * x, expected)
    tiny.assert_trees_close(found, expected, rtol=1e-4, atol=1e-7)
  tiny.assert_trees_close(
    state.inner_state[1], inner_state, rtol=1e-4, atol=1e-6
  )


@pytest.mark.parametrize('name', repeats.cases(_NAMES, quick=_QUICK))
def test_composes_with_multi_steps(name):
  theta = tiny.draw_theta(_create(name))
  inner = _create(name).transformation(theta)
  tx = optax.MultiSteps(inner, every_k_schedule=2)
  update = _compiled(tx)
  params = _params()
  state, inner_state = tx.init(params), inner.init(params)
  for seed in (1, 3):
    first, second = _params(seed), _params(seed + 1)
    held, state = update(first, state, params)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(held))
    found, state = update(second, state, params)
    gradients = jax.tree.map(lambda a, b: (a + b) / 2, first, second)
    expected, inner_state = _step(name)(theta, gradients, inner_state, params)
    tiny.assert_trees_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.allow_nans
@pytest.mark.parametrize('name', repeats.cases(_NAMES, quick=(*_QUICK, 'ng_t')))
def test_nan_gradients_are_not_hidden(name):
  optimizer = _create(name)
  theta = tiny.draw_theta(optimizer)
  params = _params()
  state = optimizer.transformation(theta).init(params)
  bad = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), params)
  updates, _ = _step(name)(theta, bad, state, params)
  assert all(np.all(np.isnan(leaf)) for leaf in jax.tree.leaves(updates))


def _cast(tree: Any, dtypes: list[Any]) -> Any:
  leaves, treedef = jax.tree.flatten(tree)
  cast = [leaf.astype(dtypes[i % len(dtypes)]) for i, leaf in enumerate(leaves)]
  return jax.tree.unflatten(treedef, cast)


@pytest.mark.parametrize(
  'dtypes',
  [
    [jnp.float32],
    pytest.param([jnp.bfloat16], marks=pytest.mark.repeated),
    [jnp.float16, jnp.float32, jnp.bfloat16],
    pytest.param([jnp.float64], marks=pytest.mark.repeated),
    [jnp.float32, jnp.float64],
  ],
)
@pytest.mark.parametrize('name', repeats.cases(_NAMES, quick=(*_QUICK, 'ng_t')))
def test_dtypes_and_structure_never_change(name, dtypes, x64):
  """Traced only; gradients of another precision, loss of another dtype."""
  optimizer = _create(name)
  theta = _cast(tiny.draw_theta(optimizer), [dtypes[-1], jnp.float32])
  params = _cast(_params(), dtypes)
  gradients = _cast(_params(1), [jnp.bfloat16, jnp.float32])
  # State and parameters are the carry of the scan, so they may not change.
  wide = jnp.promote_types(jnp.result_type(*dtypes), jnp.float32)

  def unroll(params: Any) -> Any:
    tx = optimizer.transformation(theta)
    state = tx.init(params)
    assert not any(weak for _, _, weak in _leaf_avals(state))

    def step(carry: Any, _: Any) -> Any:
      params, state = carry
      updates, state = tx.update(
        gradients, state, params, value=jnp.bfloat16(1.0)
      )
      assert _avals(updates) == _avals(params)
      return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, state), None, length=2)[0]

  found, state = jax.eval_shape(unroll, params)
  assert _dtypes(found) == _dtypes(params)
  for leaf in jax.tree.leaves(state):
    if jnp.issubdtype(leaf.dtype, jnp.floating):
      assert leaf.dtype in (jnp.float32, wide)


def _leaf_avals(tree: Any) -> list[Any]:
  return [
    (jnp.shape(x), jnp.result_type(x), jax.typeof(x).weak_type)
    for x in jax.tree.leaves(tree)
  ]


def _dtypes(tree: Any) -> list[Any]:
  return [leaf.dtype for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize('name', repeats.cases(_NAMES, quick=(*_QUICK, 'ng_t')))
def test_bfloat16_parameters_are_updated_in_float32(name):
  """The same update as of their values in float32, rounded at the end."""
  optimizer = _create(name)
  theta = tiny.draw_theta(optimizer)
  low = _cast(_params(), [jnp.bfloat16])
  low_gradients = _cast(_params(1), [jnp.bfloat16])
  found, expected = (
    _step(name)(
      theta,
      _cast(low_gradients, [dtype]),
      optimizer.transformation(theta).init(_cast(low, [dtype])),
      _cast(low, [dtype]),
    )[0]
    for dtype in (jnp.bfloat16, jnp.float32)
  )
  expected = _cast(expected, [jnp.bfloat16])
  for a, b in zip(
    jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
  ):
    np.testing.assert_allclose(
      a.astype(jnp.float32), b.astype(jnp.float32), rtol=0.01, atol=1e-8
    )


@pytest.mark.parametrize('name', _NAMES)
def test_other_arguments_are_ignored(name):
  optimizer = _create(name)
  tx = optimizer.transformation(tiny.draw_theta(optimizer))
  params = _params()
  update = functools.partial(tx.update, value=jnp.asarray(1.0))
  plain = jax.make_jaxpr(update)(params, tx.init(params), params)
  more = jax.make_jaxpr(
    functools.partial(update, grad=params, step=3, nothing=None)
  )(params, tx.init(params), params)
  assert str(plain) == str(more)


@pytest.mark.parametrize('name', ['ff', 'google_ff', 'google_lstm', 'lstm'])
def test_names_do_not_matter_without_a_spec(name):
  """Dicts of other names, and a list, in the same order."""
  optimizer = _create(name)
  theta = tiny.draw_theta(optimizer)
  arrays, other = ([*jax.tree.leaves(_params(i))] for i in range(2))
  trees = [
    lambda leaves: {'a': leaves[:2], 'b': tuple(leaves[2:])},
    lambda leaves: {'x': {'p': leaves[0], 'q': leaves[1]}, 'y': leaves[2:]},
    list,
  ]
  found = []
  for make in trees:
    params, gradients = make(arrays), make(other)
    state = optimizer.transformation(theta).init(params)
    updates, _ = _step(name)(theta, gradients, state, params)
    assert jax.tree.structure(updates) == jax.tree.structure(params)
    found.append(jax.tree.leaves(updates))
  for again in found[1:]:
    for a, b in zip(again, found[0], strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize('name', repeats.cases(_NAMES, quick=_QUICK))
def test_theta_can_be_differentiated(name):
  optimizer = _create(name)
  theta = tiny.draw_theta(optimizer)
  gradients = jax.tree.map(jnp.zeros_like, _params(1))

  def total(theta: Any) -> jax.Array:
    tx = optimizer.transformation(theta)
    # Parameters at zero, where logarithms and roots are steep.
    params = jax.tree.map(jnp.zeros_like, _params())
    updates, _ = tx.update(gradients, tx.init(params), params, value=1.0)
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(updates))

  slope = jax.jit(jax.grad(total))(theta)
  assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))
  assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(slope))


@pytest.mark.parametrize('name', _NAMES)
def test_optimizers_are_static_arguments(name):
  optimizer = _create(name)
  assert optimizer == _create(name)
  assert hash(optimizer) == hash(_create(name))
  assert base.settings(optimizer) == {
    k: list(v) if isinstance(v, tuple) else v
    for k, v in tiny.OPTIONS[name].items()
    if v != getattr(optimizers.OPTIMIZERS[name], k)
  }
  # A list, as JSON has it, is read as a tuple.
  again = optimizers.create(name, optimizer.spec, **base.settings(optimizer))
  assert again == optimizer


@pytest.mark.parametrize(
  'name', repeats.cases(_NAMES, repeats=('nfn', 'ng_gnn'))
)
def test_drawn_theta_is_float32_and_finite(name):
  optimizer = _create(name)
  shapes = jax.eval_shape(optimizer.init, jax.random.key(0))
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))
  with jax.enable_x64(True):
    wide = jax.eval_shape(optimizer.init, jax.random.key(0))
  assert wide == shapes
  theta = jax.jit(optimizer.init)(jax.random.key(0))
  assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(theta))
  optimizer.transformation(theta)
