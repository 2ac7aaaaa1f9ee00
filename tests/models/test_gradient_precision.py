# SPDX-License-Identifier: Apache-2.0
"""float32 gradients at full size: no message may lose its gradient.

XLA may compute a value twice, in fusions that round differently. The gradient
of a minimum compares values for equality and would then vanish, which shows in
large networks only, so this test uses the real sizes. The networks are drawn so
that no two messages are within the rounding of float32 of both being the
smallest, where the gradient itself is not defined.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import specs
from tests import programs
from tests import repeats


@pytest.mark.slow
@pytest.mark.parametrize('path', ['blocks', 'segments'])
@pytest.mark.parametrize(
  'modulation', repeats.cases(['film', 'concat'], quick=('film',))
)
def test_float32_gradient_equals_float64(
  x64: None, modulation: str, path: str
) -> None:
  network = networks.Siren()
  topology = graphs.topology(network.spec)
  model = models.create(
    'ng_gnn', spec=network.spec, modulation=modulation, num_layers=2
  )
  weights = jax.vmap(network.init)(jax.random.split(jax.random.key(1), 4))

  def encode(weights: Any) -> Any:
    graph = graphs.encode(topology, weights)
    return graphs.flatten(graph) if path == 'segments' else graph

  variables = jax.jit(model.init)(
    {'params': jax.random.key(2)}, encode(weights)
  )

  @programs.usual_jit
  @jax.grad
  def gradient(params: Any, constants: Any, weights: Any) -> jax.Array:
    values = {'params': params, 'constants': constants}
    return jnp.sum(model.apply(values, encode(weights)) ** 2)

  def at(dtype: Any) -> dict[str, jax.Array]:
    params, constants, cast = jax.tree.map(
      lambda leaf: jnp.asarray(leaf, dtype),
      (variables['params'], variables['constants'], weights),
    )
    return specs.leaf_arrays(gradient(params, constants, cast))

  wanted = at(jnp.float64)
  largest = max(float(jnp.max(jnp.abs(g))) for g in wanted.values())
  for leaf, found in at(jnp.float32).items():
    np.testing.assert_allclose(
      found, wanted[leaf], rtol=0, atol=1e-5 * largest, err_msg=leaf
    )
