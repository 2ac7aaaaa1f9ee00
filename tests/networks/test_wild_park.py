# SPDX-License-Identifier: Apache-2.0
"""Tests of the random architectures of the CNN Wild Park."""

import collections

import numpy as np

from ng_jax import networks


def _draw(num, seed=0):
  rng = np.random.default_rng(seed)
  return [networks.draw_cnn(rng) for _ in range(num)]


def test_one_seed_one_park():
  assert _draw(5) == _draw(5)
  assert _draw(5) != _draw(5, seed=1)


def _assert_uniform(values, choices):
  """Every choice within four standard deviations of its share."""
  __tracebackhide__ = True
  counts = collections.Counter(values)
  assert set(counts) == set(choices)
  share = 1 / len(choices)
  deviation = (len(values) * share * (1 - share)) ** 0.5
  for choice, count in counts.items():
    assert abs(count - len(values) * share) <= 4 * deviation, choice


def test_everything_is_uniform():
  park = _draw(1200)
  _assert_uniform([c.num_convolutions for c in park], [2, 3, 4, 5])
  _assert_uniform([w for c in park for w in c.channels[1:]], [4, 8, 16, 32])
  _assert_uniform(
    [size for c in park for size in c.kernel_sizes], [(3, 3), (5, 5), (7, 7)]
  )
  _assert_uniform(
    [name for c in park for name in c.layer_activations],
    ['relu', 'gelu', 'tanh', 'sigmoid', 'leaky_relu', 'none'],
  )
  for layer in range(5):
    starts = [c.residual[layer] for c in park if c.num_convolutions > layer]
    _assert_uniform(starts, [-1, *range(layer - 1)])


def test_sizes_of_the_park():
  park = _draw(300)
  assert {c.channels[0] for c in park} == {3}
  assert {c.num_classes for c in park} == {10}
  for network in park:
    assert all(
      2 * p[0] + 1 == k[0]
      for p, k in zip(network.paddings, network.kernel_sizes, strict=True)
    )
  assert max(c.spec.num_nodes for c in park) <= 173
  widest = networks.draw_cnn(
    np.random.default_rng(0), num_convolutions=(5,), channels=(32,)
  )
  assert widest.spec.num_nodes == 173


def test_choices_can_be_others():
  network = networks.draw_cnn(
    np.random.default_rng(0),
    num_convolutions=(1,),
    channels=(6,),
    kernel_sizes=(1,),
    layer_activations=('silu',),
    input_channels=1,
    num_classes=4,
  )
  assert network == networks.Cnn((1, 6), (1,), ('silu',), num_classes=4)
