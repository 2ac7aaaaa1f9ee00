# SPDX-License-Identifier: Apache-2.0
"""Tests of reading weights trees by the paths of a spec."""

from flax.core import frozen_dict
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import specs

_SPEC = specs.mlp((2, 3, 1))


def _weights(batch=()):
  return {
    'layer_1': {
      'kernel': np.zeros((*batch, 2, 3)),
      'bias': np.ones((*batch, 3)),
    },
    'layer_2': {
      'kernel': np.zeros((*batch, 3, 1)),
      'bias': np.ones((*batch, 1)),
    },
  }


@pytest.mark.parametrize('batch', [(), (4,), (4, 0, 2)])
def test_the_batch_shape_is_found(batch):
  assert specs.check_weights(_SPEC, _weights(batch)) == batch
  assert specs.num_batch_axes(_SPEC, _weights(batch)) == len(batch)


def test_frozen_trees_and_traced_arrays_are_weights():
  weights = frozen_dict.freeze(_weights((5,)))
  assert specs.check_weights(_SPEC, weights) == (5,)
  shapes = jax.eval_shape(lambda w: w, _weights((5,)))
  assert specs.check_weights(_SPEC, shapes) == (5,)


def test_paths_and_back():
  weights = _weights()
  arrays = specs.leaf_arrays(weights)
  assert list(arrays) == [
    'layer_1/kernel',
    'layer_1/bias',
    'layer_2/kernel',
    'layer_2/bias',
  ]
  again = specs.from_leaf_arrays(arrays)
  jax.tree.map(np.testing.assert_array_equal, again, weights)


@pytest.mark.parametrize(
  ('paths', 'message'),
  [
    (['a', 'a/b'], "not go through other arrays, got 'a/b'"),
    (['a/b', 'a'], "not go through other arrays, got 'a'"),
    (['/'.join('a' * 200)], 'must have at most 101 parts, got 200'),
  ],
)
def test_paths_that_make_no_tree(paths, message):
  with pytest.raises(ValueError, match=message):
    specs.from_leaf_arrays(dict.fromkeys(paths, 0.0))


def test_map_leaves_gives_each_leaf_its_entry():
  kinds = specs.map_leaves(lambda leaf, _: leaf.kind, _SPEC, _weights())
  assert kinds == {
    'layer_1': {'kernel': 'edge', 'bias': 'node'},
    'layer_2': {'kernel': 'edge', 'bias': 'node'},
  }


def test_all_problems_are_listed_at_once():
  weights = {
    'layer_1': {'kernel': np.zeros((3, 2)), 'bias': np.ones(3)},
    'layer_2': {'bias': np.ones(2), 'scale': np.ones(1)},
  }
  with pytest.raises(ValueError, match='weights do not fit') as error:
    specs.check_weights(_SPEC, weights)
  for problem in (
    'layer_2/kernel is missing',
    'layer_2/scale is unknown',
    'layer_1/kernel must have shape (2, 3) after its batch axes, got (3, 2)',
    'layer_2/bias must have shape (1,) after its batch axes, got (2,)',
    'Give the spec of this network',
  ):
    assert problem in str(error.value)


def test_too_few_axes():
  weights = _weights()
  weights['layer_1']['kernel'] = np.zeros(3)
  with pytest.raises(ValueError, match=r'must have shape \(2, 3\) .* \(3,\)'):
    specs.check_weights(_SPEC, weights)


def test_batch_axes_must_agree():
  weights = _weights((4,))
  weights['layer_2'] = _weights((5,))['layer_2']
  with pytest.raises(ValueError, match='batch axes must agree'):
    specs.check_weights(_SPEC, weights)


def test_map_leaves_checks_first():
  with pytest.raises(ValueError, match='layer_1/kernel is missing'):
    specs.map_leaves(lambda leaf, x: x, _SPEC, {})


def test_map_leaves_inside_jit():
  double = jax.jit(
    lambda w: specs.map_leaves(lambda leaf, x: 2 * jnp.asarray(x), _SPEC, w)
  )
  assert float(double(_weights())['layer_1']['bias'][0]) == 2.0
