# SPDX-License-Identifier: Apache-2.0
"""Holds the features of both families against plain NumPy (l2o spec 7.4)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax.optimizers import features
from ng_jax.optimizers import google_features
from ng_jax.optimizers import google_recurrent_features
from ng_jax.optimizers import joined

_TIME_SCALES = [1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5]


def _log_sign(x: float) -> tuple[float, float]:
  if abs(x) >= np.exp(-10.0):
    return np.log(abs(x)) / 10.0, float(np.sign(x))
  return -1.0, float(np.exp(10.0) * x)


@pytest.mark.parametrize(
  'x, expected',
  [
    (1.0, (0.0, 1.0)),
    (-np.exp(-5.0), (-0.5, -1.0)),
    (0.0, (-1.0, 0.0)),
    (np.exp(-11.0), (-1.0, np.exp(-1.0))),
    (np.exp(-10.0), (-1.0, 1.0)),
    (-np.exp(-10.0), (-1.0, -1.0)),
  ],
)
def test_log_sign_at_known_points(x, expected):
  found = features.log_sign(jnp.asarray(x, jnp.float32))
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_log_sign_has_a_finite_gradient_everywhere():
  x = jnp.asarray([0.0, 1e-30, np.exp(-10.0), -1.0, 1e10], jnp.float32)
  gradient = jax.grad(lambda x: features.log_sign(x).sum())(x)
  assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize('shape', [(), (3,), (2, 3), (2, 1, 3, 2)])
def test_family_a_equals_numpy(shape, x64):
  rng = np.random.default_rng(0)

  def draw() -> np.ndarray:
    values = np.asarray(rng.normal(size=shape) * np.exp(rng.normal(size=shape)))
    values = values * np.exp(-6.0 * rng.integers(0, 3, shape))
    return np.where(rng.uniform(size=shape) < 0.2, 0.0, values)

  decays = [0.5, 0.9, 0.99, 0.999, 0.9999]
  momenta, sums = jnp.zeros((5, *shape)), np.zeros((5, *shape))
  for _ in range(3):
    param, gradient = draw(), draw()
    momenta = features.add_gradient(momenta, jnp.asarray(gradient))
    for i, decay in enumerate(decays):
      sums[i] = decay * sums[i] + gradient
  found = features.describe(jnp.asarray(param), jnp.asarray(gradient), momenta)
  assert found.shape == (14, *shape)
  raw = [param, gradient, *sums]
  for index in np.ndindex(*shape):
    expected = [v for x in raw for v in _log_sign(float(x[index]))]
    np.testing.assert_allclose(found[(slice(None), *index)], expected, 1e-12)


def _arrays(seed: int) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(seed)
  shapes = {'a': (), 'b': (3,), 'c': (2, 4), 'd': (2, 1, 3, 2), 'e': (2,)}
  found = {k: np.asarray(rng.normal(size=s)) for k, s in shapes.items()}
  found['c'][0, :2] = 0.0
  found['e'][:] = 0.0
  return found


def test_joined_splits_what_it_joined():
  arrays = {k: jnp.asarray(v, jnp.float32) for k, v in _arrays(0).items()}
  layout = joined.Joined(arrays)
  row = layout.join(dict(reversed(arrays.items())))
  assert row.shape == (26,)
  found = layout.split(row)
  assert list(found) == list(arrays)
  for path, array in arrays.items():
    np.testing.assert_array_equal(found[path], array)
  both = layout.split(jnp.stack([row, 2 * row]))
  np.testing.assert_array_equal(both['c'][1], 2 * arrays['c'])


def test_family_g_standardizes_each_array(x64):
  arrays = {k: jnp.asarray(v) for k, v in _arrays(1).items()}
  layout = joined.Joined(arrays)
  row = layout.join(arrays)
  found = layout.split(layout.standardize(jnp.stack([row, row**3])))
  for path, array in _arrays(1).items():
    for i, x in enumerate((array, array**3)):
      expected = x / np.sqrt(1e-5 + np.mean(x**2))
      np.testing.assert_allclose(found[path][i], expected, 1e-12)


def test_family_g_counts_steps_on_many_scales():
  for t in (0, 1, 7, 20_000):
    step = jnp.asarray(t, jnp.int32)
    expected = [np.tanh(t / tau - 1.0) for tau in _TIME_SCALES]
    found = google_features.tanh_of_step(step, jnp.float32)
    np.testing.assert_allclose(found, expected, 1e-5, 1e-6)
    expected = [np.sin(t / (tau * np.pi)) for tau in _TIME_SCALES]
    found = google_features.sine_of_step(step, jnp.float32)
    np.testing.assert_allclose(found, expected, 1e-4, 2e-4)


def test_averages_have_the_factor_of_what_is_added(x64):
  found, expected = jnp.zeros((2, 3)), np.zeros((2, 3))
  for t in range(3):
    values = np.array([1.0, -t, 0.0])
    found = google_features.average(found, jnp.asarray(values), (0.1, 0.9))
    for i, decay in enumerate((0.1, 0.9)):
      expected[i] = decay * expected[i] + (1 - decay) * values
  np.testing.assert_allclose(found, expected, 1e-12)


def _clipped_log(x: np.ndarray) -> np.ndarray:
  return np.clip(np.log(1e-8 + np.abs(x)), -5, 5)


def _numpy_features(params, gradients, m, r, state, losses, t):
  """The inputs of the LSTM and of the MLP, array by array."""
  mu = var = 0.0
  for loss in losses:
    mu = 0.9 * mu + 0.1 * loss
    var = 0.9 * var + 0.1 * (mu - loss) ** 2
  c = 1 / (1 - 0.9 ** len(losses) + 1e-8)
  of_loss = [
    np.clip((x - c * mu) / np.sqrt(c * var + 1e-8), -5, 5)
    for x in (losses[-1], 0.0)
  ]
  of_lstm, of_params = [], []
  for i, (path, w) in enumerate(params.items()):
    g = gradients[path]
    shape = [*w.shape, *[1] * (4 - w.ndim)]
    named = {
      'from_lstm': state.from_lstm,
      'from_mlp': state.from_mlp[i],
      'g_norm': _clipped_log(np.linalg.norm(g)),
      'is_scalar': 1.0 if w.ndim == 0 else -1.0,
      'mean_ms_mag': _clipped_log(np.mean(m[path])),
      'mean_ms_sign': np.sign(np.mean(m[path])),
      'mean_rms': _clipped_log(np.mean(r[path])),
      'mean_sign': np.sign(np.mean(r[path])),
      'mean_v_mag': _clipped_log(np.mean(w)),
      'mean_v_sign': np.sign(np.mean(w)),
      'norm_weight': _clipped_log(np.linalg.norm(w)),
      **{f'shape_{j}': np.log(n) - 1.0 for j, n in enumerate(shape)},
      'train_loss_feat': of_loss[0],
      'valid_loss_feat': of_loss[1],
      'var_ms': _clipped_log(np.var(m[path])),
      'var_rms': _clipped_log(np.var(r[path])),
      'var_v': _clipped_log(np.var(w)),
    }
    of_lstm.append(np.concatenate([np.ravel(named[k]) for k in sorted(named)]))
    rows = np.stack(
      [g, w, np.log(np.abs(w) + 1e-8), *m[path], *r[path]]
      + [a / np.sqrt(b + 1e-6) for a, b in zip(m[path], r[path], strict=True)]
      + [1 / np.sqrt(b + 1e-6) for b in r[path]]
    ).reshape(23, -1)
    mean = np.mean(rows**2, axis=1, keepdims=True)
    rows = rows / np.sqrt(1e-5 + mean)
    others = [
      *[np.sin(t / (tau * np.pi)) for tau in _TIME_SCALES],
      np.log(len(params)) - 1,
      np.log(np.linalg.norm(w) + 1e-8),
      np.log(w.size),
    ]
    shared = np.repeat(np.array(others)[:, None], rows.shape[1], axis=1)
    of_params.append(np.concatenate([rows, shared]))
  return np.stack(of_lstm), np.concatenate(of_params, axis=1)


def test_features_of_the_lstm_equal_numpy(x64):
  decays = (0.5, 0.9, 0.99, 0.999, 0.9999)
  layout = joined.Joined({k: jnp.asarray(v) for k, v in _arrays(0).items()})
  rng = np.random.default_rng(5)
  state = google_recurrent_features.RecurrentState(
    step=jnp.zeros((), jnp.int32),
    averages=jnp.zeros((5, 26)),
    squares=jnp.zeros((5, 26)),
    output=jnp.zeros((5, 4)),
    cell=jnp.zeros((5, 4)),
    from_mlp=jnp.asarray(rng.normal(size=(5, 16))),
    from_lstm=jnp.asarray(rng.normal(size=18)),
    loss=jnp.zeros(2),
    clip=jnp.asarray(0.01),
  )

  @jax.jit
  def step(params, gradients, value, state):
    gradient, state = google_recurrent_features.accumulate(
      layout, layout.join(gradients), value, state, decays
    )
    found = google_recurrent_features.compute(
      layout, layout.join(params), gradient, value, state
    )
    return layout.split(gradient), state, found

  m = {k: np.zeros((5, *v.shape)) for k, v in _arrays(0).items()}
  r = {k: np.zeros((5, *v.shape)) for k, v in _arrays(0).items()}
  losses, v = [], 0.01
  for t, factor in enumerate((1.0, 100.0, 1.0)):
    params = _arrays(t)
    raw = {k: factor * x for k, x in _arrays(10 + t).items()}
    losses.append(2.0 - 0.3 * t)
    limit = 10 * v / (1 - 0.99 ** (t + 1))
    gradients = {k: np.clip(x, -limit, limit) for k, x in raw.items()}
    mean = np.mean([np.mean(g**2) for g in gradients.values()])
    v = 0.99 * v + 0.01 * np.sqrt(1e-8 + mean)
    for path, g in gradients.items():
      for i, d in enumerate(decays):
        m[path][i] = d * m[path][i] + (1 - d) * g
        r[path][i] = d * r[path][i] + (1 - d) * g**2
    clipped, state, found = step(params, raw, jnp.asarray(losses[-1]), state)
    assert (np.max(np.abs(raw['c'])) > limit) == (t == 1)
    for path, g in gradients.items():
      np.testing.assert_allclose(clipped[path], g, 1e-12)
    np.testing.assert_allclose(state.clip, v, 1e-12)
    of_lstm, of_params = _numpy_features(
      params, gradients, m, r, state, losses, t
    )
    np.testing.assert_allclose(found.of_lstm, of_lstm, 1e-9, 1e-12)
    shared = jnp.broadcast_to(found.of_step[:, None], (12, 26))
    of_arrays = layout.spread(found.of_arrays.T)
    rows = jnp.concatenate([found.of_params, shared, of_arrays])
    np.testing.assert_allclose(rows, of_params, 1e-9, 1e-12)
    state = state._replace(step=state.step + 1)


def test_features_of_the_lstm_have_finite_gradients_at_zero():
  params = {'w': jnp.zeros((2, 2)), 'b': jnp.zeros(2)}
  layout = joined.Joined(params)
  zeros = jnp.zeros((5, 6))
  state = google_recurrent_features.RecurrentState(
    jnp.zeros((), jnp.int32),
    zeros,
    zeros,
    zeros[:2],
    zeros[:2],
    jnp.zeros((2, 16)),
    jnp.zeros(18),
    jnp.zeros(2),
    jnp.asarray(0.01),
  )

  def total(row):
    found = google_recurrent_features.compute(
      layout, row, row, jnp.asarray(1.0), state
    )
    return sum(x.sum() for x in found)

  gradient = jax.jit(jax.grad(total))(jnp.zeros(6))
  assert jnp.isfinite(gradient).all()
