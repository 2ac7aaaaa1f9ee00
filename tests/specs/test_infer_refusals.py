# SPDX-License-Identifier: Apache-2.0
"""Tests that what inference does not understand is refused by name."""

from flax import linen as nn
from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import specs
from ng_jax.specs.inference import checking
from ng_jax.specs.inference import modules
from tests import linen_networks


def _arrays(**shapes):
  return {name: np.zeros(shape) for name, shape in shapes.items()}


_TWO = {'a': (3, 4), 'b': (4, 2)}


def _scan(w, x):
  h, _ = jax.lax.scan(lambda h, _: (jnp.tanh(h @ w['c']), None), x, length=2)
  return h @ w['b']


def _cross_attention(w, x):
  x = x @ w['a']
  scores = (x @ w['q']) @ jnp.swapaxes(jnp.tanh(x @ w['k']), -1, -2)
  return jax.nn.softmax(scores) @ (x @ w['v'])


def _two_sources(w, x):
  y = jnp.tanh(x @ w['a'])
  scores = (x @ w['q']) @ jnp.swapaxes(x @ w['k'], -1, -2)
  return jax.nn.softmax(scores) @ (y @ w['v'])


def _grouped(w, x):
  h = (x @ w['a']).reshape(-1, 2, 2)
  return jnp.einsum('bgi,gio->bgo', h, w['c'])


# {name: (function, shapes of the leaves, shape of the input, message)}
REFUSED = {
  'scan': (_scan, {'c': (3, 3), 'b': (3, 2)}, (3,), "'scan': it is not"),
  'embedding': (
    lambda w, x: jnp.take(w['c'], x.astype(int), axis=0),
    {'c': (5, 3)},
    (3,),
    r"'gather': it is not supported; leaves: \['c'\]",
  ),
  'gate': (
    lambda w, x: ((x @ w['a']) * jax.nn.sigmoid(x @ w['c'])) @ w['b'],
    {**_TWO, 'c': (3, 4)},
    (3,),
    r"'mul': it combines neurons of two layers, \['a', 'c'\]",
  ),
  'difference': (
    lambda w, x: (x @ w['a'] - x @ w['c']) @ w['b'],
    {**_TWO, 'c': (3, 4)},
    (3,),
    "'sub': it combines neurons of two layers",
  ),
  'gate of parts': (
    lambda w, x: jnp.multiply(*jnp.split(x @ w['a'], 2, -1)) @ w['c'],
    {'a': (3, 4), 'c': (2, 2)},
    (3,),
    "'mul': it combines different parts of the layer 'a'",
  ),
  'joined layers': (
    lambda w, x: jnp.concatenate([x @ w['a'], x @ w['c']], -1) @ w['d'],
    {'a': (3, 4), 'c': (3, 2), 'd': (6, 2)},
    (3,),
    r"'concatenate': it joins the layers \['a', 'c'\]",
  ),
  'token mixing': (
    lambda w, x: jnp.swapaxes(jnp.swapaxes(x @ w['a'], 1, 2) @ w['c'], 1, 2),
    {'a': (3, 4), 'c': (5, 5)},
    (5, 3),
    "'dot_general': leaf 'c' mixes places",
  ),
  'grouped': (
    _grouped,
    {'a': (3, 4), 'c': (2, 2, 2)},
    (3,),
    "leaf 'c' has weights of its own for each place or group",
  ),
  'number': (
    lambda w, x: (x @ w['a'] * w['c']) @ w['b'],
    {**_TWO, 'c': ()},
    (3,),
    r"'mul': leaves \['c'\] are single numbers",
  ),
  'shared': (
    lambda w, x: jnp.tanh(jnp.tanh(x @ w['c']) @ w['c']),
    {'c': (3, 3)},
    (3,),
    "leaf 'c' is used a second time",
  ),
  'weight norm': (
    lambda w, x: x @ (w['a'] / jnp.sqrt(jnp.sum(w['a'] ** 2))) @ w['b'],
    _TWO,
    (3,),
    r"'reduce_sum': it reduces the leaves \['a'\]",
  ),
  'product of leaves': (
    lambda w, x: x @ (w['a'] * w['c']) @ w['b'],
    {**_TWO, 'c': (3, 4)},
    (3,),
    r"must be one leaf as it is, .* \['a', 'c'\]",
  ),
  'part of a leaf': (
    lambda w, x: x @ w['a'][:, :2] @ w['c'],
    {'a': (3, 4), 'c': (2, 2)},
    (3,),
    r"'slice': it takes a part of the leaves \['a'\]",
  ),
  'prelu': (
    lambda w, x: jnp.maximum(x @ w['a'], w['c']) @ w['b'],
    {**_TWO, 'c': (1, 4)},
    (3,),
    r"'max': it combines a layer with leaves other than",
  ),
  'padding before': (
    lambda w, x: (
      (jnp.pad(x @ w['a'], [(0, 0), (1, 0)]) + jnp.tanh(x @ w['c'])) @ w['d']
    ),
    {'a': (3, 4), 'c': (3, 5), 'd': (5, 2)},
    (3,),
    "'pad': it pads neurons otherwise than with zeros behind",
  ),
  'short skip': (
    lambda w, x: (
      (jnp.pad((x @ w['a'])[:, :2], [(0, 0), (0, 3)]) + jnp.tanh(x @ w['c']))
      @ w['d']
    ),
    {'a': (3, 4), 'c': (3, 5), 'd': (5, 2)},
    (3,),
    "a skip must join the first channels of 'a' and 'sum'",
  ),
  'reversed': (
    lambda w, x: (x @ w['a'])[:, ::-1] @ w['b'],
    _TWO,
    (3,),
    "'rev': it moves or cuts neurons",
  ),
  'skip to the middle': (
    lambda w, x: (x @ w['a']).at[..., 1:3].add(x @ w['c']) @ w['b'],
    {**_TWO, 'c': (3, 2)},
    (3,),
    "'scatter-add': it must add a layer to the first neurons",
  ),
  'sorted': (
    lambda w, x: jnp.sort(x @ w['a']) @ w['b'],
    _TWO,
    (3,),
    "'sort': it is not supported",
  ),
  'activated key': (
    _cross_attention,
    {'a': (3, 4), 'q': (4, 4), 'k': (4, 4), 'v': (4, 4)},
    (5, 3),
    "multiplies 'k' after an activation function",
  ),
  'cross attention': (
    _two_sources,
    {'a': (3, 3), 'q': (3, 4), 'k': (3, 4), 'v': (3, 4)},
    (5, 3),
    'must have query, key and value that are linear layers of one',
  ),
  'square': (
    lambda w, x: jnp.einsum('bi,bi->b', x @ w['a'], x @ w['c']),
    {'a': (3, 4), 'c': (3, 4)},
    (3,),
    'the network must return one array .* statistic',
  ),
  'two outputs': (
    lambda w, x: (x @ w['a'], x @ w['c']),
    {'a': (3, 4), 'c': (3, 4)},
    (3,),
    'must return one array .*, got 2 arrays',
  ),
  'part returned': (
    lambda w, x: (x @ w['a'])[:, :2],
    {'a': (3, 4)},
    (3,),
    "returns only a part of the layer 'a'",
  ),
  'unused': (
    lambda w, x: x @ w['a'] @ w['b'],
    {**_TWO, 'c': (3,), 'd': (4,)},
    (3,),
    r"does not depend on the leaves \['c', 'd'\]",
  ),
  'constants': (
    lambda w, x: (x @ w['a'] + np.arange(4.0)) @ w['b'],
    _TWO,
    (3,),
    "must be alike, but 'a': a constant of 'add' tells them apart",
  ),
  'constant matrix': (
    lambda w, x: x @ w['a'] @ np.ones((4, 4)) @ w['b'],
    _TWO,
    (3,),
    "multiplies the neurons of 'a' by a constant matrix",
  ),
  'features': (
    lambda w, x: jnp.concatenate([jnp.sin(x), jnp.cos(x)], -1) @ w['c'],
    {'c': (6, 2)},
    (3,),
    'computes features of its inputs',
  ),
}


@pytest.mark.parametrize('name', REFUSED)
def test_refused_by_name(name):
  function, shapes, input_shape, message = REFUSED[name]
  x = np.ones((2, *input_shape), np.float32)
  with pytest.raises(ValueError, match=message):
    specs.infer(function, _arrays(**shapes), x, check=False)


@pytest.mark.parametrize(
  ('options', 'input_shape', 'message'),
  [
    (
      {'kernel_size': (3, 3), 'feature_group_count': 4},
      (5, 5, 4),
      "leaf 'layers_1/kernel' is a grouped or depthwise convolution of 4 group",
    ),
    (
      {'kernel_size': (2, 2, 2)},
      (3, 3, 3, 4),
      'is a convolution in 3 dimensions',
    ),
  ],
)
def test_convolutions_that_are_refused(options, input_shape, message):
  module = nn.Sequential([nn.Dense(4), nn.Conv(4, **options)])
  x = np.ones((1, *input_shape), np.float32)
  variables = linen_networks.init(module, x)
  with pytest.raises(ValueError, match=message):
    specs.infer(module, variables, x, check=False)


def test_the_check_finds_a_wrong_spec():
  def apply(weights, x):
    hidden = x @ weights['layer_1']['kernel'] + weights['layer_1']['bias']
    hidden = hidden * jnp.arange(5.0)
    return hidden @ weights['layer_2']['kernel'] + weights['layer_2']['bias']

  spec = specs.mlp((3, 5, 2))
  weights = specs.from_leaf_arrays(
    {
      leaf.path: np.ones(spec.leaf_shape(leaf), np.float32)
      for leaf in spec.leaves
    }
  )
  adapter = modules.adapt(apply, weights, {})
  with pytest.raises(ValueError, match='the inferred spec does not hold'):
    checking.check(adapter, spec, np.ones((1, 3), np.float32))


def test_arguments_are_checked():
  x = np.ones((1, 3), np.float32)
  with pytest.raises(ValueError, match="unknown token_kind 'edge'"):
    specs.infer(lambda w, x: x, {}, x, token_kind='edge')
  with pytest.raises(ValueError, match='must be a Flax Linen module'):
    specs.infer('module', {}, x)
  with pytest.raises(ValueError, match='must be what its init returns'):
    specs.infer(nn.Dense(2), None, x)
  with pytest.raises(ValueError, match='must be None for an NNX module'):
    specs.infer(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), {}, x)
  with pytest.raises(ValueError, match='a leading axis of examples'):
    specs.infer(lambda w, x: x, {}, 1.0)
