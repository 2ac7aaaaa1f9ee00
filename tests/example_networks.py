# SPDX-License-Identifier: Apache-2.0
"""Small networks that use everything a spec can say, and run by themselves.

Each one is written twice: as a spec, and as a plain function of its weights
that knows nothing of specs. The tests of symmetry and of graphs hold one
against the other.
"""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ng_jax import specs


@dataclasses.dataclass(frozen=True)
class Example:
  """A network, its spec, and permutations that it does not allow.

  Attributes:
    spec: of the weights.
    apply: (weights, inputs [num, *input_shape]) -> [num, ...].
    input_shape: of one input.
    forbidden: {what it breaks: {neuron set: [size] permutation}}.
    activations: (weights, inputs) -> [num, size] per neuron set, averaged over
      space; None where an example has none.
  """

  spec: specs.NetworkSpec
  apply: Callable[[specs.Weights, jax.Array], jax.Array]
  input_shape: tuple[int, ...]
  forbidden: Mapping[str, Mapping[str, tuple[int, ...]]]
  activations: (
    Callable[[specs.Weights, jax.Array], tuple[jax.Array, ...]] | None
  ) = None


def swap(size: int, i: int, j: int) -> tuple[int, ...]:
  """The permutation of `size` that swaps i and j."""
  order = list(range(size))
  order[i], order[j] = j, i
  return tuple(order)


def _dense(
  name: str, source: str, target: str
) -> tuple[specs.Block, list[specs.Leaf]]:
  leaves = [
    specs.Leaf(f'{name}/kernel', 'source target', name),
    specs.Leaf(f'{name}/bias', 'target', target, kind='node'),
  ]
  return specs.Block(name, source, target), leaves


def _conv(
  name: str, source: str, target: str, size: tuple[int, int]
) -> tuple[specs.Block, list[specs.Leaf]]:
  height, width = size
  leaves = [
    specs.Leaf(
      f'{name}/kernel',
      'kh kw source target',
      name,
      sizes=(('kh', height), ('kw', width)),
    ),
    specs.Leaf(f'{name}/bias', 'target', target, kind='node'),
  ]
  block = specs.Block(
    name,
    source,
    target,
    type='conv',
    num_channels=height * width,
    kernel=size,
  )
  return block, leaves


def _norm(
  name: str, source: str, target: str
) -> tuple[specs.Block, list[specs.Leaf]]:
  leaves = [
    specs.Leaf(f'{name}/scale', 'target', name),
    specs.Leaf(f'{name}/bias', 'target', target, kind='node'),
  ]
  block = specs.Block(name, source, target, kind='diagonal', type='norm')
  return block, leaves


def _skip(
  name: str, source: str, target: str
) -> tuple[specs.Block, list[specs.Leaf]]:
  return specs.Block(name, source, target, kind='diagonal', type='skip'), []


def _spec(
  sets: list[specs.NeuronSet],
  parts: list[tuple[specs.Block, list[specs.Leaf]]],
) -> specs.NetworkSpec:
  return specs.NetworkSpec(
    tuple(sets),
    tuple(block for block, _ in parts),
    tuple(leaf for _, leaves in parts for leaf in leaves),
  )


def _linear(layer: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
  return x @ layer['kernel'] + layer['bias']


def _standardise(x: jax.Array) -> jax.Array:
  mean = jnp.mean(x, axis=-1, keepdims=True)
  return (x - mean) / jnp.sqrt(jnp.var(x, axis=-1, keepdims=True) + 1e-5)


def partial_skip() -> Example:
  """Three hidden layers; the first 16 channels skip into the third's 32."""
  spec = _spec(
    [
      specs.NeuronSet('in', 3, 'input'),
      specs.NeuronSet('a', 16, activation='tanh'),
      specs.NeuronSet('b', 5, activation='relu'),
      specs.NeuronSet('c', 32, activation='gelu'),
      specs.NeuronSet('out', 2, 'output'),
    ],
    [
      _dense('one', 'in', 'a'),
      _dense('two', 'a', 'b'),
      _dense('three', 'b', 'c'),
      _dense('four', 'c', 'out'),
      _skip('jump', 'a', 'c'),
    ],
  )

  def apply(weights: Any, x: jax.Array) -> jax.Array:
    a = jnp.tanh(_linear(weights['one'], x))
    b = jax.nn.relu(_linear(weights['two'], a))
    c = _linear(weights['three'], b) + jnp.pad(a, [(0, 0), (0, 16)])
    return _linear(weights['four'], jax.nn.gelu(c))

  return Example(
    spec,
    apply,
    (3,),
    {
      'only the start of the skip': {'a': swap(16, 0, 1)},
      'only the end of the skip': {'c': swap(32, 0, 1)},
      'a channel that the skip reaches and one that it does not': {
        'c': swap(32, 0, 20)
      },
    },
  )


def residual_norm() -> Example:
  """A pre-norm residual block, LayerNorm, as in transformers."""
  spec = _spec(
    [
      specs.NeuronSet('in', 3, 'input'),
      specs.NeuronSet('stream_0', 6),
      specs.NeuronSet('normed_0', 6),
      specs.NeuronSet('hidden', 5, activation='silu'),
      specs.NeuronSet('stream_1', 6),
      specs.NeuronSet('normed_1', 6),
      specs.NeuronSet('out', 2, 'output'),
    ],
    [
      _dense('stem', 'in', 'stream_0'),
      _norm('norm_0', 'stream_0', 'normed_0'),
      _dense('up', 'normed_0', 'hidden'),
      _dense('down', 'hidden', 'stream_1'),
      _skip('residual', 'stream_0', 'stream_1'),
      _norm('norm_1', 'stream_1', 'normed_1'),
      _dense('head', 'normed_1', 'out'),
    ],
  )

  def normalise(layer: Any, x: jax.Array) -> jax.Array:
    return _standardise(x) * layer['scale'] + layer['bias']

  def apply(weights: Any, x: jax.Array) -> jax.Array:
    stream = _linear(weights['stem'], x)
    hidden = normalise(weights['norm_0'], stream)
    hidden = jax.nn.silu(_linear(weights['up'], hidden))
    stream = stream + _linear(weights['down'], hidden)
    return _linear(weights['head'], normalise(weights['norm_1'], stream))

  return Example(
    spec,
    apply,
    (3,),
    {
      'the scale': {'normed_0': swap(6, 1, 4)},
      'the residual': {'stream_1': swap(6, 0, 5), 'normed_1': swap(6, 0, 5)},
    },
  )


def group_norm() -> Example:
  """GroupNorm with three groups of four channels."""
  spec = _spec(
    [
      specs.NeuronSet('in', 3, 'input'),
      specs.NeuronSet('before', 12, num_groups=3),
      specs.NeuronSet('after', 12, activation='tanh'),
      specs.NeuronSet('out', 2, 'output'),
    ],
    [
      _dense('one', 'in', 'before'),
      _norm('norm', 'before', 'after'),
      _dense('two', 'after', 'out'),
    ],
  )

  def apply(weights: Any, x: jax.Array) -> jax.Array:
    x = _linear(weights['one'], x)
    x = _standardise(x.reshape(-1, 3, 4)).reshape(x.shape)
    x = x * weights['norm']['scale'] + weights['norm']['bias']
    return _linear(weights['two'], jnp.tanh(x))

  across = swap(12, 0, 4)
  return Example(
    spec, apply, (3,), {'groups': {'before': across, 'after': across}}
  )


def attention() -> Example:
  """Two heads of three dimensions, one leaf each for query, key and value."""
  sizes = (('target_head', 2), ('target_dim', 3))
  projections = [
    leaf
    for slot, name in enumerate(('query', 'key', 'value'))
    for leaf in (
      specs.Leaf(
        f'{name}/kernel',
        'source target_head target_dim',
        'project',
        slot=slot,
        sizes=sizes,
      ),
      specs.Leaf(
        f'{name}/bias',
        'target_head target_dim',
        'heads',
        kind='node',
        slot=slot,
        sizes=sizes,
      ),
    )
  ]
  merge = [
    specs.Leaf(
      'merge/kernel',
      'source_head source_dim target',
      'merge',
      sizes=(('source_head', 2), ('source_dim', 3)),
    ),
    specs.Leaf('merge/bias', 'target', 'stream_1', kind='node'),
  ]
  project = specs.Block(
    'project', 'stream_0', 'heads', type='attention', num_channels=3
  )
  spec = _spec(
    [
      specs.NeuronSet('in', 3, 'input'),
      specs.NeuronSet('stream_0', 5),
      specs.NeuronSet('heads', 6, num_groups=2),
      specs.NeuronSet('stream_1', 5),
      specs.NeuronSet('out', 2, 'output'),
    ],
    [
      _dense('embed', 'in', 'stream_0'),
      (project, projections),
      (specs.Block('merge', 'heads', 'stream_1'), merge),
      _skip('residual', 'stream_0', 'stream_1'),
      _dense('head', 'stream_1', 'out'),
    ],
  )

  def apply(weights: Any, x: jax.Array) -> jax.Array:
    stream = _linear(weights['embed'], x)
    q, k, v = (
      jnp.einsum('td,dhe->hte', stream, weights[name]['kernel'])
      + weights[name]['bias'][:, None]
      for name in ('query', 'key', 'value')
    )
    mix = jax.nn.softmax(jnp.einsum('hte,hse->hts', q, k), axis=-1)
    read = jnp.einsum('hts,hse->hte', mix, v)
    merged = jnp.einsum('hte,hed->td', read, weights['merge']['kernel'])
    stream = stream + merged + weights['merge']['bias']
    return _linear(weights['head'], stream)

  return Example(
    spec,
    apply,
    (3,),
    {
      'heads': {'heads': swap(6, 0, 3)},
      'the residual': {'stream_0': swap(5, 0, 1)},
    },
  )


def fused_attention() -> Example:
  """The same with one fused matrix, as torch.nn.MultiheadAttention has."""
  sizes = (('qkv', 3),)
  fused = [
    specs.Leaf('qkv/kernel', '(qkv target) source', 'project', sizes=sizes),
    specs.Leaf('qkv/bias', '(qkv target)', 'heads', kind='node', sizes=sizes),
  ]
  project = specs.Block(
    'project', 'in', 'heads', type='attention', num_channels=3
  )
  spec = _spec(
    [
      specs.NeuronSet('in', 4, 'input'),
      specs.NeuronSet('heads', 6, num_groups=2),
      specs.NeuronSet('out', 2, 'output'),
    ],
    [(project, fused), _dense('merge', 'heads', 'out')],
  )

  def apply(weights: Any, x: jax.Array) -> jax.Array:
    parts = x @ weights['qkv']['kernel'].T + weights['qkv']['bias']
    q, k, v = parts.reshape(-1, 3, 2, 3).transpose(1, 2, 0, 3)
    mix = jax.nn.softmax(jnp.einsum('hte,hse->hts', q, k), axis=-1)
    read = jnp.einsum('hts,hse->the', mix, v).reshape(-1, 6)
    return _linear(weights['merge'], read)

  return Example(spec, apply, (4,), {'heads': {'heads': swap(6, 2, 3)}})


def conv() -> Example:
  """Two convolutions, batch norm, and a dense layer on the flat image."""
  statistics = [
    specs.Leaf(f'norm/{name}', 'target', 'b', kind='buffer')
    for name in ('mean', 'var')
  ]
  norm_block, norm_leaves = _norm('norm', 'b', 'c')
  flat = [
    specs.Leaf(
      'flat/kernel',
      '(kh kw source) target',
      'flat',
      sizes=(('kh', 2), ('kw', 3)),
    ),
    specs.Leaf('flat/bias', 'target', 'e', kind='node'),
  ]
  spec = _spec(
    [
      specs.NeuronSet('in', 2, 'input'),
      specs.NeuronSet('b', 4),
      specs.NeuronSet('c', 4, activation='relu'),
      specs.NeuronSet('d', 3, activation='relu'),
      specs.NeuronSet('e', 5, activation='relu'),
      specs.NeuronSet('out', 2, 'output'),
    ],
    [
      _conv('one', 'in', 'b', (3, 3)),
      (norm_block, norm_leaves + statistics),
      _conv('two', 'c', 'd', (2, 1)),
      (_conv('flat', 'd', 'e', (2, 3))[0], flat),
      _dense('head', 'e', 'out'),
    ],
  )

  def convolve(layer: Any, x: jax.Array) -> jax.Array:
    result = jax.lax.conv_general_dilated(
      x,
      layer['kernel'],
      (1, 1),
      'VALID',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    return result + layer['bias']

  def activations(weights: Any, x: jax.Array) -> tuple[jax.Array, ...]:
    norm = weights['norm']
    b = convolve(weights['one'], x)
    c = (b - norm['mean']) / jnp.sqrt(norm['var'] + 1e-5)
    c = jax.nn.relu(c * norm['scale'] + norm['bias'])
    d = jax.nn.relu(convolve(weights['two'], c))
    e = jax.nn.relu(_linear(weights['flat'], d.reshape(d.shape[0], -1)))
    maps = (jnp.mean(values, axis=(1, 2)) for values in (x, b, c, d))
    return (*maps, e, _linear(weights['head'], e))

  return Example(
    spec,
    lambda weights, x: activations(weights, x)[-1],
    (5, 5, 2),
    {'the scale of the norm': {'b': swap(4, 0, 2)}},
    activations,
  )


EXAMPLES: dict[str, Callable[[], Example]] = {
  'attention': attention,
  'conv': conv,
  'fused_attention': fused_attention,
  'group_norm': group_norm,
  'partial_skip': partial_skip,
  'residual_norm': residual_norm,
}
