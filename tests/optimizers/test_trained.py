# SPDX-License-Identifier: Apache-2.0
"""The optimizers that ship load by name and train networks never seen."""

import json
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import datasets

from ng_jax import optimizers
from ng_jax import specs
from tests import programs
from tests import repeats

_NAMES = tuple(
  f'{kind}_fashion_mnist' for kind in ('ff', 'lstm', 'nfn', 'ng_gnn', 'ng_t')
)
_MODULE = nn.Sequential(
  [nn.Dense(64), nn.relu, nn.Dense(32), nn.relu, nn.Dense(10)]
)
# How far below Adam's accuracy an optimizer may be.
_MARGIN = 0.01
_NUM_TRAIN, _NUM_STEPS, _BATCH = 1_400, 300, 128


def _digits() -> tuple[jax.Array, jax.Array]:
  digits = datasets.load_digits()
  order = np.random.default_rng(0).permutation(len(digits.target))
  x = jnp.asarray(digits.data[order] / 16.0, jnp.float32)
  return x, jnp.asarray(digits.target[order])


def _spec() -> specs.NetworkSpec:
  x, _ = _digits()
  params = _MODULE.init(jax.random.key(0), x[:2])['params']
  return specs.infer(_MODULE, params, x[:2])


def _accuracy(tx: Any) -> float:
  """Mean test accuracy after training from three seeds."""
  x, y = _digits()
  tx = optax.with_extra_args_support(tx)

  def loss_function(params: Any, rows: jax.Array) -> jax.Array:
    logits = _MODULE.apply({'params': params}, x[rows])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, y[rows])
    return losses.mean()

  def step(carry: Any, key: jax.Array) -> Any:
    params, state = carry
    rows = jax.random.choice(key, _NUM_TRAIN, (_BATCH,), replace=False)
    loss, gradients = jax.value_and_grad(loss_function)(params, rows)
    updates, state = tx.update(gradients, state, params, value=loss)
    return (optax.apply_updates(params, updates), state), None

  @programs.usual_jit
  def run(key: jax.Array) -> jax.Array:
    params = _MODULE.init(key, x[:2])['params']
    start = (params, tx.init(params))
    (params, _), _ = jax.lax.scan(
      step, start, jax.random.split(key, _NUM_STEPS)
    )
    logits = _MODULE.apply({'params': params}, x[_NUM_TRAIN:])
    return jnp.mean(logits.argmax(-1) == y[_NUM_TRAIN:])

  return float(np.mean([run(jax.random.key(seed)) for seed in range(3)]))


def test_the_promised_ones_are_there():
  assert optimizers.trained_names() == _NAMES


@pytest.mark.parametrize('name', _NAMES)
def test_loads_and_says_how_it_was_trained(name):
  spec = None if name.startswith(('ff', 'lstm')) else _spec()
  trained = optimizers.read(name, spec)
  config = trained.details['config']
  assert config['model']['name'] == name.removesuffix('_fashion_mnist')
  assert len(config['tasks']) > 1
  curve = trained.details['curves']['fashion_mnist_cnn']
  assert len(curve['steps']) == len(curve['test_accuracy'])
  assert max(curve['test_accuracy']) > 0.5
  # Nothing of the machine that made it.
  assert '/' not in json.dumps(trained.details)


@pytest.mark.slow
def test_one_theta_serves_networks_of_other_layouts():
  layouts = (specs.mlp((3, 4, 2)), specs.mlp((5, 4, 4, 4, 2)))
  for name in _NAMES:
    for spec in layouts:
      params = {
        leaf.path: jnp.full(spec.leaf_shape(leaf), 0.1) for leaf in spec.leaves
      }
      params = specs.from_leaf_arrays(params)
      tx = optimizers.load(name, spec)
      state = tx.init(params)
      updates, _ = jax.jit(tx.update)(params, state, params)
      assert jax.tree.structure(updates) == jax.tree.structure(params)
      assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(updates))


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', repeats.cases(_NAMES, repeats=('ng_t_fashion_mnist',))
)
def test_trains_a_flax_mlp_as_well_as_adam(name):
  tx = optimizers.load(name, _spec())
  assert _accuracy(tx) > _accuracy(optax.adam(1e-3)) - _MARGIN
