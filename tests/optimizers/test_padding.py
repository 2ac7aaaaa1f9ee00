# SPDX-License-Identifier: Apache-2.0
"""What is left out changes nothing: padding and segments (l2o spec 7.8)."""

import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import jraph
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import layers
from ng_jax import networks
from ng_jax import specs
from ng_jax.optimizers import features
from ng_jax.optimizers import graph_inputs
from ng_jax.optimizers import graph_reading
from ng_jax.optimizers import kernel_grid
from tests import example_networks
from tests import repeats
from tests.optimizers import tiny

# Kernels of all kinds: odd, even, flat, larger than the grid, and none.
_CNN = networks.Cnn(
  channels=(1, 2, 3, 3, 2), kernel_sizes=(3, (2, 4), (7, 1), 5), num_classes=2
)
_F = 14


def _inputs(spec: specs.NetworkSpec, seed: int = 0) -> dict[str, jax.Array]:
  """Features of a spec's arrays, such as an optimizer sees them."""
  arrays = specs.leaf_arrays(tiny.draw_params(spec, seed, jnp.float64))
  rng = np.random.default_rng(seed)
  found = {}
  for path, array in arrays.items():
    momenta = jnp.asarray(rng.normal(size=(5, *array.shape)))
    found[path] = features.describe(array, momenta[0], momenta)
  return found


def _pad_kernel(values: np.ndarray, kernel: tuple[int, int]) -> np.ndarray:
  """[..., rows columns, F] -> [..., 5, 5, F], centred or averaged over bins."""
  values = values.reshape(*values.shape[:-2], *kernel, values.shape[-1])
  for axis, size in ((-3, kernel[0]), (-2, kernel[1])):
    values = np.moveaxis(values, axis, 0)
    if size > 5:
      bins = [
        values[int(i * size / 5) : int(np.ceil((i + 1) * size / 5))].mean(0)
        for i in range(5)
      ]
      values = np.stack(bins)
    else:
      before = (5 - size) // 2
      pad = [(before, 5 - size - before)] + [(0, 0)] * (values.ndim - 1)
      values = np.pad(values, pad)
    values = np.moveaxis(values, 0, axis)
  return values


def _padded_edges(
  spec: specs.NetworkSpec, inputs: dict[str, jax.Array]
) -> list[np.ndarray]:
  """Per dense block [n, m, 350], position-major."""
  found = []
  for block in spec.blocks:
    (leaf,) = [x for x in spec.leaves if x.fills == block.name]
    values = spec.layout(leaf).unfold(np.asarray(inputs[leaf.path]))
    values = np.moveaxis(values, 0, -1)
    padded = _pad_kernel(values, block.kernel or (1, 1))
    found.append(padded.reshape(*padded.shape[:-3], -1))
  return found


def _padded_nodes(
  spec: specs.NetworkSpec, inputs: dict[str, jax.Array]
) -> dict[str, np.ndarray]:
  """Per neuron set [n, 350], channel-major, the bias in the centre."""
  found = {s.name: np.zeros((s.size, _F, 25)) for s in spec.neuron_sets}
  for leaf in spec.leaves:
    if leaf.kind == 'node':
      found[leaf.fills][:, :, 12] = np.asarray(inputs[leaf.path]).T
  return {name: values.reshape(-1, 350) for name, values in found.items()}


@pytest.mark.parametrize(
  'reverse', repeats.cases([False, True], repeats=[False])
)
def test_projection_equals_that_of_padded_features(reverse, x64):
  spec = _CNN.spec
  inputs = _inputs(spec)
  reader = graph_reading.GraphReader(spec, tuple(inputs))
  module = graph_inputs.GraphProjection(6, reverse)
  shapes = jax.eval_shape(
    lambda key: module.init(key, reader, inputs), jax.random.key(0)
  )
  params = tiny.draw_like(shapes, 1)
  params = jax.tree.map(lambda x: x.astype(jnp.float64), params)
  nodes, groups, fill = jax.jit(
    lambda params, inputs: module.apply(params, reader, inputs)
  )(params, inputs)
  theta = params['params']

  def project(name: str, second: str, values: np.ndarray) -> np.ndarray:
    for layer in (theta[name], theta[second]):
      values = values @ np.asarray(layer['kernel']) + np.asarray(layer['bias'])
    return values

  of_nodes = np.concatenate(list(_padded_nodes(spec, inputs).values()))
  expected = project('node_projection', 'node_in', of_nodes)
  np.testing.assert_allclose(nodes[0], expected, rtol=1e-10, atol=1e-12)
  edges = _padded_edges(spec, inputs)
  zero = [np.zeros_like(e) for e in edges]
  directions: list[Any] = [edges]
  if reverse:  # 1,050 numbers: forward, reverse and their sum.
    directions = [
      [np.concatenate([e, z, e], -1) for e, z in zip(edges, zero, strict=True)],
      [np.concatenate([z, e, e], -1) for e, z in zip(edges, zero, strict=True)],
    ]
  wide = [values for direction in directions for values in direction]
  assert {v.shape[-1] for v in wide} == {1050 if reverse else 350}
  for found, values in zip(groups, wide, strict=True):
    expected = project('edge_projection', 'edge_in', values)
    np.testing.assert_allclose(found[0], expected, rtol=1e-10, atol=1e-12)
  expected = project('edge_projection', 'edge_in', np.zeros_like(wide[0][0, 0]))
  np.testing.assert_allclose(fill, expected, rtol=1e-10)


def _numpy_nfn_layer(
  theta: Any, weights: list[np.ndarray], biases: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
  """The NP layer of l2o spec 3.4 on W_i [n, m, C] and b_i [m, C]."""

  def apply(layer: Any, name: str, x: np.ndarray) -> np.ndarray:
    kernel = np.asarray(layer[f'{name}_kernel'])
    return x @ kernel.reshape(-1, kernel.shape[-1]) + layer[f'{name}_bias']

  rows = [w.mean(1) for w in weights]
  columns = [w.mean(0) for w in weights]
  whole = np.concatenate(
    [w.mean((0, 1)) for w in weights] + [b.mean(0) for b in biases]
  )
  last = len(weights) - 1
  new_weights, new_biases = [], []
  for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
    layer = theta[f'layer_{i + 1}']
    before = [columns[i - 1], biases[i - 1]] if i > 0 else []
    after = [rows[i + 1]] if i < last else []
    of_sources = np.concatenate([rows[i], *before], -1)
    of_targets = np.concatenate([columns[i], bias, *after], -1)
    new_weights.append(
      apply(layer, 'weight_own', weight)
      + apply(layer, 'weight_whole', whole)
      + apply(layer, 'weight_sources', of_sources)[:, None]
      + apply(layer, 'weight_targets', of_targets)[None]
    )
    new_biases.append(
      apply(layer, 'bias_targets', of_targets)
      + apply(layer, 'bias_whole', whole)
    )
  return new_weights, new_biases


@pytest.mark.slow
def test_nfn_equals_the_formulas_on_padded_features(x64):
  """Three layers and the head, all written out."""
  spec = _CNN.spec
  inputs = _inputs(spec)
  optimizer = tiny.create('nfn', spec, num_layers=2)
  theta = tiny.draw_theta(optimizer, 1)
  network = optimizer.network(tuple(inputs))
  found = jax.jit(network.apply)({'params': theta}, inputs)
  weights = _padded_edges(spec, inputs)
  nodes = _padded_nodes(spec, inputs)
  biases = [nodes[block.target] for block in spec.blocks]
  for i in range(3):
    if i > 0:
      weights, biases = (
        [np.maximum(x, 0) for x in xs] for xs in (weights, biases)
      )
    weights, biases = _numpy_nfn_layer(
      theta[f'equivariant_{i}'], weights, biases
    )
  head = theta['head']
  for block, of_weight, of_bias in zip(
    spec.blocks, weights, biases, strict=True
  ):
    for kind, context in (('kernel', of_weight), ('bias', of_bias)):
      own = np.moveaxis(np.asarray(inputs[f'{block.name}/{kind}']), 0, -1)
      # The edge's context is copied to every place of its kernel (HWIO).
      shape = (*own.shape[:-1], context.shape[-1])
      x = np.concatenate([own, np.broadcast_to(context, shape)], -1)
      x = x @ head['layer_0']['kernel'] + head['layer_0']['bias']
      x = np.maximum(x, 0) @ head['out']['kernel'] + head['out']['bias']
      expected = 0.01 * x[..., 0] * np.exp(0.01 * x[..., 1])
      np.testing.assert_allclose(
        found[f'{block.name}/{kind}'], expected, rtol=1e-8, atol=1e-12
      )


def test_nfn_has_as_many_parameters_as_the_reference():
  spec = networks.Cnn(channels=(1, 16, 32, 32), kernel_sizes=(3, 3, 3)).spec
  optimizer = tiny.create('nfn', spec, features=32, num_layers=2)
  theta = tiny.draw_theta(optimizer)
  body = {k: v for k, v in theta.items() if k != 'head'}
  # 1.33 million with h = 32 and two layers with ReLU.
  assert sum(x.size for x in jax.tree.leaves(body)) == 1_327_104


@pytest.mark.parametrize('size', [(1, 1), (2, 3), (5, 5), (6, 5), (11, 2)])
def test_placement_keeps_means(size):
  placed = kernel_grid.placement(size)
  assert placed.shape == (size[0] * size[1], 25)
  if max(size) <= 5:
    assert set(np.unique(placed)) <= {0.0, 1.0}
    np.testing.assert_array_equal(placed.sum(axis=1), 1.0)
  used = placed.sum(axis=0)
  np.testing.assert_allclose(used[used > 0], 1.0, rtol=1e-12)
  assert np.all(placed.sum(axis=1) > 0)


class _SegmentNetwork(nn.Module):
  """One round of NG-GNN over any connectivity."""

  @nn.compact
  def __call__(self, nodes: Any, edges: Any, connectivity: Any) -> Any:
    nodes = layers.PNAConv(8, 1.3, zero_small_std=True)(
      nodes, edges, connectivity
    )
    nodes = nn.silu(layers.GraphNorm()(nodes, connectivity))
    return nodes, layers.EdgeUpdate(8)(nodes, edges, connectivity)


@pytest.mark.slow
def test_dense_blocks_equal_segments(x64):
  """The same layers, once on blocks and once on one long list of edges."""
  spec = example_networks.EXAMPLES['residual_norm']().spec
  inputs = _inputs(spec)
  reader = graph_reading.GraphReader(spec, tuple(inputs))
  rng = np.random.default_rng(0)
  topology = reader.topology
  nodes = jnp.asarray(rng.normal(size=(topology.num_nodes, 8)))
  groups = [
    jnp.asarray(rng.normal(size=(1, *b.shape, 8)))
    for _ in range(2)
    for b in topology.blocks
  ]
  blocks = reader.connect(nodes[None], reverse=True)
  half = len(topology.blocks)
  joined = [
    jnp.concatenate([g.reshape(-1, 8) for g in part])
    for part in (groups[:half], groups[half:])
  ]
  graph = jraph.GraphsTuple(
    nodes={'bias': nodes, **topology.node_ids},
    edges={'weight': joined[0]},
    senders=topology.senders,
    receivers=topology.receivers,
    globals={},
    n_node=np.array([topology.num_nodes]),
    n_edge=np.array([topology.num_edges]),
  )
  # A second, empty graph for jraph, which takes the last one for padding.
  graph = jraph.pad_with_graphs(
    graph, topology.num_nodes + 1, topology.num_edges, 2
  )
  segments = graphs.connect(graph, reverse=True)
  padded = jnp.pad(nodes, [(0, 1), (0, 0)])
  module = _SegmentNetwork()
  edges = tuple(groups)
  shapes = jax.eval_shape(
    lambda key: module.init(key, nodes[None], edges, blocks), jax.random.key(0)
  )
  variables = tiny.draw_like(shapes, 1)
  variables['constants'] = jax.tree.map(
    lambda x: jnp.asarray(1.3, x.dtype), variables['constants']
  )
  (found_nodes, found_edges), (other_nodes, other_edges) = jax.jit(
    lambda variables: (
      module.apply(variables, nodes[None], edges, blocks),
      module.apply(variables, padded, tuple(joined), segments),
    )
  )(variables)
  np.testing.assert_allclose(
    found_nodes[0], other_nodes[: topology.num_nodes], atol=1e-10
  )
  flat = jnp.concatenate([e.reshape(-1, 8) for e in found_edges])
  np.testing.assert_allclose(flat, jnp.concatenate(other_edges), atol=1e-10)


def test_no_slot_of_a_repeated_layer_is_mixed_up(x64):
  """Networks whose layers are alike but for their numbers."""
  spec = networks.Mlp((3, 3, 3, 3)).spec
  inputs = _inputs(spec)
  optimizer = tiny.create('nfn', spec)
  theta = tiny.draw_theta(optimizer)
  network = optimizer.network(tuple(inputs))
  update = jax.jit(network.apply)
  found = update({'params': theta}, inputs)
  changed = dataclasses.replace(spec, leaves=spec.leaves[::-1])
  network = dataclasses.replace(optimizer, spec=changed).network(tuple(inputs))
  again = jax.jit(network.apply)({'params': theta}, inputs)
  for path, array in found.items():
    np.testing.assert_allclose(again[path], array, atol=1e-12)
