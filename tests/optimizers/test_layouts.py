# SPDX-License-Identifier: Apache-2.0
"""Optimizees of every layout, and theta that fits all of them."""

import itertools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import specs
from ng_jax.optimizers import features
from ng_jax.optimizers import nfn_layers
from ng_jax.optimizers import positions
from ng_jax.optimizers import recurrent
from ng_jax.optimizers import trees
from tests import example_networks
from tests import linen_networks
from tests import repeats
from tests.optimizers import tiny

_BY_ROLE = {'nfn': {'share': 'role'}}
_LAYOUTS = {
  'single layer': networks.Mlp((3, 2)).spec,
  'two layers': networks.Mlp((2, 5, 3)).spec,
  'repeated widths': networks.Mlp((3, 3, 3, 3, 3)).spec,
  'large kernels': networks.Cnn(
    channels=(1, 2, 2), kernel_sizes=(7, (1, 6)), num_classes=2
  ).spec,
  'flattened': networks.Cnn(
    channels=(1, 2),
    kernel_sizes=(3,),
    num_classes=2,
    reduction='flatten',
    map_size=(6, 6),
  ).spec,
  'skips': networks.Cnn(
    channels=(1, 2, 3, 3),
    kernel_sizes=(3, 3, 3),
    num_classes=2,
    residual=(-1, -1, 0),
  ).spec,
  **{name: make().spec for name, make in example_networks.EXAMPLES.items()},
}
_QUICK = {
  'google_nfn': ('flattened',),
  'nfn': ('conv',),
  'ng_gnn': ('partial_skip', 'large kernels'),
  'ng_t': ('attention',),
}


def _update(
  optimizer: Any, theta: Any, spec: specs.NetworkSpec, others: Any = None
) -> tuple[Any, Any]:
  """Parameters and their update from random gradients."""
  params = {**tiny.draw_params(spec), **(others or {})}
  gradients = tiny.draw_like(params, 1)
  tx = optimizer.transformation(theta)
  run = jax.jit(lambda g, p: tx.update(g, tx.init(p), p, value=1.0)[0])
  return params, run(gradients, params)


@pytest.mark.parametrize(
  ('name', 'layout'),
  repeats.cases(
    itertools.product(sorted(tiny.NEED_SPEC), sorted(_LAYOUTS)),
    repeats=lambda name, layout: layout not in _QUICK[name],
  ),
)
def test_every_layout_is_updated(name, layout):
  spec = _LAYOUTS[layout]
  optimizer = tiny.create(name, spec, **_BY_ROLE.get(name, {}))
  params, updates = _update(optimizer, tiny.draw_theta(optimizer), spec)
  assert jax.tree.structure(updates) == jax.tree.structure(params)
  for path, leaf in trees.named_leaves(updates).items():
    assert np.all(np.isfinite(leaf)), path
    assert np.any(leaf != 0), path


@pytest.mark.parametrize('name', ['ff', 'google_ff', 'google_lstm', 'lstm'])
@pytest.mark.parametrize('layout', ['conv', 'attention'])
def test_layouts_need_no_spec(name, layout):
  spec = _LAYOUTS[layout]
  optimizer = tiny.create(name)
  params, updates = _update(optimizer, tiny.draw_theta(optimizer), spec)
  for a, b in zip(
    jax.tree.leaves(updates), jax.tree.leaves(params), strict=True
  ):
    assert a.shape == b.shape
    assert np.any(a != 0)


@pytest.mark.parametrize(
  'name', ['ff', 'google_ff', 'google_lstm', 'lstm', 'nfn', 'ng_gnn', 'ng_t']
)
def test_shapes_of_theta_do_not_depend_on_the_layout(name):
  def shapes(spec: specs.NetworkSpec | None) -> Any:
    optimizer = tiny.create(name, spec, **_BY_ROLE.get(name, {}))
    return jax.tree.map(jnp.shape, tiny.draw_theta(optimizer))

  expected = shapes(_LAYOUTS['two layers'])
  for layout in ('large kernels', 'attention', 'single layer'):
    assert shapes(_LAYOUTS[layout]) == expected


def test_positions_of_784_inputs_are_not_clamped():
  spec = networks.Mlp((784, 2, 10)).spec
  for name in ('ng_gnn', 'nfn'):
    optimizer = tiny.create(name, spec, **_BY_ROLE.get(name, {}))
    _, updates = _update(optimizer, tiny.draw_theta(optimizer), spec)
    for leaf in jax.tree.leaves(updates):
      assert np.all(np.isfinite(leaf))
  computed = positions.sinusoid(np.array([783, 784]), 8)
  assert np.max(np.abs(computed[0] - computed[1])) > 0.1


@pytest.mark.slow
def test_indexing_by_role_gives_all_inputs_one_row():
  spec = networks.Mlp((3, 2, 2, 2)).spec
  for indexing, expected in (('role', 1), ('running', 3)):
    optimizer = tiny.create('ng_t', spec, indexing=indexing)
    theta = tiny.draw_theta(optimizer)
    params = tiny.draw_params(spec)
    # Inputs that are alike but for their position.
    kernel = params['layer_1']['kernel']
    params['layer_1']['kernel'] = jnp.broadcast_to(kernel[:1], kernel.shape)
    tx = optimizer.transformation(theta)
    run = jax.jit(lambda p, tx=tx: tx.update(p, tx.init(p), p)[0])
    rows = np.asarray(run(params)['layer_1']['kernel'])
    assert len(np.unique(np.round(rows, 8), axis=0)) == expected


class _NormedCnn(nn.Module):
  """A small CNN with GroupNorm, as a user writes it."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    x = nn.relu(nn.GroupNorm(num_groups=2)(nn.Conv(4, (3, 3))(x)))
    x = nn.relu(nn.Conv(3, (3, 3))(x))
    return nn.Dense(2)(jnp.mean(x, axis=(1, 2)))


_USERS = {
  'group norm': (_NormedCnn(), (2, 6, 6, 1)),
  'transformer': (
    linen_networks.VisionTransformer(class_token=True),
    (2, 4, 4, 1),
  ),
}


@pytest.mark.slow
@pytest.mark.parametrize('kind', sorted(_USERS))
@pytest.mark.parametrize('name', ['lstm', 'nfn', 'ng_gnn', 'ng_t'])
def test_inferred_specs_of_users_networks(name, kind):
  module, shape = _USERS[kind]
  x = np.zeros(shape, np.float32)
  whole = linen_networks.init(module, x)
  spec = specs.infer(module, whole, x, check=False)
  optimizer = tiny.create(name, spec, **_BY_ROLE.get(name, {}))
  theta = tiny.draw_theta(optimizer)
  tx = optimizer.transformation(theta)

  def update(params: Any) -> Any:
    return tx.update(params, tx.init(params), params)[0]

  params = tiny.draw_like(whole['params'], 0)
  updates = jax.jit(update)(params)
  assert jax.tree.structure(updates) == jax.tree.structure(params)
  for leaf in jax.tree.leaves(updates):
    assert np.all(np.isfinite(leaf))
    assert np.any(leaf != 0)
  # Whole variables with the key 'params' are the same to the last operation.
  alike = jax.make_jaxpr(update)({'params': params})
  assert str(alike) == str(jax.make_jaxpr(update)(params))


@pytest.mark.parametrize(
  'name',
  repeats.cases(['lstm', 'nfn', 'ng_gnn', 'ng_t'], quick=('lstm', 'ng_gnn')),
)
def test_arrays_outside_the_spec_are_updated_without_context(name):
  """What the head makes of their own features alone."""
  spec = tiny.MLP.spec
  optimizer = tiny.create(name, spec)
  theta = tiny.draw_theta(optimizer)
  extra = {'other': {'table': jnp.asarray([[0.3, -0.2, 1e-6]])}}
  _, updates = _update(optimizer, theta, spec, extra)
  found = np.asarray(updates['other']['table'])
  assert np.all(np.isfinite(found)) and np.all(found != 0)
  if name == 'lstm':  # There, it is one more array in the sequence.
    return
  _, without = _update(optimizer, theta, spec)
  for path, leaf in trees.named_leaves(without).items():
    other = trees.named_leaves(updates)[path]
    np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-7)
  # What the head makes of the features alone, whatever the network holds.
  head = theta['head']
  values = jnp.asarray(extra['other']['table'])
  gradient = tiny.draw_like({**tiny.draw_params(spec), **extra}, 1)
  gradient = gradient['other']['table']
  momenta = jnp.broadcast_to(gradient, (5, *gradient.shape))
  x = jnp.moveaxis(features.describe(values, gradient, momenta), 0, -1)
  x = x @ head['layer_0']['kernel'][:14] + head['layer_0']['bias']
  x = jnp.maximum(x, 0) @ head['out']['kernel'] + head['out']['bias']
  expected = 0.01 * x[..., 0] * jnp.exp(0.01 * x[..., 1])
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_roles_of_layers():
  layers = nfn_layers.find(_LAYOUTS['conv'])
  # The norm between the first two convolutions is passed.
  assert [layer.role for layer in layers] == [
    'first', 'hidden', 'hidden', 'last',
  ]  # fmt: skip
  assert [layer.before for layer in layers] == [(), (0,), (1,), (2,)]
  assert [layer.after for layer in layers] == [(1,), (2,), (3,), ()]
  (single,) = nfn_layers.find(_LAYOUTS['single layer'])
  assert single == nfn_layers.Layer(0, 'output', 'last', (), ())


def test_layers_of_a_residual_stream_read_all_that_lead_there():
  layers = nfn_layers.find(_LAYOUTS['residual_norm'])
  # stem, up, down, head; the skip itself is not followed.
  assert [layer.before for layer in layers] == [(), (0,), (1,), (2,)]
  assert [layer.role for layer in layers] == [
    'first', 'hidden', 'hidden', 'last',
  ]  # fmt: skip


@pytest.mark.slow
def test_sharing_by_role_makes_deeper_networks_alike():
  """One layer of NFN sees no difference between two or three alike."""
  found = []
  for num_hidden in (3, 4):
    spec = networks.Mlp((2, *[3] * num_hidden, 2)).spec
    optimizer = tiny.create('nfn', spec, share='role', num_layers=0)
    params = tiny.draw_params(networks.Mlp((2, 3, 3, 2)).spec)
    middle = jax.tree.map(jnp.ones_like, params['layer_2'])
    last = num_hidden + 1
    params = {
      'layer_1': jax.tree.map(jnp.ones_like, params['layer_1']),
      **{f'layer_{i}': middle for i in range(2, last)},
      f'layer_{last}': params['layer_3'],
    }
    theta = tiny.draw_theta(optimizer)
    tx = optimizer.transformation(theta)
    run = jax.jit(lambda p, tx=tx: tx.update(p, tx.init(p), p)[0])
    found.append(run(params))
  np.testing.assert_allclose(
    found[0]['layer_1']['kernel'], found[1]['layer_1']['kernel'], atol=1e-7
  )
  np.testing.assert_allclose(
    found[0]['layer_4']['bias'], found[1]['layer_5']['bias'], atol=1e-7
  )


def test_network_order_without_a_spec():
  paths = ('dense_10/bias', 'dense_10/kernel', 'dense_2/bias', 'dense_2/kernel')
  assert recurrent.network_order(paths) == (
    'dense_2/kernel', 'dense_2/bias', 'dense_10/kernel', 'dense_10/bias',
  )  # fmt: skip


def test_network_order_of_a_spec():
  spec = networks.Mlp((2, 3, 1)).spec
  for prefix in ('', 'params/'):
    paths = [prefix + leaf.path for leaf in spec.leaves]
    found = recurrent.network_order((*reversed(paths), 'also'), spec)
    assert found == (*paths, 'also')
