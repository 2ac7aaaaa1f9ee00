# SPDX-License-Identifier: Apache-2.0
"""The optimizer and schedules equal the recorded reference, step by step."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ng_jax.train import optimizers

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'


def run_recorded_gradients(golden, transformation):
  params = {'0': golden['in/param_0'], '1': golden['in/param_1']}
  state = transformation.init(params)
  update = jax.jit(transformation.update)
  history = []
  for step in range(golden['in/grads_0'].shape[0]):
    grads = {name: golden[f'in/grads_{name}'][step] for name in params}
    updates, state = update(grads, state, params)
    params = optax.apply_updates(params, updates)
    history.append(params)
  return {name: np.stack([p[name] for p in history]) for name in params}


def test_adamw_equals_reference():
  golden = np.load(GOLDEN / 'unit_adamw_amsgrad.npz')
  config = json.loads(str(golden['config']))
  schedule = optimizers.make_schedule(
    'constant',
    config['optimizer']['lr'],
    warmup_steps=config['warmup_steps'],
  )
  transformation = optimizers.adamw(
    schedule,
    weight_decay=config['optimizer']['weight_decay'],
    clip_norm=config['clip_grad_max_norm'],
  )
  history = run_recorded_gradients(golden, transformation)
  for name, values in history.items():
    expected = golden[f'out/param_{name}']
    assert np.abs(values - expected).max() <= 4e-6


@pytest.mark.parametrize(
  'change',
  [
    {'amsgrad': False},
    {'weight_decay': 0.0},
    {'clip_norm': 0.0},
  ],
)
def test_golden_file_can_see_the_setting(change):
  golden = np.load(GOLDEN / 'unit_adamw_amsgrad.npz')
  schedule = optimizers.make_schedule('constant', 1e-3, warmup_steps=10)
  settings = {'weight_decay': 5e-4, 'clip_norm': 10.0, **change}
  history = run_recorded_gradients(
    golden, optimizers.adamw(schedule, **settings)
  )
  errors = [
    np.abs(history[name] - golden[f'out/param_{name}']).max()
    for name in history
  ]
  assert max(errors) > 4e-6


SCHEDULES = {
  'warmup_1000': ('constant', {'warmup_steps': 1000}, 1),
  'warmup_0': ('constant', {'warmup_steps': 0}, 1),
  'warmup_10': ('constant', {'warmup_steps': 10}, 1),
  'exp_10': (
    'exponential',
    {'warmup_steps': 10, 'decay_steps': 40, 'decay_rate': 0.5},
    1,
  ),
  'cos_10': (
    'cosine',
    {'warmup_steps': 10, 'decay_steps': 60, 'final_fraction': 0.05},
    1,
  ),
  'warmup_10000_every50': ('constant', {'warmup_steps': 10000}, 50),
}


@pytest.mark.parametrize('case', sorted(SCHEDULES))
def test_schedule_equals_reference(case):
  name, settings, stride = SCHEDULES[case]
  expected = np.load(GOLDEN / 'unit_lr_schedules.npz')[f'out64/{case}']
  schedule = optimizers.make_schedule(name, 1e-3, **settings)
  counts = jnp.arange(expected.shape[0]) * stride
  values = np.asarray(jax.jit(jax.vmap(schedule))(counts))
  np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_schedule_of_optax_counts_from_zero():
  schedule = optimizers.make_schedule('constant', 1.0, warmup_steps=4)
  assert float(schedule(0)) == 0.25


def test_clip_has_the_reference_coefficient():
  grads = {'a': jnp.array([3.0, 0.0]), 'b': jnp.array([[4.0]])}
  clip = optimizers.clip_by_global_norm(1.0)
  clipped, _ = clip.update(grads, clip.init(grads))
  np.testing.assert_allclose(
    clipped['a'], np.array([3.0, 0.0]) / (5.0 + 1e-6), rtol=1e-6
  )
  unchanged, _ = optimizers.clip_by_global_norm(100.0).update(
    grads, clip.init(grads)
  )
  np.testing.assert_array_equal(unchanged['b'], grads['b'])


def test_decay_reaches_every_parameter():
  params = {'kernel': jnp.ones((2, 2)), 'bias': jnp.ones(2)}
  transformation = optimizers.adamw(0.1, weight_decay=0.5)
  grads = jax.tree.map(jnp.zeros_like, params)
  updates, _ = transformation.update(grads, transformation.init(params), params)
  for leaf in jax.tree.leaves(updates):
    np.testing.assert_allclose(leaf, -0.05, rtol=1e-6)


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (
      lambda: optimizers.make_schedule('linear', 1e-3),
      "unknown schedule 'linear'; expected one of "
      r"\['constant', 'cosine', 'exponential'\]",
    ),
    (
      lambda: optimizers.make_schedule('constant', 1e-3, warmup_steps=-1),
      'warmup_steps must be at least 0',
    ),
    (
      lambda: optimizers.make_schedule('cosine', 1e-3, decay_steps=0),
      'decay_steps at least 1',
    ),
    (
      lambda: optimizers.clip_by_global_norm(0.0),
      'max_norm must be positive',
    ),
  ],
)
def test_errors(call, message):
  with pytest.raises(ValueError, match=message):
    call()
