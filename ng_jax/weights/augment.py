# SPDX-License-Identifier: Apache-2.0
"""Augmentation of implicit neural representations (spec 6.3).

A SIREN is an image; moving, turning or zooming the image is an edit of its
first layer, and a little noise or dropout of its weights leaves the image
nearly the same. The order is that of the reference. `augment` draws for one
network, `augment_batch` for many, each with a key of its own, so that a network
gets the same draw alone and in any batch.

The single edits are in `ng_jax.weights.edits`.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from ng_jax import specs
from ng_jax.weights import edits

NOISE_MODES = ('constant', 'gaussian')

# Purposes that the key of a network is folded with.
_SHIFT, _SHIFT_LAYER, _ANGLE, _NOISE, _DROPOUT, _SCALE = range(6)
_POSITIVE_SCALE, _QUANTILE, _PERMUTATION = range(6, 9)


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """How much to augment; the defaults are the paper's.

  Attributes:
    translation: largest shift along each input, in coordinates; 0 for none.
    rotation: largest angle, in degrees; 0 for none.
    noise: in standard deviations of each array; 0 for none.
    noise_mode: 'constant' adds noise * std to every entry, as the reference
      does (a shift without any randomness); 'gaussian' adds noise * std * N(0,
      1).
    dropout: probability that an entry becomes 0; survivors grow by
      1 / (1 - dropout).
    scale: range of the factor of the first kernel; (1, 1) for none.
    pos_scale: range of the factors of hidden units, U(1 - a, 1 + a); leaves the
      function of ReLU networks unchanged, not that of SIRENs. 0 for none.
    quantile_dropout: entries below the q-quantile of all magnitudes become 0,
      q ~ U(0, a). 0 for none.
    permute: whether to permute the hidden neurons.
  """

  translation: float = 0.25
  rotation: float = 45.0
  noise: float = 0.1
  noise_mode: str = 'constant'
  dropout: float = 0.01
  scale: tuple[float, float] = (0.8, 1.2)
  pos_scale: float = 0.0
  quantile_dropout: float = 0.0
  permute: bool = False

  def __post_init__(self) -> None:
    object.__setattr__(self, 'scale', tuple(self.scale))
    if self.noise_mode not in NOISE_MODES:
      raise ValueError(
        f'unknown noise_mode {self.noise_mode!r}; expected one of '
        f'{sorted(NOISE_MODES)}.'
      )
    for name in ('dropout', 'pos_scale', 'quantile_dropout'):
      if not 0 <= getattr(self, name) < 1:
        raise ValueError(
          f'{name} must be at least 0 and below 1, got {getattr(self, name)}; '
          'use 0 for none.'
        )
    if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1]:
      raise ValueError(
        'scale must be a range (low, high) with 0 < low <= high, got '
        f'{self.scale}; use (1.0, 1.0) for none.'
      )


def none() -> Augmentation:
  """The augmentation that changes nothing. Jit: static."""
  return Augmentation(
    translation=0.0, rotation=0.0, noise=0.0, dropout=0.0, scale=(1.0, 1.0)
  )


def augment(
  key: jax.Array,
  weights: specs.Weights,
  *,
  spec: specs.NetworkSpec,
  settings: Augmentation,
) -> edits.Layers:
  """Augments one network, with draws of its own.

  Args:
    key: typed PRNG key of this network.
    weights: leaves [n_(l-1), n_l] and [n_l], float, no batch axis.
    spec: of the network, a chain of linear layers (`specs.mlp`).
    settings: how much.

  Returns:
    Weights of the same shapes and dtypes. Jit: yes, with spec and settings
    static; `jax.vmap` over (key, weights) for a batch.

  Raises:
    ValueError: a spec that is no chain, or inputs that cannot be rotated.
  """
  layers = _chain(spec, weights, settings)
  dtype = layers['layer_1']['kernel'].dtype

  def uniform(purpose: int, shape: tuple[int, ...], a: float, b: float) -> Any:
    folded = jax.random.fold_in(key, purpose)
    return jax.random.uniform(folded, shape, dtype, minval=a, maxval=b)

  if settings.translation:
    a = settings.translation
    num_inputs = layers['layer_1']['kernel'].shape[0]
    layer = jax.random.randint(
      jax.random.fold_in(key, _SHIFT_LAYER), (), 1, len(layers)
    )
    layers = edits.translate(
      layers, uniform(_SHIFT, (num_inputs,), -a, a), layer
    )
  if settings.rotation:
    a = math.radians(settings.rotation)
    layers = edits.rotate(layers, uniform(_ANGLE, (), -a, a))
  if settings.noise:
    layers = _add_noise(jax.random.fold_in(key, _NOISE), layers, settings)
  if settings.dropout:
    kept = uniform(_DROPOUT, (edits.num_entries(layers),), 0.0, 1.0)
    layers = edits.keep_entries(layers, kept >= settings.dropout)
    layers = jax.tree.map(lambda x: x / (1.0 - settings.dropout), layers)
  if settings.scale != (1.0, 1.0):
    layers = edits.scale_inputs(layers, uniform(_SCALE, (), *settings.scale))
  if settings.pos_scale:
    a = settings.pos_scale
    sizes = [layers[f'layer_{i}']['bias'].size for i in range(1, len(layers))]
    drawn = uniform(_POSITIVE_SCALE, (sum(sizes),), 1 - a, 1 + a)
    offsets = [sum(sizes[:i]) for i in range(1, len(sizes))]
    layers = edits.scale_hidden(layers, tuple(jnp.split(drawn, offsets)))
  if settings.quantile_dropout:
    q = uniform(_QUANTILE, (), 0.0, settings.quantile_dropout)
    layers = edits.drop_quantile(layers, q)
  if settings.permute:
    permutation = specs.draw_permutation(
      jax.random.fold_in(key, _PERMUTATION), spec
    )
    layers = specs.permute(spec, layers, permutation)  # type: ignore[assignment]
  return layers


@functools.partial(jax.jit, static_argnames=('spec', 'settings'))
def augment_batch(
  keys: jax.Array,
  weights: specs.Weights,
  *,
  spec: specs.NetworkSpec,
  settings: Augmentation,
) -> edits.Layers:
  """Augments every network of a batch with draws of its own.

  Args:
    keys: [num_networks] typed PRNG keys.
    weights: leaves [num_networks, ...] float.
    spec: of the networks.
    settings: how much.

  Returns:
    Weights of the same shapes. Jit: yes (it is jitted).

  Raises:
    ValueError: as `augment`.
  """
  one = functools.partial(augment, spec=spec, settings=settings)
  return jax.vmap(one)(keys, weights)


def _add_noise(
  key: jax.Array, layers: edits.Layers, settings: Augmentation
) -> edits.Layers:
  """Adds noise to every array of more than one entry."""
  # Differs from the paper's text, as the reference does (spec Q6): by default
  # the shift is constant; 'gaussian' is what the name promises.
  leaves, structure = jax.tree.flatten(layers)
  drawn = jnp.ones(edits.num_entries(layers), leaves[0].dtype)
  if settings.noise_mode == 'gaussian':
    drawn = jax.random.normal(key, drawn.shape, drawn.dtype)
  noisy, start = [], 0
  for x in leaves:
    factor = drawn[start : start + x.size].reshape(x.shape)
    start += x.size
    if x.size > 1:
      x = x + settings.noise * jnp.std(x, ddof=1) * factor
    noisy.append(x)
  return jax.tree.unflatten(structure, noisy)


def _chain(
  spec: specs.NetworkSpec, weights: specs.Weights, settings: Augmentation
) -> edits.Layers:
  """Checks that the spec is a chain of linear layers and fits the weights."""
  paths = [
    f'layer_{i}/{name}'
    for i in range(1, len(spec.blocks) + 1)
    for name in ('kernel', 'bias')
  ]
  if [leaf.path for leaf in spec.leaves] != paths or len(spec.blocks) < 2:
    raise ValueError(
      'spec must be a chain of two or more linear layers (specs.mlp), got '
      f'leaves {[leaf.path for leaf in spec.leaves]}; use no augmentation.'
    )
  if settings.rotation and spec.num_inputs != 2:
    raise ValueError(
      'rotation needs networks with 2 inputs, got '
      f'{spec.num_inputs}; use rotation=0.'
    )
  if specs.check_weights(spec, weights):
    raise ValueError(
      'weights must be of one network here, got a batch of shape '
      f'{specs.check_weights(spec, weights)}; use augment_batch.'
    )
  return edits.copy(weights)
