# SPDX-License-Identifier: Apache-2.0
"""Tests of specs of state_dicts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import specs
from ng_jax.specs.inference import checking


def _state(rng, **shapes):
  return {
    key.replace('__', '.'): rng.normal(size=shape)
    for key, shape in shapes.items()
  }


def _permuted(spec, state, seed):
  permutation = checking._draw_permutation(np.random.default_rng(seed), spec)
  return jax.jit(lambda w: specs.permute(spec, w, permutation))(state)


def test_mlp_runs_and_permutes(x64):
  rng = np.random.default_rng(0)
  state = _state(
    rng,
    seq__0__weight=(6, 3),
    seq__0__bias=(6,),
    seq__2__weight=(5, 6),
    seq__4__weight=(2, 5),
    seq__4__bias=(2,),
  )
  spec = specs.sequential(state, activation=('tanh', 'sine'))
  assert specs.check_weights(spec, state) == ()
  x = rng.normal(size=(7, 3))
  h = np.tanh(x @ state['seq.0.weight'].T + state['seq.0.bias'])
  h = np.sin(h @ state['seq.2.weight'].T)
  expected = h @ state['seq.4.weight'].T + state['seq.4.bias']
  network = networks.Chain(spec)
  run = jax.jit(network.apply)
  np.testing.assert_allclose(run(state, x), expected, rtol=0, atol=1e-12)
  moved = _permuted(spec, state, 3)
  assert set(moved) == set(state)
  assert np.any(moved['seq.0.weight'] != state['seq.0.weight'])
  np.testing.assert_allclose(run(moved, x), expected, rtol=0, atol=1e-12)
  batch = jax.tree.map(lambda *a: jnp.stack(a), state, dict(moved))
  np.testing.assert_allclose(
    run(batch, x), [expected, expected], rtol=0, atol=1e-12
  )


@pytest.mark.parametrize(('rows', 'columns'), [(2, 2), (2, 3)])
def test_flattened_images(x64, rows, columns):
  rng = np.random.default_rng(1)
  state = _state(
    rng,
    conv__weight=(4, 2, 3, 3),
    conv__bias=(4,),
    fc__weight=(5, 4 * rows * columns),
    last__weight=(2, 5),
  )
  spec = specs.sequential(state)
  block = spec.block('fc')
  assert block.num_channels == rows * columns
  assert block.kernel == ((2, 2) if rows == columns else None)

  def run(state, x):
    # As torch: channels first, and flattened channel by channel.
    x = jax.lax.conv_general_dilated(
      x, state['conv.weight'], (1, 1), 'SAME'
    ) + state['conv.bias'].reshape(-1, 1, 1)
    x = jax.nn.relu(x).reshape(x.shape[0], -1)
    return jax.nn.relu(x @ state['fc.weight'].T) @ state['last.weight'].T

  x = rng.normal(size=(3, 2, rows, columns))
  expected = run(state, x)
  moved = _permuted(spec, state, 0)
  assert np.any(moved['conv.weight'] != state['conv.weight'])
  np.testing.assert_allclose(run(moved, x), expected, rtol=0, atol=1e-10)


def test_all_problems_are_listed_at_once():
  state = {
    'a.weight': np.zeros((4, 3)),
    'a.bias': np.zeros(5),
    'b.weight': np.zeros((2, 6)),
    'c.weight': np.zeros((3, 2, 3, 3)),
    'd.weight': np.zeros((3, 3, 3)),
    'e.bias': np.zeros(3),
    'f.running_mean': np.zeros(3),
  }
  with pytest.raises(ValueError, match='must hold a plain chain') as error:
    specs.sequential(state)
  for message in (
    "'a.bias' must have shape (4,), got (5,)",
    "'b.weight' reads 6 neurons, but 'a.weight' makes 4",
    "'c.weight' is a convolution after the linear 'b.weight'",
    "'d.weight' must have 2 axes (linear) or 4 (convolution), got shape",
    "'e.bias' has no 'e.weight'",
    "'f.running_mean' is neither a weight nor a bias",
  ):
    assert message in str(error.value)
  with pytest.raises(ValueError, match='it is empty'):
    specs.sequential({})


def test_activations_are_checked():
  state = {'weight': np.zeros((2, 3))}
  assert specs.sequential(state).num_outputs == 2
  with pytest.raises(ValueError, match='each of the 0 hidden layers'):
    specs.sequential(state, activation=('relu',))
  state = {'a.weight': np.zeros((4, 3)), 'b.weight': np.zeros((2, 4))}
  with pytest.raises(ValueError, match="unknown activation 'mish'"):
    specs.sequential(state, activation='mish')


def test_only_linear_chains_run():
  state = {'a.weight': np.zeros((4, 3, 2, 2)), 'b.weight': np.zeros((2, 4))}
  with pytest.raises(ValueError, match='must be a chain of linear layers'):
    networks.Chain(specs.sequential(state))
  with pytest.raises(ValueError, match='must be known functions'):
    networks.Chain(specs.mlp((2, 3, 1), 'other'))
