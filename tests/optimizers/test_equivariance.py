# SPDX-License-Identifier: Apache-2.0
"""Updates and whole trajectories permute with hidden neurons (l2o spec 7.7)."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import specs
from ng_jax.optimizers import per_parameter
from ng_jax.optimizers import trees
from tests import repeats
from tests.optimizers import tiny

_NUM_STEPS = 20
_NAMES = ('ff', 'google_ff', 'google_lstm', 'google_nfn', 'lstm', 'nfn')
_GRAPH_NAMES = ('ng_gnn', 'ng_t')
# Per network: the network, the shape of its inputs, a permutation.
_NETWORKS = {
  'mlp': (
    tiny.MLP,
    (8, 3),
    {'hidden_1': (2, 0, 3, 1), 'hidden_2': (1, 3, 0, 2)},
  ),
  'cnn': (
    networks.Cnn(channels=(1, 3, 4), kernel_sizes=(3, (2, 3)), num_classes=2),
    (4, 4, 4, 1),
    {'hidden_1': (2, 0, 1), 'hidden_2': (3, 0, 1, 2)},
  ),
}


def _permute(spec: specs.NetworkSpec, tree: Any, order: Any) -> Any:
  order = {name: np.asarray(index) for name, index in order.items()}
  return specs.permute(spec, tree, order)


def _permute_state(spec: specs.NetworkSpec, state: Any, order: Any) -> Any:
  """That of the paper's optimizers; those of the others start from zero."""
  if not isinstance(state, per_parameter.MomentaState):
    return state
  momenta = specs.from_leaf_arrays(state.momenta)
  permuted = specs.leaf_arrays(_permute(spec, momenta, order))
  return state._replace(momenta=permuted)


def _stack(a: Any, b: Any) -> Any:
  return jax.tree.map(lambda *pair: jnp.stack(pair), a, b)


@functools.cache
def _largest_differences(
  name: str, network_name: str, options: tuple[tuple[str, Any], ...] = ()
) -> tuple[float, float, float]:
  """After one step and after all, relative, and how far parameters moved.

  Both networks run side by side: the original and the permuted one.
  """
  network, input_shape, order = _NETWORKS[network_name]
  spec = network.spec
  needs = name in tiny.NEED_SPEC
  optimizer = tiny.create(name, spec if needs else None, **dict(options))
  # Float64 throughout; the scale makes trajectories of some length.
  theta = jax.tree.map(
    lambda x: x.astype(jnp.float64), tiny.draw_theta(optimizer, 3)
  )
  tx = optimizer.transformation(theta)
  params = tiny.draw_params(spec, 1, jnp.float64)
  state = tx.init(params)
  if isinstance(state, per_parameter.MomentaState):
    state = state._replace(momenta=tiny.draw_like(state.momenta, 2))
  rng = np.random.default_rng(0)
  batches = jnp.asarray(rng.normal(size=(_NUM_STEPS, *input_shape)))
  labels = jnp.asarray(rng.normal(size=(_NUM_STEPS, input_shape[0], 2)))

  def step(carry: Any, batch: Any) -> Any:
    params, state = carry

    def loss(params: Any) -> jax.Array:
      return jnp.mean((network.apply(params, batch[0]) - batch[1]) ** 2)

    value, gradients = jax.value_and_grad(loss)(params)
    updates, state = tx.update(gradients, state, params, value=value)
    params = jax.tree.map(jnp.add, params, updates)
    return (params, state), params

  start = _stack(
    (params, state),
    (_permute(spec, params, order), _permute_state(spec, state, order)),
  )
  both = jax.vmap(step, in_axes=(0, None))
  run = jax.jit(lambda *inputs: jax.lax.scan(both, *inputs)[1])
  found = run(start, (batches, labels))
  original = jax.tree.map(lambda x: np.asarray(x[:, 0]), found)
  permuted = jax.tree.map(lambda x: np.asarray(x[:, 1]), found)
  expected = _permute(spec, original, order)
  differences = [
    np.max(np.abs(a - b), axis=tuple(range(1, a.ndim)))
    for a, b in zip(
      jax.tree.leaves(permuted), jax.tree.leaves(expected), strict=True
    )
  ]
  by_step = np.max(differences, axis=0)
  moved = max(
    np.max(np.abs(a[-1] - b))
    for a, b in zip(
      jax.tree.leaves(original), jax.tree.leaves(params), strict=True
    )
  )
  return float(by_step[0]), float(by_step[-1]), float(moved)


@pytest.mark.parametrize(
  ('name', 'network'),
  repeats.cases(
    itertools.product((*_NAMES, *_GRAPH_NAMES), sorted(_NETWORKS)),
    quick=[('ng_gnn', 'cnn'), *((x, 'mlp') for x in ('ff', 'nfn', 'ng_t'))],
  ),
)
def test_trajectories_permute(name, network, x64):
  # The steps of learned_optimization are small by default.
  options = {'step_scale': 0.01} if name.startswith('google') else {}
  first, last, moved = _largest_differences(
    name, network, tuple(options.items())
  )
  assert first < 1e-10
  assert last < 1e-8
  assert moved > 1e-2


def test_trajectories_permute_where_maps_are_shared_by_role(x64):
  first, last, moved = _largest_differences('nfn', 'cnn', (('share', 'role'),))
  assert first < 1e-10
  assert last < 1e-8
  assert moved > 1e-2


@pytest.mark.parametrize('name', _GRAPH_NAMES)
def test_indexing_of_the_reference_does_not_permute(name, x64):
  first, _, _ = _largest_differences(
    name, 'mlp', (('compat_reference_indexing', True),)
  )
  assert first > 1e-5


@pytest.mark.parametrize('name', _GRAPH_NAMES)
def test_running_positions_tell_inputs_apart_but_not_neurons(name, x64):
  """Another numbering of hidden neurons changes no context."""
  spec = tiny.MLP.spec
  params = tiny.draw_params(spec, 1, jnp.float64)
  orders = (
    {'hidden_1': (2, 0, 3, 1), 'hidden_2': (1, 3, 0, 2)},
    {'input': (1, 2, 0)},
  )
  differences = []
  optimizer = tiny.create(name, spec)
  tx = optimizer.transformation(tiny.draw_theta(optimizer, 3, 2.0))
  update = jax.jit(lambda params: tx.update(params, tx.init(params), params)[0])
  for order in orders:
    found = update(_permute(spec, params, order))
    expected = _permute(spec, update(params), order)
    differences.append(
      max(
        float(jnp.max(jnp.abs(a - b)))
        for a, b in zip(
          trees.named_leaves(found).values(),
          trees.named_leaves(expected).values(),
          strict=True,
        )
      )
    )
  assert differences[0] < 1e-10
  assert differences[1] > 1e-7
