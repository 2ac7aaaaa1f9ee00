# SPDX-License-Identifier: Apache-2.0
"""Checkpoints come back to the bit; bad ones give one clear error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax.train import checkpoints
from ng_jax.train import state as state_lib
from tests.train import linear_task


def state_at(step, size=5):
  state, optimizer = linear_task.make_state(size=size)
  grads = jax.tree.map(jnp.ones_like, state.params)
  updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
  return state.replace(
    step=jnp.asarray(step, jnp.int32),
    params=jax.tree.map(lambda p, u: p + step * u, state.params, updates),
    opt_state=opt_state,
  )


def fill(directory, accuracies):
  with checkpoints.CheckpointStore(directory) as store:
    for step, accuracy in accuracies.items():
      store.save(
        state_at(step),
        metrics={'validation_accuracy': accuracy},
        config={'seed': 3},
      )


def assert_equal(a: state_lib.TrainState, b: state_lib.TrainState):
  keys = [jax.random.key_data(x.key) for x in (a, b)]
  np.testing.assert_array_equal(*keys)
  a, b = (x.replace(key=0) for x in (a, b))
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(x, y)


def test_state_comes_back_to_the_bit(tmp_path):
  fill(tmp_path, {4: 0.5})
  with checkpoints.CheckpointStore(tmp_path) as store:
    restored = store.restore(state_at(0), step=store.latest_step())
    assert store.config(4) == {'seed': 3}
    assert store.metrics(4) == {'validation_accuracy': 0.5}
  assert_equal(restored, state_at(4))
  draws = [jax.random.normal(s.key) for s in (restored, state_at(4))]
  assert draws[0] == draws[1]


def test_the_smallest_metric_may_be_the_best(tmp_path):
  def fill_errors(errors):
    with checkpoints.CheckpointStore(
      tmp_path, metric='validation_mse', mode='min'
    ) as store:
      for step, error in errors.items():
        store.save(state_at(step), metrics={'validation_mse': error}, config={})
      assert store.best_step() == 3  # The later of two equals.
      assert store.metrics(3) == {'validation_mse': 0.1}

  fill_errors({1: 0.5, 2: 0.1, 3: 0.1, 4: 0.9})
  fill_errors({5: 0.3, 6: 0.4})
  kept = {int(path.name) for path in tmp_path.iterdir() if path.is_dir()}
  assert kept == {3, 5, 6}
  with pytest.raises(ValueError, match=r"unknown mode 'least'; .*\['max', 'mi"):
    checkpoints.CheckpointStore(tmp_path, mode='least')


def test_latest_two_and_the_best_are_kept(tmp_path):
  fill(tmp_path, {1: 0.5, 2: 0.9, 3: 0.9, 4: 0.2})
  fill(tmp_path, {5: 0.3, 6: 0.1})
  with checkpoints.CheckpointStore(tmp_path) as store:
    assert store.latest_step() == 6
    assert store.best_step() == 3  # The later of two equals.
  kept = {int(path.name) for path in tmp_path.iterdir() if path.is_dir()}
  assert kept == {3, 5, 6}


def test_empty_store(tmp_path):
  with checkpoints.CheckpointStore(tmp_path / 'new') as store:
    assert store.latest_step() is None
    assert store.best_step() is None


def test_saved_copy_survives_donation(tmp_path):
  state = state_at(2)
  with checkpoints.CheckpointStore(tmp_path) as store:
    store.save(state, metrics={'validation_accuracy': 0.0}, config={})
    jax.tree.map(lambda leaf: leaf.delete(), state.params)
  with checkpoints.CheckpointStore(tmp_path) as store:
    assert_equal(store.restore(state_at(0), step=2), state_at(2))


def test_checkpoint_of_another_model_lists_the_leaves(tmp_path):
  fill(tmp_path, {4: 0.5})
  other = state_at(0, size=7)
  extra = other.replace(params={**other.params, 'probe': jnp.zeros(2)})
  with checkpoints.CheckpointStore(tmp_path) as store:
    with pytest.raises(ValueError) as error:
      store.restore(extra, step=4)
  text = str(error.value)
  assert 'is of another model or optimizer' in text
  assert 'missing in the checkpoint: params/probe (2,)' in text
  assert 'params/kernel is (5, 3) in the checkpoint, (7, 3) in' in text
  del extra.params['kernel']
  with checkpoints.CheckpointStore(tmp_path) as store:
    with pytest.raises(ValueError, match='only in the checkpoint: params/kern'):
      store.restore(extra, step=4)


@pytest.mark.parametrize('damage', ['truncate', 'delete'])
def test_damaged_checkpoint_is_one_clear_error(tmp_path, damage):
  fill(tmp_path, {2: 0.1, 4: 0.5})
  files = [p for p in (tmp_path / '4' / 'state').rglob('*') if p.is_file()]
  for path in files:
    if damage == 'delete':
      path.unlink()
    else:
      path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  with checkpoints.CheckpointStore(tmp_path) as store:
    with pytest.raises(ValueError, match='cannot be read') as error:
      store.restore(state_at(0), step=4)
  assert 'to go on from step 2' in str(error.value)
