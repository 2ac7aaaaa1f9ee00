# SPDX-License-Identifier: Apache-2.0
"""Estimators against exact gradients, plain loops and each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ng_jax.meta import estimators
from ng_jax.meta import horizons
from ng_jax.meta import problems
from ng_jax.meta.estimators import perturbations
from ng_jax.meta.estimators import sources
from tests import repeats
from tests.meta import influence_balancing as balancing
from tests.meta import small_task

_TASK, _OPTIMIZER = small_task.Task(), small_task.Momentum()
_BALANCING = balancing.InfluenceBalancing()
_EPISODE = horizons.constant(balancing.NUM_STEPS)


def make_learning(outer_loss='post_same'):
  return problems.LearningProblem(
    _TASK, _OPTIMIZER, outer_loss, num_classes=small_task.NUM_CLASSES
  )


def run(estimator, theta, data, num_estimates, *, state=None, first=0):
  """Gradients of consecutive estimates at one theta, and the last state."""
  if state is None:
    state = estimator.init(theta, jax.random.key(1), data)
  estimate = jax.jit(estimator.estimate)
  found = []
  for number in range(first, first + num_estimates):
    key = jax.random.fold_in(jax.random.key(2), number)
    gradient, state, metrics = estimate(theta, state, key, data)
    found.append(gradient)
  gradients = jax.tree.map(lambda *leaves: np.stack(leaves), *found)
  return gradients, state, metrics


def mean_drive(estimator, num_estimates):
  gradients, _, _ = run(estimator, balancing.theta(), None, num_estimates)
  return float(gradients['drive'].mean())


def assert_equal(a, b):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(x, y)


def assert_close(a, b, rtol=1e-5):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-6)


# Influence balancing: the exact gradient and those of truncated unrolls.


@pytest.mark.parametrize(
  'window, expected',
  [(1, -0.260), (10, -1.776), (50, 10.087), (100, balancing.GRADIENT)],
)
def test_truncated_backprop_is_as_biased_as_it_must_be(window, expected):
  estimator = estimators.TruncatedBackprop(
    _BALANCING, 1, window=window, horizon=_EPISODE, stagger=False
  )
  found = mean_drive(estimator, balancing.NUM_STEPS // window)
  assert found == pytest.approx(expected, abs=6e-4)


def test_pes_is_unbiased():
  num_particles = 10_000
  # 0.10 was measured with 400,000 particles.
  error = 0.10 * np.sqrt(400_000 / num_particles)
  estimator = estimators.Pes(
    _BALANCING, num_particles, 10, _EPISODE, stagger=False, sigma=0.1
  )
  found = mean_drive(estimator, 10)
  assert found == pytest.approx(balancing.GRADIENT, abs=4 * error)


def test_truncated_es_has_the_wrong_sign():
  num_particles = 10_000
  error = 0.04 * np.sqrt(400_000 / num_particles)
  estimator = estimators.TruncatedEs(
    _BALANCING, num_particles, 10, _EPISODE, stagger=False, sigma=0.1
  )
  found = mean_drive(estimator, 10)
  assert found == pytest.approx(-1.81, abs=4 * error)


def test_full_es_is_unbiased():
  estimator = estimators.FullEs(
    _BALANCING, 4_000, window=50, horizon=_EPISODE, sigma=0.1
  )
  gradients = np.asarray(
    [
      run(estimator, balancing.theta(), None, 1, first=k)[0]['drive']
      for k in range(4)
    ]
  )
  error = gradients.std(ddof=1) / 2
  assert gradients.mean() == pytest.approx(
    balancing.GRADIENT, abs=max(6 * error, 3.0)
  )


# Evolution strategies against each other.


@pytest.fixture(scope='module')
def learning():
  """A problem with its data and theta."""
  pixels = small_task.make_pixels()
  return make_learning('pre'), pixels, _OPTIMIZER.init(jax.random.key(5))


@pytest.mark.slow
def test_pes_with_one_window_is_full_es(learning):
  problem, pixels, theta = learning
  horizon = horizons.constant(5)
  pes = estimators.Pes(problem, 4, 5, horizon, stagger=False)
  full = estimators.FullEs(problem, 4, 5, horizon)
  truncated = estimators.TruncatedEs(problem, 4, 5, horizon, stagger=False)
  a, _, metrics = run(pes, theta, pixels, 3)
  b, _, others = run(full, theta, pixels, 3)
  assert_equal(a, b)
  assert_equal(run(truncated, theta, pixels, 3)[0], b)
  np.testing.assert_allclose(metrics['loss'], others['loss'], rtol=1e-6)
  assert np.abs(a['rate']).max() > 0


def test_pes_by_hand(learning):
  """Two windows of one particle, with the formulas of the paper."""
  problem, pixels, theta = learning
  pes = estimators.Pes(problem, 1, 3, horizons.constant(6), stagger=False)
  state = pes.init(theta, jax.random.key(1), pixels)
  source = jax.tree.map(lambda leaf: leaf[0], state.source)
  particle = jax.random.wrap_key_data(source.key)
  params = _TASK.init(jax.random.fold_in(jax.random.fold_in(particle, 0), 0))
  inputs = problem.draw(jax.random.fold_in(particle, 1), 0, 6, pixels)
  states, xi = [problems.LearnerState(params, zeros_like(params))] * 2, 0.0
  step = jax.jit(problem.step)
  for window in range(2):
    key = jax.random.fold_in(jax.random.key(2), window)
    key = jax.random.fold_in(key, 0)
    noise = [
      0.01 * jax.random.normal(jax.random.fold_in(key, i), leaf.shape)
      for i, leaf in enumerate(jax.tree.leaves(theta))
    ]
    noise = jax.tree.unflatten(jax.tree.structure(theta), noise)
    xi = jax.tree.map(lambda x, e: x + e, xi, noise) if window else noise
    total = [0.0, 0.0]
    for side, sign in enumerate((1.0, -1.0)):
      moved = jax.tree.map(lambda t, e, s=sign: t + s * e, theta, noise)
      for t in range(3 * window, 3 * window + 3):
        rows = jax.tree.map(lambda leaf, t=t: leaf[t], inputs)
        states[side], loss = step(moved, states[side], rows, pixels)
        total[side] += loss / 3
    delta = (total[0] - total[1]) / (2 * 0.01**2)
    expected = jax.tree.map(lambda x, d=delta: d * x, xi)
    gradients, state, _ = run(pes, theta, pixels, 1, state=state, first=window)
    found = jax.tree.map(lambda leaf: leaf[0], gradients)
    # The difference of two losses near 1 in float32, over 2 sigma^2.
    assert_close(found, expected, rtol=2e-2)


def zeros_like(tree):
  return jax.tree.map(jnp.zeros_like, tree)


@pytest.mark.slow
def test_after_an_episode_a_particle_is_like_new(learning):
  problem, pixels, theta = learning
  pes = estimators.Pes(problem, 3, 4, horizons.constant(8), stagger=False)
  _, state, metrics = run(pes, theta, pixels, 2)
  assert float(metrics['finished']) == 1.0
  new = pes.init(theta, jax.random.key(1), pixels)
  # The same but for the trajectories, which the next window replaces.
  assert_equal(state.accumulated, new.accumulated)
  source = new.source._replace(
    step=new.source.step + 8, episode=jnp.ones(3, int)
  )
  fresh = new._replace(episode=new.episode._replace(source=source))
  a, after_a, _ = run(pes, theta, pixels, 2, state=state, first=2)
  b, after_b, _ = run(pes, theta, pixels, 2, state=fresh, first=2)
  assert_equal(a, b)
  assert_equal(after_a, after_b)


@pytest.mark.slow
def test_inclusive_done_moves_the_last_step_to_the_new_noise(learning):
  problem, pixels, theta = learning
  window, horizon = 4, horizons.constant(8)
  make = functools.partial(
    estimators.Pes, problem, 2, window, horizon, stagger=False
  )
  exclusive, state, _ = run(make(), theta, pixels, 1)
  inclusive, state, _ = run(make(inclusive_done=True), theta, pixels, 1)
  assert_equal(exclusive, inclusive)  # Nothing is over yet.
  a, _, _ = run(make(), theta, pixels, 1, state=state, first=1)
  b, _, _ = run(
    make(inclusive_done=True), theta, pixels, 1, state=state, first=1
  )
  # The last step's difference, from windows that are shorter by it.
  short = estimators.Pes(problem, 2, 3, horizons.constant(99), stagger=False)
  sums = {}
  for steps, pes in ((3, short), (4, make())):
    per = jax.jit(
      jax.vmap(pes.estimate_particle, in_axes=(None, 0, None, None))
    )
    key = jax.random.fold_in(jax.random.key(2), 1)
    gradient, after, _ = per(theta, state, key, pixels)
    sums[steps] = jax.tree.map(lambda g, n=steps: g * n, gradient)
  last = jax.tree.map(lambda x, y: (x - y) / 4, sums[4], sums[3])
  # last is d xi / (2 sigma^2 K); what moves is d (e - xi), and xi minus that of
  # the window before is e.
  before = state.accumulated
  xi = per_particle_sum(theta, state, key)
  moved = jax.tree.map(
    lambda g, x, old: jnp.mean(g / x * (x - old) - g, axis=0), last, xi, before
  )
  found = jax.tree.map(lambda x, y: y[0] - x[0], a, b)
  assert_close(found, moved, rtol=1e-2)
  assert np.abs(found['rate']).max() > 1e-4


def per_particle_sum(theta, state, key):
  """What the perturbations sum up to after the window of this key."""

  def one(source, accumulated):
    noise = perturbations.draw(
      theta, sources.perturbation_key(source, key), 0.01
    )
    return jax.tree.map(jnp.add, accumulated, noise)

  return jax.vmap(one)(state.source, state.accumulated)


def test_sign_delta_keeps_the_direction_of_each_particle(learning):
  problem, pixels, theta = learning
  horizon = horizons.constant(4)
  plain = estimators.Pes(problem, 1, 4, horizon, stagger=False)
  signed = estimators.Pes(problem, 1, 4, horizon, stagger=False, sign_delta=0.5)
  a, _, _ = run(plain, theta, pixels, 1)
  b, _, _ = run(signed, theta, pixels, 1)
  ratios = jax.tree.leaves(jax.tree.map(lambda x, y: (x / y).ravel(), a, b))
  ratios = np.concatenate(ratios)
  np.testing.assert_allclose(ratios, ratios[0], rtol=1e-5)
  assert ratios[0] > 0
  full = estimators.FullEs(problem, 1, 4, horizon, sign_delta=0.5)
  assert_equal(run(full, theta, pixels, 1)[0], b)


@pytest.mark.parametrize(
  'reduction',
  repeats.cases(['last', 'min', 'last_recompute'], repeats=('min',)),
)
def test_reductions_of_full_es(learning, reduction):
  problem, pixels, theta = learning
  estimator = estimators.FullEs(
    problem, 2, 3, horizons.constant(6), reduction=reduction
  )
  gradients, _, metrics = run(estimator, theta, pixels, 1)
  mean = estimators.FullEs(problem, 2, 3, horizons.constant(6))
  others, _, mean_metrics = run(mean, theta, pixels, 1)
  assert float(metrics['loss']) < float(mean_metrics['loss'])
  assert np.abs(gradients['rate'] - others['rate']).max() > 0


def test_clip_of_full_es(learning):
  problem, pixels, theta = learning
  make = functools.partial(
    estimators.FullEs, problem, 1, 3, horizons.constant(6)
  )
  a, _, _ = run(make(clip=1e-7), theta, pixels, 1)
  b, _, _ = run(make(sign_delta=1e-7), theta, pixels, 1)
  assert_close(a, b)


@pytest.mark.slow
def test_horizons_of_full_es_differ_between_particles():
  problem = balancing.InfluenceBalancing()
  theta = balancing.theta()
  estimator = estimators.FullEs(problem, 6, 2, horizons.Horizon(2, 40))
  _, state, _ = run(estimator, theta, None, 1)
  assert len(set(np.asarray(state.step))) > 1
  # A mapped loop must not go on with those that are done.
  gradient, _, _ = run(estimator, theta, None, 1)
  source = estimator.init(theta, jax.random.key(1), None)
  key = jax.random.fold_in(jax.random.key(2), 0)
  alone = [
    estimator.estimate_particle(
      theta, jax.tree.map(lambda leaf, i=i: leaf[i], source), key, None
    )[0]['drive']
    for i in range(6)
  ]
  assert gradient['drive'][0] == pytest.approx(float(np.mean(alone)), rel=1e-4)


def test_staggered_particles_end_at_different_times():
  estimator = estimators.Pes(_BALANCING, 40, 10, _EPISODE)
  state = estimator.init(balancing.theta(), jax.random.key(1), None)
  assert set(np.asarray(state.episode.position)) == set(range(0, 100, 10))
  _, after, metrics = run(estimator, balancing.theta(), None, 1)
  late = np.asarray(state.episode.position) == 90
  np.testing.assert_array_equal(after.episode.restart, late)
  assert float(metrics['finished']) == pytest.approx(late.mean())


# Greedy and truncated backprop.


def greedy_by_hand(theta, pixels, source, num_steps):
  """J^T g of every step, with explicit stop-gradients, in a plain loop."""
  problem = make_learning()
  particle = jax.random.wrap_key_data(source.key)
  inputs = problem.draw(
    jax.random.fold_in(particle, 1), source.step, num_steps, pixels
  )
  key = jax.random.fold_in(jax.random.fold_in(particle, 0), source.episode)
  params = _TASK.init(key)
  memory, total = zeros_like(params), zeros_like(theta)
  for t in range(num_steps):
    batch = pixels.take(inputs.inner[t])

    def step(theta, params=params, memory=memory, batch=batch):
      grads = jax.lax.stop_gradient(jax.grad(_TASK.loss)(params, batch))
      tx = _OPTIMIZER.transformation(theta)
      updates, memory = tx.update(
        grads, jax.lax.stop_gradient(memory), jax.lax.stop_gradient(params)
      )
      return updates, memory

    updates, pull, new_memory = jax.vjp(step, theta, has_aux=True)
    moved = optax.apply_updates(params, updates)
    (gradient,) = pull(jax.grad(_TASK.loss)(moved, batch))
    total = jax.tree.map(jnp.add, total, gradient)
    params = jax.lax.stop_gradient(moved)
    memory = jax.lax.stop_gradient(new_memory)
  return total


def test_greedy_is_a_plain_loop_and_its_stream_goes_on():
  pixels, theta = small_task.make_pixels(), _OPTIMIZER.init(jax.random.key(5))
  estimator = estimators.Greedy(make_learning(), num_steps=5)
  source = estimator.init(theta, jax.random.key(1), pixels)
  source = jax.tree.map(lambda leaf: leaf[0], source)
  gradients, state, _ = run(estimator, theta, pixels, 2)
  for number in range(2):
    expected = greedy_by_hand(
      theta, pixels, source._replace(step=5 * number, episode=number), 5
    )
    found = jax.tree.map(lambda leaf, i=number: leaf[i], gradients)
    assert_close(found, expected)
  assert int(state.step[0]) == 10 and int(state.episode[0]) == 2


def test_greedy_particles_are_averaged_and_steps_are_summed():
  pixels, theta = small_task.make_pixels(), _OPTIMIZER.init(jax.random.key(5))
  problem = make_learning()
  several = estimators.Greedy(problem, 3, num_steps=4)
  state = several.init(theta, jax.random.key(1), pixels)
  alone = [
    greedy_by_hand(
      theta, pixels, jax.tree.map(lambda leaf, i=i: leaf[i], state), 4
    )
    for i in range(3)
  ]
  mean = jax.tree.map(lambda *leaves: sum(leaves) / 3, *alone)
  found = jax.tree.map(lambda x: x[0], run(several, theta, pixels, 1)[0])
  assert_close(found, mean)


@pytest.mark.parametrize(
  'first_order', repeats.cases([True, False], repeats=(False,))
)
def test_greedy_is_the_sum_of_windows_of_one_step(first_order):
  pixels, theta = small_task.make_pixels(), _OPTIMIZER.init(jax.random.key(5))
  problem = make_learning()
  greedy = estimators.Greedy(problem, 2, num_steps=6)
  backprop = estimators.TruncatedBackprop(
    problem,
    2,
    window=1,
    horizon=horizons.constant(6),
    stagger=False,
    first_order=first_order,
  )
  windows, _, _ = run(backprop, theta, pixels, 6)
  total = jax.tree.map(lambda leaf: leaf.sum(axis=0), windows)
  found = jax.tree.map(lambda x: x[0], run(greedy, theta, pixels, 1)[0])
  assert_close(found, total)


def test_greedy_windows_add_up_to_a_greedy_episode(learning):
  _, pixels, theta = learning
  greedy = estimators.create('greedy', make_learning(), num_steps=6)
  pieces = estimators.create(
    'greedy_windows',
    make_learning(),
    window=2,
    horizon=horizons.constant(6),
    stagger=False,
  )
  windows, _, metrics = run(pieces, theta, pixels, 3)
  total = jax.tree.map(lambda leaf: leaf.sum(axis=0), windows)
  found = jax.tree.map(lambda x: x[0], run(greedy, theta, pixels, 1)[0])
  assert_close(found, total)
  assert float(metrics['finished']) == 1.0


@pytest.mark.parametrize(
  'name',
  repeats.cases(
    ['greedy', 'truncated_backprop', 'pes'], repeats=['truncated_backprop']
  ),
)
def test_a_single_particle_equals_a_mapped_one(learning, name):
  _, pixels, theta = learning
  options = (
    {'num_steps': 3}
    if name == 'greedy'
    else {'window': 3, 'horizon': horizons.constant(6)}
  )
  make = functools.partial(estimators.create, name, make_learning(), **options)
  several = make(num_particles=2)
  state = several.init(theta, jax.random.key(1), pixels)
  key = jax.random.key(4)
  mapped, _, _ = jax.jit(several.estimate)(theta, state, key, pixels)
  estimate = jax.jit(make(num_particles=1).estimate)
  alone = [
    estimate(
      theta,
      jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], state),
      key,
      pixels,
    )[0]
    for i in range(2)
  ]
  mean = jax.tree.map(lambda x, y: (x + y) / 2, *alone)
  # PES divides the difference of losses near 1 by 2 sigma^2.
  assert_close(mapped, mean, rtol=1e-2 if name == 'pes' else 1e-5)


# Trajectories that break.


@pytest.mark.allow_nans
@pytest.mark.parametrize('name', estimators.names())
def test_broken_trajectories_leave_gradients_finite(name):
  problem = balancing.InfluenceBalancing(
    noise=2.0, breaks_above=4.0, ceiling=50
  )
  options = (
    {'num_steps': 20}
    if name == 'greedy'
    else {'window': 10, 'horizon': horizons.constant(20)}
  )
  estimator = estimators.create(name, problem, num_particles=8, **options)
  gradients, state, metrics = run(estimator, balancing.theta(), None, 3)
  assert np.isfinite(gradients['drive']).all()
  assert 0.0 < float(metrics['frozen']) <= 1.0
  assert np.isfinite(float(metrics['loss']))
  # Broken particles begin anew, so that no state ever keeps a NaN.
  for leaf in jax.tree.leaves(state):
    assert np.isfinite(leaf).all()


@pytest.mark.allow_nans
def test_a_broken_particle_begins_anew():
  problem = balancing.InfluenceBalancing(breaks_above=3.0, ceiling=50.0)
  pes = estimators.Pes(problem, 2, 10, horizons.constant(100), stagger=False)
  _, state, metrics = run(pes, balancing.theta(), None, 2)
  assert float(metrics['finished']) == 0.0
  assert np.asarray(state.episode.restart).all()
  np.testing.assert_array_equal(state.accumulated['drive'], 0.0)
  np.testing.assert_array_equal(state.episode.position, 0)


@pytest.mark.allow_nans
def test_two_losses_that_are_not_finite_differ_by_nothing():
  problem = balancing.InfluenceBalancing(breaks_above=-9.0)  # From the start.
  pes = estimators.Pes(problem, 2, 10, _EPISODE, stagger=False)
  gradients, _, metrics = run(pes, balancing.theta(), None, 1)
  np.testing.assert_array_equal(gradients['drive'], 0.0)
  assert float(metrics['frozen']) == 1.0


# Names and errors.


def test_options_are_listed():
  assert estimators.names() == (
    'full_es',
    'greedy',
    'greedy_windows',
    'pes',
    'truncated_backprop',
    'truncated_es',
  )
  assert estimators.options('greedy') == {'num_particles': 1, 'num_steps': 100}


@pytest.mark.parametrize(
  'name, options, message',
  [
    ('es', {}, r"unknown estimator 'es'; expected one of \['full_es', 'greedy"),
    ('pes', {'k': 1}, r"'pes' has no option 'k'; its options are \['horizon'"),
    ('pes', {'num_particles': 0}, 'num_particles must be positive, got 0'),
    ('pes', {'sigma': 0.0}, 'sigma must be positive, got 0.0'),
    ('truncated_es', {'sigma': -1.0}, 'sigma must be positive'),
    ('full_es', {'sigma': 0.0}, 'sigma must be positive'),
    ('pes', {'window': 30}, 'shortest must be a multiple of the window'),
    ('full_es', {'window': 30}, 'shortest must be a multiple of the window'),
    ('full_es', {'reduction': 'max'}, "unknown reduction 'max'; expected one"),
    ('greedy', {'num_steps': 0}, 'num_steps must be positive, got 0'),
  ],
)
def test_errors(name, options, message):
  with pytest.raises(ValueError, match=message):
    estimators.create(name, make_learning(), **options)


def test_greedy_needs_a_loss_after_the_update():
  with pytest.raises(ValueError, match='greedy needs a loss after the update'):
    estimators.create('greedy', make_learning('pre'))
  with pytest.raises(ValueError, match='with window=1 needs a loss after'):
    estimators.create('truncated_backprop', make_learning('pre'), window=1)
