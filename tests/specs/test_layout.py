# SPDX-License-Identifier: Apache-2.0
"""Tests of array layouts: canonical form, its inverse, and the rules."""

import numpy as np
import pytest

from ng_jax.specs import layout

_ENDS = {'source': 4, 'target': 6}
_HEADS = {'target_head': 2, 'target_dim': 3}
# layout: (ends, other sizes, stored shape, number of channels)
_LAYOUTS = {
  'source target': (_ENDS, {}, (4, 6), 1),
  'target source': (_ENDS, {}, (6, 4), 1),
  'kh kw source target': (_ENDS, {'kh': 3, 'kw': 2}, (3, 2, 4, 6), 6),
  'target source kh kw': (_ENDS, {'kh': 3, 'kw': 2}, (6, 4, 3, 2), 6),
  '(kh kw source) target': (_ENDS, {'kh': 3, 'kw': 2}, (24, 6), 6),
  'source target_head target_dim': (_ENDS, _HEADS, (4, 2, 3), 1),
  'source (target_head target_dim)': (_ENDS, _HEADS, (4, 6), 1),
  'source target_head (qkv target_dim)': (
    _ENDS,
    {**_HEADS, 'qkv': 3},
    (4, 2, 9),
    3,
  ),
  '(qkv target) source': (_ENDS, {'qkv': 3}, (18, 4), 3),
  'target': ({'target': 6}, {}, (6,), 1),
  'target_head target_dim': ({'target': 6}, _HEADS, (2, 3), 1),
  '(qkv target)': ({'target': 6}, {'qkv': 3}, (18,), 3),
  'kh target': ({'target': 6}, {'kh': 5}, (5, 6), 5),
}


def _parse(pattern, ends=None, sizes=None):
  return layout.parse(pattern, ends or _ENDS, sizes or {}, name='leaf')


@pytest.mark.parametrize('batch', [(), (2,), (2, 3)])
@pytest.mark.parametrize('pattern', sorted(_LAYOUTS))
def test_fold_undoes_unfold(pattern, batch):
  ends, sizes, shape, num_channels = _LAYOUTS[pattern]
  parsed = _parse(pattern, ends, sizes)
  assert parsed.shape == shape
  assert parsed.num_channels == num_channels
  assert parsed.unfolded == (*ends.values(), num_channels)
  array = np.random.default_rng(0).normal(size=(*batch, *shape))
  unfolded = parsed.unfold(array)
  assert unfolded.shape == (*batch, *ends.values(), num_channels)
  np.testing.assert_array_equal(parsed.fold(unfolded), array)


def test_unfold_puts_values_where_the_names_say():
  source, target, kh, kw = 4, 6, 3, 2
  stored = np.random.default_rng(0).normal(size=(kh * kw * source, target))
  parsed = _parse('(kh kw source) target', _ENDS, {'kh': kh, 'kw': kw})
  unfolded = parsed.unfold(stored)
  for s in range(source):
    for t in range(target):
      for i in range(kh):
        for j in range(kw):
          row = (i * kw + j) * source + s
          assert unfolded[s, t, i * kw + j] == stored[row, t]


def test_unfold_orders_the_factors_of_an_end():
  stored = np.random.default_rng(0).normal(size=(4, 2, 9))
  sizes = {'target_head': 2, 'target_dim': 3, 'qkv': 3}
  unfolded = _parse('source target_head (qkv target_dim)', _ENDS, sizes).unfold(
    stored
  )
  for head in range(2):
    for dim in range(3):
      np.testing.assert_array_equal(
        unfolded[:, head * 3 + dim], stored[:, head, dim::3]
      )


@pytest.mark.parametrize(
  'pattern', ['', 'source -> target', '(source target', 'a,b', '()']
)
def test_a_pattern_that_is_none(pattern):
  with pytest.raises(ValueError, match='must be axis names, some in'):
    _parse(pattern)


def test_a_repeated_axis():
  with pytest.raises(
    ValueError, match="'source source target' repeats an axis"
  ):
    _parse('source source target')


def test_an_axis_without_a_size():
  with pytest.raises(ValueError, match=r"axes of unknown size \['kh'\]"):
    _parse('kh source target')


def test_factors_that_do_not_multiply_to_the_set():
  with pytest.raises(ValueError, match='must multiply to the size .* 6, got 8'):
    _parse(
      'source target_head target_dim',
      _ENDS,
      {'target_head': 2, 'target_dim': 4},
    )


def test_a_missing_end():
  with pytest.raises(ValueError, match='the source axes .* 4, got 0'):
    _parse('target')
