# SPDX-License-Identifier: Apache-2.0
"""Rematerialisation of any function: the same gradients, computed apart."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax.layers import rematerialise


def _function(traces: list[int], scale: Any, number: Any) -> Any:
  """Closes over a traced value; reads floats, integers and a key."""

  def function(x: dict[str, Any], key: Any, index: Any) -> dict[str, Any]:
    traces.append(number)
    noise = jax.random.normal(key, x['a'].shape, x['a'].dtype)
    mixed = jnp.sin(x['a'] * scale) + noise * x['b'][index]
    return {'out': jnp.tanh(mixed), 'index': index + 1}

  return function


def test_gradients_are_those_of_a_plain_call(x64: None) -> None:
  x = {'a': jnp.linspace(-1, 2, 5), 'b': jnp.array([0.5, 2.0])}
  traces: list[int] = []

  def loss(x: Any, scale: Any, *, remat: bool) -> Any:
    function = _function(traces, scale, int(remat))
    if remat:
      function = rematerialise.rematerialise(function)
    found = function(x, jax.random.key(0), jnp.array(1))
    return jnp.sum(found['out'] ** 2), found['index']

  found = {
    remat: jax.jit(
      jax.value_and_grad(
        lambda x, scale, remat=remat: loss(x, scale, remat=remat),
        argnums=(0, 1),
        has_aux=True,
      )
    )(x, 1.7)
    for remat in (False, True)
  }
  assert abs(float(found[False][1][1])) > 0.01
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15),
    found[True],
    found[False],
  )
  # What a function does while it is traced (drawing names, counting random
  # numbers) happens once.
  assert traces.count(1) == 1


def test_the_branch_is_still_there_after_compiling() -> None:
  def loss(x: Any) -> Any:
    for _ in range(3):
      x = rematerialise.rematerialise(lambda x: jnp.sin(x) * 2)(x)
    return jnp.sum(x)

  compiled = jax.jit(jax.grad(loss)).lower(jnp.ones(64)).compile()
  assert compiled.as_text().count(' conditional(') >= 2
