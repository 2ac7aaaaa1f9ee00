# SPDX-License-Identifier: Apache-2.0
"""Rematerialised blocks: the same numbers from less memory."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import networks
from ng_jax.train import classification_config
from ng_jax.train import classification_variants
from ng_jax.train import reading
from tests import repeats
from tests.models import readers

_NETWORK = networks.Cnn(
  (2, 3, 2, 4), (3, 1, 1), ('gelu', 'none', 'tanh'), 3, (-1, -1, 0)
)
_CASES = repeats.cases(
  [
    ('ng_gnn', 'blocks'),
    ('ng_gnn_edit', 'segments'),
    ('ng_t', 'segments'),
    ('ng_t_edit', 'blocks'),
  ],
  repeats=lambda name, layout: name != 'ng_gnn',
)


def _gradient(model: Any, graph: Any) -> Any:
  def loss(params: Any, variables: Any) -> jax.Array:
    out = model.apply(
      {**variables, 'params': params},
      graph,
      train=True,
      rngs={'dropout': jax.random.key(3)},
    )
    # An editor gives a tree of changed weights.
    leaves = jax.tree.leaves(out)
    return sum(jnp.sum(jnp.sin(leaf)) for leaf in leaves)

  return jax.value_and_grad(loss)


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'layout'), _CASES)
def test_same_params_same_dropout_same_gradients(
  x64: None, name: str, layout: str
) -> None:
  graph = graphs.encode(
    graphs.topology(_NETWORK.spec),
    readers.draw_weights(_NETWORK.spec, num=2, dtype=np.float64),
  )
  graph = graphs.flatten(graph) if layout == 'segments' else graph
  plain = readers.create(name, _NETWORK.spec, dropout=0.3)
  remat = plain.copy(remat=True)
  variables = readers.draw_variables(plain, _NETWORK.spec, dtype=np.float64)
  shapes = jax.eval_shape(
    lambda: remat.init({'params': jax.random.key(0)}, graph)
  )
  assert jax.tree.structure(variables) == jax.tree.structure(shapes)
  values = []
  for model in (plain, remat):
    values.append(
      jax.jit(_gradient(model, graph))(variables['params'], variables)
    )
  leaves = jax.tree.leaves(values[0][1])
  assert max(np.max(np.abs(leaf)) for leaf in leaves) > 1e-3
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10),
    *values,
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', repeats.cases(['ng_gnn', 'ng_t'], quick=('ng_gnn',))
)
def test_less_memory(name: str) -> None:
  network = networks.Mlp((2, 16, 16, 2))
  graph = graphs.encode(
    graphs.topology(network.spec), readers.draw_weights(network.spec, num=8)
  )

  def peak(*, remat: bool) -> int:
    options = {'num_layers': 4, 'remat': remat, 'dropout': 0.0}
    model = readers.create(name, network.spec, **options)
    variables = readers.draw_variables(model, network.spec)
    step = jax.jit(_gradient(model, graph))
    compiled = step.lower(variables['params'], variables).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert peak(remat=True) < 0.6 * peak(remat=False)


@pytest.mark.parametrize('name', ['ng_gnn', 'ng_t'])
def test_a_config_chooses_it(name: str) -> None:
  config = classification_variants.make_config(name, 'smoke')
  assert config.model.remat is False
  with config.unlocked():
    config.model.remat = True
  classification_config.check(config)
  options = {k: x for k, x in config.model.items() if k != 'name'}
  model = reading.create_model(
    name,
    network=networks.Siren(),
    num_outputs=10,
    statistics=None,
    dtype='float32',
    **options,
  )
  assert model.remat
