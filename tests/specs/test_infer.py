# SPDX-License-Identifier: Apache-2.0
"""Tests of inferred specs against the networks that they were inferred from."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import networks
from ng_jax import specs
from ng_jax.specs import symmetry
from ng_jax.specs.inference import checking
from tests import example_networks
from tests import linen_networks
from tests import nnx_networks


@dataclasses.dataclass(frozen=True)
class Case:
  """A network and what must be found.

  Attributes:
    make: () -> (module, variables).
    input_shape: of one example.
    activations: of the hidden sets, in order, 'none' left out.
    num_orbits: independent permutations.
    forbidden: {neuron set: (i, j)}: swaps that must change the output.
    options: of the calls.
    fixed: hidden sets that a diagonal ties to the inputs.
  """

  make: Any
  input_shape: tuple[int, ...]
  activations: tuple[str, ...]
  num_orbits: int
  forbidden: dict[str, tuple[int, int]] = dataclasses.field(
    default_factory=dict
  )
  options: dict[str, Any] = dataclasses.field(default_factory=dict)
  fixed: tuple[str, ...] = ()


def _linen(
  kind, shape, *findings, options=None, forbidden=None, fixed=(), **fields
):
  module = kind(**fields)
  options = options or {}

  def make():
    x = np.zeros((1, *shape), np.float32)
    return module, linen_networks.init(module, x, **options)

  return Case(make, shape, *findings, forbidden or {}, options, fixed)


def _nnx(kind, shape, *findings, arguments=(), forbidden=None):
  def make():
    return nnx_networks.make(kind, *arguments), None

  return Case(make, shape, *findings, forbidden or {})


def _fused_transformer(weights, x):
  """Attention as PyTorch writes it: one matrix, heads by reshaping."""
  tokens = x @ weights['embed'][0] + weights['embed'][1]
  mixed = tokens @ weights['in']['weight'].T + weights['in']['bias']
  parts = jnp.split(mixed, 3, axis=-1)
  q, k, v = (p.reshape(*p.shape[:2], 2, 3).swapaxes(1, 2) for p in parts)
  scores = q @ k.swapaxes(-1, -2) / jnp.sqrt(3.0)
  mask = np.tril(np.ones((5, 5), bool))
  scores = jnp.where(mask, scores, -1e9)
  read = jax.nn.softmax(scores, axis=-1) @ v
  read = read.swapaxes(1, 2).reshape(*tokens.shape)
  tokens = tokens + read @ weights['out'].T
  return jnp.mean(tokens, axis=1) @ weights['head']


def _make_fused():
  shapes = {
    'embed': [(4, 6), (6,)],
    'in': {'weight': (18, 6), 'bias': (18,)},
    'out': (6, 6),
    'head': (6, 2),
  }
  is_shape = lambda node: isinstance(node, tuple)  # noqa: E731
  return _fused_transformer, jax.tree.map(np.zeros, shapes, is_leaf=is_shape)


def _pre_activation(weights, x):
  """One set, x in x + f(relu(x)), that is read with and without activation."""
  x = x @ weights['stem']
  x = x + jax.nn.relu(x) @ weights['down'] * 0.5
  return jax.nn.relu(x) @ weights['head'] + 0.5


def _make_pre_activation():
  shapes = {'stem': (3, 5), 'down': (5, 5), 'head': (5, 2)}
  return _pre_activation, {k: np.zeros(v) for k, v in shapes.items()}


def _partial_skips(weights, x):
  """Skips on the first channels, by index and by slice."""
  x = jnp.tanh(x @ weights['a'])
  y = (x @ weights['b']).at[..., :4].add(x)
  y = jax.nn.relu(y)
  z = jax.nn.sigmoid(y[..., :3] + y @ weights['c'])
  return z @ weights['d']


def _make_partial_skips():
  shapes = {'a': (3, 4), 'b': (4, 6), 'c': (6, 3), 'd': (3, 2)}
  return _partial_skips, {k: np.zeros(v) for k, v in shapes.items()}


_SIREN = networks.Siren((2, 5, 6, 3))
_IMAGE = (6, 4, 2)
CASES = {
  'linen_mlp': _linen(linen_networks.Mlp, (4,), ('gelu', 'silu'), 2),
  'linen_flat_cnn': _linen(
    linen_networks.FlatCnn, _IMAGE, ('leaky_relu', 'elu', 'tanh'), 3
  ),
  'linen_pooled_cnn': _linen(
    linen_networks.PooledCnn, (6, 4, 1), ('relu', 'softplus'), 2
  ),
  'linen_resnet': _linen(
    linen_networks.ResNet,
    _IMAGE,
    ('relu',) * 5,
    # The stem with its block, two block interiors, the projected stream. The
    # sets before a norm move with the sets after it.
    4,
    options={'train': False},
    forbidden={'BatchNorm_0': (0, 1), 'BatchNorm_2': (0, 1)},
  ),
  'linen_group_norm': _linen(
    linen_networks.GroupNormNet,
    (4, 3, 2),
    ('relu', 'relu'),
    1,
    forbidden={'Conv_1': (0, 2), 'Conv_0': (1, 5)},
  ),
  'linen_layer_norm': _linen(
    linen_networks.LayerNormNet,
    (4,),
    ('sigmoid',),
    2,
    forbidden={'Dense_0': (0, 1), 'LayerNorm_0': (0, 1)},
  ),
  'linen_vit_token': _linen(
    linen_networks.VisionTransformer,
    _IMAGE,
    ('gelu',),
    3,
    class_token=True,
    forbidden={'heads': (0, 3), 'heads/out': (0, 1)},
  ),
  'linen_vit_mean': _linen(
    linen_networks.VisionTransformer,
    _IMAGE,
    ('gelu',),
    3,
    class_token=False,
    forbidden={'heads': (2, 4), 'Conv_0': (0, 1)},
  ),
  'nnx_mlp': _nnx(nnx_networks.Mlp, (4,), ('gelu', 'gelu'), 2),
  'nnx_flat_cnn': _nnx(nnx_networks.FlatCnn, _IMAGE, ('relu', 'tanh'), 2),
  'nnx_pooled_cnn': _nnx(nnx_networks.PooledCnn, _IMAGE, ('relu', 'silu'), 2),
  'nnx_resnet': _nnx(
    nnx_networks.ResNet,
    _IMAGE,
    ('relu', 'relu', 'relu'),
    2,
    forbidden={'stem': (0, 1), 'second_norm': (0, 1)},
  ),
  'nnx_group_norm': _nnx(
    nnx_networks.NormNet,
    (4,),
    ('tanh',),
    1,
    arguments=(nnx_networks.group_norm,),
    forbidden={'norm': (0, 1)},
  ),
  'nnx_vit': _nnx(
    nnx_networks.VisionTransformer,
    _IMAGE,
    ('gelu',),
    3,
    forbidden={'heads': (0, 3), 'down': (0, 1)},
  ),
  'siren': Case(
    lambda: (_SIREN.apply, _draw_weights(_SIREN.spec)),
    (2,),
    ('sine', 'sine'),
    2,
  ),
  'fused_attention': Case(
    _make_fused, (5, 4), (), 2, {'in': (0, 3), 'out': (0, 1)}
  ),
  'linen_normed_input': _linen(
    linen_networks.NormedInput,
    (4, 3, 2),
    ('relu',),
    1,
    fixed=('LayerNorm_0',),
  ),
  'partial_skips': Case(
    _make_partial_skips,
    (3,),
    ('tanh', 'relu', 'sigmoid'),
    # Channels 0 to 2, channel 3, channels 4 and 5.
    3,
    {'a': (0, 3), 'b': (3, 4), 'c': (0, 1)},
  ),
  'pre_activation': Case(
    _make_pre_activation, (3,), ('relu', 'relu'), 1, {'stem': (0, 1)}
  ),
}


@pytest.fixture(params=CASES)
def case(request):
  return CASES[request.param]


@functools.cache
def _cached(name, token_kind):
  module, variables = CASES[name].make()
  x = np.zeros((2, *CASES[name].input_shape), np.float32)
  return networks.from_module(
    module,
    variables,
    x,
    call_options=CASES[name].options,
    token_kind=token_kind,
    check=False,
  )


def _network(case, token_kind='buffer'):
  name = next(name for name, known in CASES.items() if known is case)
  return _cached(name, token_kind)


def _draw_weights(spec, seed=0):
  """As `testing.draw_weights`, in numpy: nothing is compiled."""
  rng = np.random.default_rng(seed)
  arrays = {}
  for leaf in spec.leaves:
    shape = spec.leaf_shape(leaf)
    block = spec.block(leaf.fills) if leaf.kind == 'edge' else None
    if leaf.kind == 'buffer' or (block and block.kind == 'diagonal'):
      arrays[leaf.path] = rng.uniform(0.5, 1.5, shape)
    else:
      fan_in = spec.neuron_set(block.source).size if block else 10.0
      arrays[leaf.path] = rng.normal(0.0, fan_in**-0.5, shape)
  return specs.from_leaf_arrays(arrays)


def _moving(spec, fixed):
  """A permutation that moves a neuron of every set that may move."""
  for seed in range(100):
    rng = np.random.default_rng(seed)
    drawn = checking._draw_permutation(rng, spec)
    moved = [
      np.any(drawn[s.name] != np.arange(s.size))
      for s in spec.neuron_sets
      if s.role == 'hidden' and s.name not in fixed
    ]
    if all(moved):
      return drawn
  raise AssertionError('no permutation moves every set')


def _stacked(spec, weights, permutations):
  """Weights as they are, then once per permutation, in one batch."""
  act = jax.jit(
    lambda w, drawn: jax.tree.map(
      lambda *leaves: jnp.stack(leaves),
      w,
      *(specs.permute(spec, w, p) for p in drawn),
    )
  )
  return act(weights, permutations)


def _swap(spec, name, pair):
  order = np.arange(spec.neuron_set(name).size)
  order[list(pair)] = order[list(reversed(pair))]
  return {name: order}


def test_permutations_of_the_spec_move_neurons_and_not_the_output(x64, case):
  network = _network(case)
  spec = network.spec
  weights = _draw_weights(spec)
  permutation = _moving(spec, case.fixed)
  swaps = [_swap(spec, name, ij) for name, ij in case.forbidden.items()]
  batch = _stacked(spec, weights, [permutation, *swaps])
  x = np.random.default_rng(2).normal(size=(3, *case.input_shape))
  output, values = jax.jit(
    lambda w: (network.apply(w, x), network.activations(w, x))
  )(batch)
  scale = np.max(np.abs(output[0]))
  assert output.dtype == jnp.float64
  np.testing.assert_allclose(output[1], output[0], rtol=0, atol=1e-10 * scale)
  for i, name in enumerate(case.forbidden):
    change = np.max(np.abs(output[2 + i] - output[0]))
    assert change > 1e-4 * scale, f'{name} moved and nothing changed'
  for neuron_set, value in zip(spec.neuron_sets, values, strict=True):
    assert value.shape == (2 + len(swaps), 3, neuron_set.size)
    np.testing.assert_allclose(
      value[1],
      value[0][:, permutation[neuron_set.name]],
      rtol=0,
      atol=1e-10 * max(1.0, float(np.max(np.abs(value[0])))),
    )
  np.testing.assert_allclose(values[-1], output, rtol=0, atol=1e-10 * scale)


def test_structure_is_as_written(case):
  spec = _network(case).spec
  orbits = symmetry.orbits(spec)
  assert len(orbits) == case.num_orbits
  hidden = [s for s in spec.neuron_sets if s.role == 'hidden']
  functions = [s.activation for s in hidden if s.activation != 'none']
  assert tuple(functions) == case.activations
  moved = {name for orbit in orbits for name in orbit.members}
  assert moved == {s.name for s in hidden} - set(case.fixed)
  assert specs.NetworkSpec.from_json(spec.to_json()) == spec


def test_every_leaf_is_in_the_spec_and_in_the_graph(x64, case):
  network = _network(case)
  weights = network.weights_of(_variables(case))
  assert specs.check_weights(network.spec, weights) == ()
  weights = _draw_weights(network.spec)
  topology = graphs.topology(network.spec)
  decoded = jax.jit(
    lambda w: graphs.decode(topology, graphs.encode(topology, w))
  )(weights)
  found = specs.leaf_arrays(decoded)
  arrays = specs.leaf_arrays(weights)
  features = [leaf for leaf in network.spec.leaves if leaf.kind != 'buffer']
  assert set(found) == {leaf.path for leaf in features}
  for leaf in features:
    np.testing.assert_array_equal(found[leaf.path], arrays[leaf.path])


def _variables(case):
  module, variables = case.make()
  return module if variables is None else variables


@pytest.mark.parametrize('name', example_networks.EXAMPLES)
def test_hand_written_specs_are_found_again(name):
  example = example_networks.EXAMPLES[name]()
  weights = _draw_weights(example.spec)
  x = np.zeros((2, *example.input_shape), np.float32)
  spec = specs.infer(example.apply, weights, x, check=False)
  leaves = {leaf.path: leaf for leaf in spec.leaves}
  for leaf in example.spec.leaves:
    found = leaves[leaf.path]
    assert dataclasses.replace(found, fills=leaf.fills) == leaf
  sizes = [(s.size, s.role, s.num_groups) for s in spec.neuron_sets]
  assert sizes == [
    (s.size, s.role, s.num_groups) for s in example.spec.neuron_sets
  ]

  def shapes(spec):
    position = {s.name: i for i, s in enumerate(spec.neuron_sets)}
    return sorted(
      (position[b.source], position[b.target], b.kind, b.type, b.num_channels)
      for b in spec.blocks
    )

  assert shapes(spec) == shapes(example.spec)


def test_token_leaves_may_be_features(x64):
  case = CASES['linen_vit_token']
  spec = _network(case, token_kind='node').spec
  kinds = {leaf.path: leaf.kind for leaf in spec.leaves}
  assert kinds['token'] == kinds['position'] == 'node'
  buffers = {leaf.path: leaf.kind for leaf in _network(case).spec.leaves}
  assert buffers['token'] == buffers['position'] == 'buffer'
  # One bias, one class token, one embedding per token.
  topology = graphs.topology(spec)
  assert topology.num_node_channels == 2 + 7
  weights = _draw_weights(spec)
  decoded = graphs.decode(topology, graphs.encode(topology, weights))
  np.testing.assert_array_equal(decoded['position'], weights['position'])


def test_running_statistics_are_buffers_beside_their_layer():
  spec = _network(CASES['linen_resnet']).spec
  leaves = {leaf.path: leaf for leaf in spec.leaves}
  assert leaves['BatchNorm_0/mean'].kind == 'buffer'
  assert leaves['BatchNorm_0/var'].fills == 'Conv_0'
  assert leaves['BatchNorm_0/scale'].fills == 'BatchNorm_0'


def test_bare_parameters_will_do():
  module, variables = CASES['linen_mlp'].make()
  x = np.zeros((1, 4), np.float32)
  assert specs.infer(
    module, variables['params'], x, check=False
  ) == specs.infer(module, variables, x, check=False)


def test_the_check_passes_where_the_spec_holds():
  module, variables = CASES['linen_layer_norm'].make()
  specs.infer(module, variables, np.ones((1, 4), np.float32), check=True)
