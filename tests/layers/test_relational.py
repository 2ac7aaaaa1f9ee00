# SPDX-License-Identifier: Apache-2.0
"""The hand-written gradient of relational attention is the true one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax.layers import relational

_BATCH, _NODES, _HEADS, _WIDTH, _EDGE = 2, 5, 3, 4, 6


def _plain(query, key, value, edges, maps, mask, scale):
  """The definition, term by term."""

  def of_edges(matrix):
    product = edges @ matrix
    return product.reshape(*edges.shape[:3], _HEADS, _WIDTH)

  queries = query[:, :, None] + of_edges(maps.query)
  keys = key[:, None] + of_edges(maps.key)
  logits = scale * jnp.sum(queries * keys, axis=-1)
  if mask is not None:
    logits = jnp.where(mask[:, None, :, None], logits, -1e300)
  attention = jax.nn.softmax(logits, axis=2)
  values = value[:, None]
  if maps.gate is not None:
    values = values * of_edges(maps.gate)
  values = values + of_edges(maps.value)
  return jnp.sum(attention[..., None] * values, axis=2)


def _draw(*, gate):
  rng = np.random.default_rng(0)
  nodes = (_BATCH, _NODES, _HEADS, _WIDTH)
  matrix = (_EDGE, _HEADS * _WIDTH)
  maps = [rng.normal(size=matrix) for _ in range(4)]
  return (
    *(rng.normal(size=nodes) for _ in range(3)),
    rng.normal(size=(_BATCH, _NODES, _NODES, _EDGE)),
    relational.EdgeMaps(*maps[:3], maps[3] if gate else None),
  )


@pytest.mark.parametrize('gate', [True, False], ids=['gated', 'added'])
@pytest.mark.parametrize('masked', [True, False], ids=['masked', 'whole'])
def test_values_and_gradients(x64, gate, masked):
  arguments = _draw(gate=gate)
  mask = np.ones((_BATCH, _NODES), bool)
  mask[1, 3:] = False
  mask = mask if masked else None
  weight = np.random.default_rng(1).normal(size=arguments[0].shape)

  def loss(function, arguments):
    out = function(*arguments, mask, 0.3)
    return jnp.sum(weight * out**2), out

  def run(function):
    return jax.jit(
      jax.grad(lambda arguments: loss(function, arguments), has_aux=True)
    )(arguments)

  grads, out = run(relational.attend)
  expected_grads, expected = run(_plain)
  np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-11),
    grads,
    expected_grads,
  )


def test_second_derivatives(x64):
  arguments = _draw(gate=True)

  def norm_of_gradient(function, edges):
    def loss(edges):
      q, k, v, _, maps = arguments
      return jnp.sum(function(q, k, v, edges, maps, None, 0.3) ** 2)

    return jnp.sum(jax.grad(loss)(edges) ** 2)

  found, expected = (
    jax.jit(jax.grad(lambda e, f=f: norm_of_gradient(f, e)))(arguments[3])
    for f in (relational.attend, _plain)
  )
  scale = np.max(np.abs(expected))
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * scale)


def test_a_graph_without_keys_is_finite():
  arguments = jax.tree.map(lambda x: x.astype(np.float32), _draw(gate=True))
  mask = np.zeros((_BATCH, _NODES), bool)
  grads = jax.grad(lambda a: jnp.sum(relational.attend(*a, mask, 0.3)))(
    arguments
  )
  assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(grads))
