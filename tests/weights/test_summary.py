# SPDX-License-Identifier: Apache-2.0
"""The seven statistics, their order, padding and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import specs
from ng_jax.weights import summary
from tests import example_networks
from tests import repeats
from tests.models import readers

_SPEC = specs.mlp((3, 4, 5, 1))


def _seven(x):
  return np.array(
    [
      np.mean(x),
      np.var(x, ddof=1) if x.size > 1 else 0.0,
      *np.quantile(x, [0, 0.25, 0.5, 0.75, 1]),
    ]
  )


def _expected(weights):
  """Rows of weights, rows of biases."""
  layers = [weights[f'layer_{i}'] for i in (1, 2, 3)]
  return tuple(
    [_seven(layer[kind]) for layer in layers] for kind in ('kernel', 'bias')
  )


@pytest.mark.parametrize('host', [True, False])
def test_order_and_padding(x64, host):
  drawn = readers.draw_weights(_SPEC, num=1, dtype=np.float64)
  weights = jax.tree.map(lambda x: x[0] if host else jnp.asarray(x[0]), drawn)
  (w1, w2, w3), (b1, b2, b3) = _expected(weights)
  z = np.zeros(7)
  for options, parts in (
    ({}, [w1, b1, w2, b2, w3, b3]),
    ({'max_layers': 4}, [w1, b1, w2, b2, w3, b3, z, z]),
    (
      {'max_layers': 5, 'order': 'split'},
      [w1, w2, w3, z, z, b1, b2, b3, z, z],
    ),
    (
      {'max_layers': 4, 'order': 'split', 'align_last': True},
      [w1, w2, z, w3, b1, b2, z, b3],
    ),
  ):
    found = summary.tensor_statistics(_SPEC, weights, **options)
    assert isinstance(found, np.ndarray) == host
    np.testing.assert_allclose(found, np.concatenate(parts), atol=1e-12)


def test_zeros_of_padded_kernels_count(x64):
  weights = jax.tree.map(
    lambda x: x[0], readers.draw_weights(_SPEC, num=1, dtype=np.float64)
  )
  found = summary.tensor_statistics(_SPEC, weights, linear_slots=9)
  kernel = weights['layer_1']['kernel'].ravel()
  padded = np.concatenate([kernel, np.zeros(8 * kernel.size)])
  np.testing.assert_allclose(found[:7], _seven(padded), atol=1e-12)
  np.testing.assert_allclose(
    found[7:14], _seven(weights['layer_1']['bias']), atol=1e-12
  )


@pytest.mark.parametrize(
  'name',
  repeats.cases(
    sorted(example_networks.EXAMPLES), quick=('attention', 'residual_norm')
  ),
)
def test_any_network_has_statistics(name):
  spec = example_networks.EXAMPLES[name]().spec
  weights = readers.draw_weights(spec, num=2)
  run = jax.jit(lambda w: summary.tensor_statistics(spec, w))
  found = run(weights)
  assert found.shape == (2, summary.num_features(spec))
  permutation = specs.draw_permutation(jax.random.key(0), spec)
  moved = run(specs.permute(spec, weights, permutation))
  np.testing.assert_allclose(moved, found, atol=1e-5)
  one = run(jax.tree.map(lambda x: x[0], weights))
  np.testing.assert_allclose(one, found[0], atol=1e-5)


def test_statistics_have_gradients(x64):
  weights = readers.draw_weights(_SPEC, num=2, dtype=np.float64)

  def total(weights):
    return jnp.sum(summary.tensor_statistics(_SPEC, weights) ** 2)

  grads = jax.device_get(jax.jit(jax.grad(total))(weights))
  for i in range(4):  # Smallest, middle and largest entries among them.
    step = np.zeros((2, 3, 4))
    step.flat[i] = 1e-6
    up, down = (
      {
        **weights,
        'layer_1': {
          **weights['layer_1'],
          'kernel': weights['layer_1']['kernel'] + sign * step,
        },
      }
      for sign in (1, -1)
    )
    slope = (total(up) - total(down)) / 2e-6
    np.testing.assert_allclose(
      grads['layer_1']['kernel'].flat[i], slope, rtol=1e-4, atol=1e-7
    )


def test_rows_of_different_networks():
  pairs = []
  for sizes in ((2, 3, 1), (2, 4, 3, 2)):
    spec = specs.mlp(sizes)
    drawn = readers.draw_weights(spec, num=1)
    pairs.append((spec, jax.tree.map(lambda x: x[0], drawn)))
  rows = summary.of_networks(pairs, num_graphs=4, max_layers=3)
  assert rows.shape == (4, 42)
  assert rows.dtype == np.float32
  assert np.all(rows[2:] == 0)
  for row, (spec, weights) in zip(rows, pairs, strict=False):
    expected = summary.tensor_statistics(spec, weights, max_layers=3)
    np.testing.assert_allclose(row, expected, rtol=1e-6)
  with pytest.raises(ValueError, match=r'number of features, got \[28, 42\]'):
    summary.of_networks(pairs)


def test_errors():
  weights = readers.draw_weights(_SPEC, num=1)
  with pytest.raises(ValueError, match="unknown order 'flat'; expected one of"):
    summary.tensor_statistics(_SPEC, weights, order='flat')
  with pytest.raises(ValueError, match='got max_layers=2 and a network of 3'):
    summary.tensor_statistics(_SPEC, weights, max_layers=2)
  with pytest.raises(ValueError, match='weights do not fit'):
    summary.tensor_statistics(specs.mlp((2, 1)), weights)
