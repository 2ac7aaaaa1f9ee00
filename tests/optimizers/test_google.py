# SPDX-License-Identifier: Apache-2.0
"""Golden values of learned_optimization's optimizers, and their networks.

The values were computed with that library (l2o spec 7, point 5): every array of
theta is 0.1 cos(0.7 k) with k its row-major index, the step's scales are 1 and
0.1. Linear maps stand as (in, out) there and here.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import optimizers
from ng_jax import specs
from ng_jax.optimizers import universal_layers
from ng_jax.optimizers import universal_terms
from tests.optimizers import tiny

# Per step, w_t - w_(t+1): b, then w row by row.
_GOLDEN = {
  'google_ff': [
    [
      0.1385988, 0.1387613,
      0.1383094, 0.1416501, 0.1404716, 0.1420043, 0.1421589, 0.1416340,
    ],
    [
      0.1388946, 0.1384127,
      0.1382673, 0.1414183, 0.1369699, 0.1400615, 0.1424534, 0.1403369,
    ],
    [
      0.1401399, 0.1393229,
      0.1386001, 0.1413714, 0.1329044, 0.1386820, 0.1424076, 0.1386716,
    ],
  ],
  'google_lstm': [
    [
      0.1798483, 0.1919109,
      0.1691415, 0.1907067, 0.1577826, 0.1667293, 0.1842597, 0.1708358,
    ],
    [
      0.1811642, 0.1881085,
      0.1714752, 0.1897547, 0.1613296, 0.1695018, 0.1887745, 0.1758715,
    ],
    [
      0.1852839, 0.1996733,
      0.1879300, 0.1877275, 0.1569655, 0.1758521, 0.1909510, 0.1941338,
    ],
  ],
}  # fmt: skip


def _cosines(optimizer):
  def fill(leaf):
    values = 0.1 * np.cos(0.7 * np.arange(leaf.size)).reshape(leaf.shape)
    return jnp.asarray(values, leaf.dtype)

  return jax.tree.map(fill, tiny.draw_theta(optimizer))


@pytest.mark.parametrize('name', sorted(_GOLDEN))
def test_golden_values(name):
  optimizer = optimizers.create(name, step_scale=1.0, exponent_scale=0.1)
  tx = optimizer.transformation(_cosines(optimizer))
  update = jax.jit(
    lambda gradients, state, params, value: tx.update(
      gradients, state, params, value=value
    )
  )
  params = {
    'b': jnp.array([0.5, -0.25]),
    'w': jnp.array([[0.1, -0.2], [0.3, 0.4], [-0.6, 0.05]]),
  }
  state = tx.init(params)
  for t, value in enumerate((2.0, 1.5, 1.7)):
    gradients = {
      'b': jnp.array([0.02 * (t + 1), -0.01]),
      'w': jnp.array([[0.1, 0.2], [-0.3, 0.05 * (t + 1)], [0.0, -0.07]]),
    }
    updates, state = update(gradients, state, params, value)
    found = np.concatenate([updates['b'], updates['w'].ravel()])
    np.testing.assert_allclose(-found, _GOLDEN[name][t], atol=2e-5)
    params = jax.tree.map(jnp.add, params, updates)
  assert state.step == 3


@pytest.mark.parametrize(
  'name, expected', [('google_ff', 1_762), ('google_lstm', 35_799)]
)
def test_number_of_parameters(name, expected):
  theta = tiny.draw_theta(optimizers.create(name))
  assert sum(leaf.size for leaf in jax.tree.leaves(theta)) == expected


def test_linear_maps_start_as_in_haiku():
  theta = optimizers.create('google_ff').init(jax.random.key(0))
  kernel = np.asarray(theta['layer_1']['kernel'])
  # Normal, standard deviation 1 / sqrt(32), cut off at two of them.
  assert np.max(np.abs(kernel)) < 2 * 32**-0.5
  assert abs(np.std(kernel) / (0.88 * 32**-0.5) - 1) < 0.1
  assert not np.any(theta['layer_1']['bias'])


def test_max_exponent_bounds_the_step():
  optimizer = tiny.create('google_ff', step_scale=1.0, max_exponent=0.5)
  theta = jax.tree.map(
    lambda x: 1e5 * jnp.ones_like(x), tiny.draw_theta(optimizer)
  )
  theta['layer_2']['kernel'] = jnp.zeros_like(theta['layer_2']['kernel'])
  theta['layer_2']['bias'] = jnp.array([3.0, 1e9])
  tx = optimizer.transformation(theta)
  params = {'w': jnp.ones(2)}
  updates, _ = tx.update(params, tx.init(params), params)
  np.testing.assert_allclose(updates['w'], -3.0 * np.exp(0.5), 1e-6)


@pytest.mark.parametrize('value', [None, jnp.ones(2)])
def test_lstm_needs_the_loss(value):
  optimizer = tiny.create('google_lstm')
  tx = optimizer.transformation(tiny.draw_theta(optimizer))
  params = {'w': jnp.ones(2)}
  options = {} if value is None else {'value': value}
  with pytest.raises(ValueError, match='value must be a scalar.*value=loss'):
    tx.update(params, tx.init(params), params, **options)


def test_residual_head_changes_the_momentum(x64):
  spec = tiny.MLP.spec
  params = tiny.draw_params(spec, 0)
  gradients = tiny.draw_params(spec, 1)
  found = {}
  for scale in (0.0, 1e-4):
    optimizer = tiny.create(
      'google_nfn', spec, head='residual', output_scale=scale
    )
    tx = optimizer.transformation(tiny.draw_theta(optimizer))
    found[scale], _ = jax.jit(tx.update)(gradients, tx.init(params), params)
  # After one step the average with decay 0.9 is a tenth of the gradient.
  expected = jax.tree.map(lambda g: -0.1 * 0.1 * g, gradients)
  tiny.assert_trees_close(found[0.0], expected, rtol=1e-5)
  assert any(
    np.max(np.abs(a - b)) > 1e-7
    for a, b in zip(
      jax.tree.leaves(found[1e-4]), jax.tree.leaves(expected), strict=True
    )
  )


@pytest.mark.parametrize(
  'options, match',
  [
    ({'head': 'nothing'}, "unknown head 'nothing'.*direction.*residual"),
    ({'head': 'residual', 'decays': (0.5,)}, 'decays must have it'),
  ],
)
def test_nfn_refuses_unknown_heads(options, match):
  with pytest.raises(ValueError, match=match):
    tiny.create('google_nfn', tiny.MLP.spec, **options)


def test_nfn_refuses_arrays_outside_the_spec():
  optimizer = tiny.create('google_nfn', tiny.MLP.spec)
  tx = optimizer.transformation(tiny.draw_theta(optimizer))
  params = {**tiny.draw_params(tiny.MLP.spec), 'other': jnp.ones(2)}
  with pytest.raises(ValueError, match="'other'.*optax.multi_transform"):
    tx.init(params)


# How many ways there are to part n things into groups.
_BELL = {1: 1, 2: 2, 3: 5, 4: 15}


@pytest.mark.parametrize(
  'output, input_, expected',
  [
    (('a',), ('a',), 2),
    (('a', 'b'), ('a', 'b'), 4),
    (('a', 'b'), ('b', 'c'), 2),
    (('a', 'b'), ('c',), 1),
    ((), ('c',), 1),
    (('a', 'a'), ('a',), _BELL[3]),
    (('a', 'a'), ('a', 'a'), _BELL[4]),
    (('a', 'b', 'a'), ('a', 'b'), _BELL[3] * _BELL[2]),
  ],
)
def test_terms_are_a_basis(output, input_, expected, x64):
  """As many as partitions, independent, and equivariant."""
  sizes = {'a': 4, 'b': 3, 'c': 2}
  shape_in = tuple(sizes[n] for n in input_)
  shape_out = tuple(sizes[n] for n in output)

  def terms(array):
    return [
      jnp.broadcast_to(
        universal_terms.spread(
          universal_terms.reduce(array, start), end, shape_out
        ),
        (*shape_out, 1),
      )
      for end in universal_terms.output_ends(output)
      for start in universal_terms.input_ends(input_)
      if start.names == end.names
    ]

  rng = np.random.default_rng(0)
  arrays = jnp.asarray(rng.normal(size=(40, *shape_in, 1)))
  maps = np.stack([np.stack(terms(array)) for array in arrays], axis=1)
  assert len(maps) == expected
  flat = maps.reshape(expected, -1)
  assert np.linalg.matrix_rank(flat) == expected
  orders = {n: rng.permutation(size) for n, size in sizes.items()}

  def permute(array, names):
    for axis, name in enumerate(names):
      array = jnp.take(array, orders[name], axis=axis)
    return array

  for found, term in zip(
    terms(permute(arrays[0], input_)), maps[:, 0], strict=True
  ):
    np.testing.assert_allclose(
      found, permute(jnp.asarray(term), output), atol=1e-12
    )


def test_universal_layer_is_the_sum_of_its_terms(x64):
  names = (('n', 'm'), ('m',), ('m', 'm'))
  shapes = ((3, 4), (4,), (4, 4))
  layer = universal_layers.UniversalLayer(names, 2)
  rng = np.random.default_rng(0)
  arrays = [jnp.asarray(rng.normal(size=(*shape, 3))) for shape in shapes]
  shared = jnp.asarray(rng.normal(size=5))
  shapes_of = jax.eval_shape(layer.init, jax.random.key(0), arrays, shared)
  params = jax.tree.map(
    lambda x: jnp.asarray(rng.normal(size=x.shape)), shapes_of
  )
  found = jax.jit(layer.apply)(params, arrays, shared)
  for i, (name, shape) in enumerate(zip(names, shapes, strict=True)):
    terms = []
    for end in universal_terms.output_ends(name):
      for j, other in enumerate(names):
        constant = jnp.broadcast_to(shared, (*shapes[j], 5))
        whole = jnp.concatenate([arrays[j], constant], axis=-1)
        for start in universal_terms.input_ends(other):
          if start.names == end.names:
            reduced = universal_terms.reduce(whole, start)
            terms.append(universal_terms.spread(reduced, end, shape))
    kernel = params['params'][f'kernel_{i}']
    assert len(kernel) == len(terms)
    expected = params['params'][f'bias_{i}'] + sum(
      term @ matrix for term, matrix in zip(terms, kernel, strict=True)
    )
    np.testing.assert_allclose(
      found[i], jnp.broadcast_to(expected, found[i].shape), 1e-9, 1e-10
    )


def test_axes_of_kernels_are_no_neurons():
  # One term for each subset of shared axes: four axes of the first kernel.
  theta = tiny.draw_theta(tiny.create('google_nfn', tiny.CNN.spec))
  spec = tiny.CNN.spec
  own = [leaf for leaf in spec.leaves if leaf.kind != 'buffer']
  names = {}
  for leaf in own:
    ends = [leaf.fills]
    if leaf.kind == 'edge':
      block = spec.block(leaf.fills)
      ends = [block.source, block.target]
    kernel = [f'{leaf.path}{a}' for a in ('kh', 'kw') if 'conv' in leaf.path]
    names[leaf.path] = {*ends, *(kernel if leaf.kind == 'edge' else [])}
  counts = [
    sum(2 ** len(names[a.path] & names[b.path]) for b in own) for a in own
  ]
  found = [len(theta['layer_0'][f'kernel_{i}']) for i in range(len(own))]
  assert found == counts


def test_residual_streams_have_diagonal_terms():
  """A square layer whose ends are tied by a skip has all fifteen terms."""
  sets = (
    specs.NeuronSet('in', 2, 'input'),
    specs.NeuronSet('a', 3),
    specs.NeuronSet('b', 3),
    specs.NeuronSet('out', 2, 'output'),
  )
  blocks = (
    specs.Block('one', 'in', 'a'),
    specs.Block('square', 'a', 'b'),
    specs.Block('skip', 'a', 'b', kind='diagonal', type='skip'),
    specs.Block('two', 'b', 'out'),
  )
  leaves = tuple(
    specs.Leaf(f'{name}/kernel', 'source target', name)
    for name in ('one', 'square', 'two')
  )
  spec = specs.NetworkSpec(sets, blocks, leaves)
  theta = tiny.draw_theta(tiny.create('google_nfn', spec))
  # Itself, and with one axis in common 5 ways each with its neighbours.
  assert len(theta['layer_0']['kernel_1']) == 15 + 2 * 5
