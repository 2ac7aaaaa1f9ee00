# SPDX-License-Identifier: Apache-2.0
"""Tests of training runs in one program against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ng_jax import meta
from ng_jax.meta import evaluation
from ng_jax.meta import optimizees
from tests import repeats
from tests.meta import learned_stand_in
from tests.meta import tiny_pixels

_TASK = meta.Task('tiny', optimizees.Mlp((36, 5, 4)), batch_size=8)
_CNN = meta.Task('tiny_cnn', optimizees.small_cnn(1, (3, 4)), batch_size=8)
_TRAIN = tiny_pixels.draw(28)
# Held-out images in two whole batches of 8 and a rest of 5.
_HELD = {'test': tiny_pixels.draw(21, seed=1)}
_LEARNED = learned_stand_in.LearnedMomentum()
_OPTIONS = {'num_steps': 6, 'test_every': 3, 'test_batch_size': 8}


def _adam(rate):
  return optax.adam(rate)


def _loop(task, tx, seed, num_steps):
  """The same run, step by step in Python; yields the state of each step."""
  tx = optax.with_extra_args_support(tx)
  key = jax.random.key(seed)
  params = task.init(jax.random.fold_in(key, 0))
  state = tx.init(params)
  rows = meta.draw_rows(
    jax.random.fold_in(key, 1),
    num_steps=num_steps,
    num_images=len(_TRAIN.labels),
    batch_size=task.batch_size,
  )

  @jax.jit
  def step(params, state, batch):
    loss, gradient = jax.value_and_grad(task.loss)(params, batch)
    updates, state = tx.update(gradient, state, params, value=loss)
    return loss, optax.apply_updates(params, updates), state

  train = jax.device_put(_TRAIN)
  for chosen in rows:
    loss, params, state = step(params, state, train.take(chosen))
    yield float(loss), params


@pytest.mark.parametrize(
  'kind', repeats.cases(['adam', 'learned'], repeats=['adam'])
)
def test_the_scan_equals_a_loop(kind):
  make, theta = _adam, 1e-2
  if kind == 'learned':
    make, theta = _LEARNED.transformation, _LEARNED.init(jax.random.key(0))
  found = meta.evaluate(
    _TASK, make, theta, _TRAIN, held=_HELD, seeds=(7,), **_OPTIONS
  )
  steps = list(_loop(_TASK, make(theta), 7, 6))
  np.testing.assert_allclose(
    found.train_losses[0], [loss for loss, _ in steps], rtol=1e-4
  )
  np.testing.assert_array_equal(found.steps, [3, 6])
  whole = jax.device_put(_HELD['test']).take(jnp.arange(21))
  for i, step in enumerate((2, 5)):
    right, loss = _TASK.score(steps[step][1], whole)
    assert found.accuracy['test'][0, i] == pytest.approx(int(right) / 21)
    assert found.loss['test'][0, i] == pytest.approx(float(loss) / 21, rel=1e-4)
  np.testing.assert_array_equal(found.frozen_at, [-1])


@pytest.mark.parametrize(
  'task', repeats.cases([_TASK, _CNN], repeats=[_CNN]), ids=['mlp', 'cnn']
)
def test_seeds_side_by_side_equal_single_ones(task):
  together, after, single = (
    meta.evaluate(
      task,
      _adam,
      1e-2,
      _TRAIN,
      held=_HELD,
      seeds=seeds,
      over_seeds=over,
      **_OPTIONS,
    )
    for seeds, over in (((3, 4), 'vmap'), ((3, 4), 'map'), ((4,), 'map'))
  )
  np.testing.assert_allclose(
    together.train_losses, after.train_losses, rtol=1e-4
  )
  np.testing.assert_allclose(
    after.train_losses[1:], single.train_losses, rtol=1e-6
  )
  np.testing.assert_array_equal(
    after.accuracy['test'][1:], single.accuracy['test']
  )
  assert not np.allclose(together.train_losses[0], together.train_losses[1])


def test_tests_do_not_depend_on_their_batches():
  few, many = (
    meta.evaluate(
      _TASK,
      _adam,
      1e-2,
      _TRAIN,
      held=_HELD,
      seeds=(3,),
      **(_OPTIONS | {'test_batch_size': size}),
    )
    for size in (5, 1_000)
  )
  np.testing.assert_array_equal(few.accuracy['test'], many.accuracy['test'])
  np.testing.assert_allclose(few.loss['test'], many.loss['test'], rtol=1e-5)


def test_another_theta_compiles_nothing():
  def run(rate):
    return meta.evaluate(
      _TASK, _adam, rate, _TRAIN, held=_HELD, seeds=(1,), **_OPTIONS
    )

  run(1e-3)
  other = run(3e-2)
  assert other.compile_seconds == 0.0
  assert other.seconds > 0.0
  slow, fast = run(1e-6), run(5e-2)
  assert fast.train_losses[0, -1] < slow.train_losses[0, -1] - 0.1


@pytest.mark.allow_nans
def test_a_run_that_diverges_is_frozen_and_reported():
  found = meta.evaluate(
    _TASK, _adam, 1e38, _TRAIN, held=_HELD, seeds=(1, 2), **_OPTIONS
  )
  assert found.num_frozen == 2
  for losses, step in zip(found.train_losses, found.frozen_at, strict=True):
    assert 0 < step < 6
    assert np.isfinite(losses[:step]).all()
    assert np.isnan(losses[step:]).all()
  record = found.to_record()
  assert record['train_loss'][0][-1] is None
  assert record['frozen_at'] == found.frozen_at.tolist()


@pytest.mark.allow_nans
def test_a_frozen_run_keeps_its_weights():
  def jump(rate):
    """Ordinary steps, then one to infinity."""

    def scale(step):
      return jnp.where(step == 3, jnp.inf, -rate)

    return optax.scale_by_schedule(scale)

  options = {'num_steps': 6, 'test_every': 1, 'test_batch_size': 8}
  found = meta.evaluate(
    _TASK, jump, 0.1, _TRAIN, held=_HELD, seeds=(1,), **options
  )
  np.testing.assert_array_equal(found.frozen_at, [3])
  losses = found.loss['test'][0]
  assert len(set(losses[:3].tolist())) == 3
  np.testing.assert_array_equal(losses[3:], losses[2])
  assert np.isfinite(losses).all()


def test_final_figures_are_means_and_population_deviations():
  accuracy = np.array([[0.1, 0.5], [0.2, 0.7]], np.float32)
  found = evaluation.Evaluation(
    seeds=(1, 2),
    steps=np.array([2, 4]),
    accuracy={'test': accuracy},
    loss={'test': accuracy},
    train_losses=np.array([[4, 2, 1, 0], [4, 4, 1, 3]], np.float32),
    frozen_at=np.array([-1, -1]),
    seconds=1.0,
    compile_seconds=0.0,
  )
  assert found.final() == pytest.approx((0.6, 0.1))
  assert found.num_frozen == 0
  assert found.to_record()['train_loss'] == [[3.0, 0.5], [4.0, 2.0]]


def test_an_adam_step_learns_the_tiny_images():
  found = meta.evaluate(
    _TASK,
    _adam,
    3e-2,
    _TRAIN,
    held=_HELD,
    seeds=(1, 2),
    num_steps=60,
    test_every=60,
  )
  assert found.final()[0] > 0.8


def test_time_of_a_step():
  seconds = meta.measure_step(_TASK, _adam, 1e-2, _TRAIN, num_steps=4)
  assert 0.0 < seconds < 1.0


def test_errors_name_the_rule():
  def run(**options):
    options = {'held': _HELD, 'num_steps': 6, 'test_every': 3} | options
    meta.evaluate(_TASK, _adam, 1e-3, _TRAIN, **options)

  with pytest.raises(ValueError, match='seeds must name at least one run'):
    run(seeds=())
  with pytest.raises(ValueError, match='test_every must divide num_steps=6'):
    run(test_every=4)
  with pytest.raises(ValueError, match='held must map names to the images'):
    run(held={})
  with pytest.raises(ValueError, match=r"\['no'\] are empty"):
    run(held={'no': tiny_pixels.draw(0)})
  with pytest.raises(ValueError, match="unknown over_seeds 'pmap'"):
    run(over_seeds='pmap')
