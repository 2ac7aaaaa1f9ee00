# SPDX-License-Identifier: Apache-2.0
"""The equivariant layer of NFN (Zhou et al., 2023) on the optimizee's weights.

With r, k the means of weights over targets and over sources, g those of all
layers' weights and biases (l2o spec 3.4):

  W' = A W + B g + R [r, k before, b before] + C [k, b, r after],
  b' = D [k, b, r after] + E g.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import numerics
from ng_jax.layers import linear
from ng_jax.optimizers import kernel_grid
from ng_jax.optimizers import nfn_layers


class Values(NamedTuple):
  """Channels of weights, of biases or of their means.

  Attributes:
    array: [1, ..., num_numbers] float.
    window: which of the map's channels they are, None for all. Static.
  """

  array: jax.Array
  window: kernel_grid.Window | None = None

  def mean(self, *axes: int) -> 'Values':
    """Over some axes. Jit: yes."""
    return self._replace(array=jnp.mean(self.array, axis=axes))


class _Term(NamedTuple):
  """Values, the part of a map that reads them, and a factor of both."""

  part: int
  values: Values
  factor: float = 1.0


Space = tuple[list[Values], list[Values | None]]


class _Maps(nn.Module):
  """Parameters of the maps of one layer: {name: (kernels, bias)}.

  Kernels are [num_parts, channels, features].
  """

  sizes: nfn_layers.MapSizes
  channels: int
  features: int

  @nn.compact
  def __call__(self) -> dict[str, tuple[jax.Array, jax.Array]]:
    sizes = self.sizes
    parts = {
      'weight_own': 1,
      'weight_whole': sizes.whole,
      'weight_sources': sizes.sources,
      'weight_targets': sizes.targets,
      'bias_targets': sizes.targets,
      'bias_whole': sizes.whole,
    }
    found = {}
    for name, num_parts in parts.items():
      fan_in = sizes.weight_fan_in
      if name.startswith('bias'):
        fan_in = sizes.bias_fan_in
      draw = linear.torch_uniform(fan_in * self.channels)
      shape = (num_parts, self.channels, self.features)
      found[name] = (
        self.param(f'{name}_kernel', draw, shape),
        self.param(f'{name}_bias', draw, (self.features,)),
      )
    return found


def _apply(
  parameters: tuple[jax.Array, jax.Array], terms: Sequence[_Term]
) -> jax.Array:
  """The map's product with the terms side by side, and its bias."""
  kernels, bias = parameters
  rows, values = [], []
  for term in terms:
    kernel, window = kernels[term.part], term.values.window
    rows.append(kernel if window is None else window.take(kernel))
    array = term.values.array
    values.append(array if term.factor == 1.0 else array * term.factor)
  return numerics.linear(
    jnp.concatenate(values, axis=-1), jnp.concatenate(rows), bias
  )


def _apply_whole(
  parameters: tuple[jax.Array, jax.Array], terms: Sequence[_Term]
) -> jax.Array:
  """As `_apply` for single vectors: here zeros cost less than rows do.

  A step of meta-training would write the gradient of each row, and zeros around
  it, for all of the many terms.
  """
  kernels, bias = parameters
  num_parts, channels, features = kernels.shape
  parts: list[Any] = [jnp.zeros((1, channels), kernels.dtype)] * num_parts
  for part, (array, window), factor in terms:
    filled = array if window is None else window.fill(array)
    parts[part] = parts[part] + filled * factor
  return numerics.linear(
    jnp.concatenate(parts, axis=-1), kernels.reshape(-1, features), bias
  )


class NFNLayer(nn.Module):
  """New features of all weights and biases.

  Attributes:
    sharing: of the maps; its layers are those of the optimizee.
    channels: of the weights and biases, those without a window's places too.
    features: new channels.
  """

  sharing: nfn_layers.Sharing
  channels: int
  features: int

  @nn.compact
  def __call__(self, space: Space) -> Space:
    """Applies the layer.

    Args:
      space: weights, per layer [1, num_sources, num_targets, channels], and
        biases, [1, num_targets, channels], None where there are none.

    Returns:
      Likewise, with `features` channels and no windows. Jit: yes.
    """
    # All are made, also those that this optimizee does not use.
    maps = {
      name: _Maps(sizes, self.channels, self.features, name=name)()
      for name, sizes in self.sharing.sizes.items()
    }
    weights, biases = space
    of_sources, of_targets = self._means(space)
    whole = self._whole(weights, biases)
    seen = {
      name: {
        kind: _apply_whole(maps[name][f'{kind}_whole'], whole)
        for kind in ('weight', 'bias')
      }
      for name in {self.sharing.name(i) for i in range(len(weights))}
    }
    new_weights: list[Values] = []
    new_biases: list[Values | None] = []
    for i, own in enumerate(weights):
      name = self.sharing.name(i)
      found: dict[str, Any] = maps[name]
      rows = _apply(found['weight_sources'], of_sources[i])
      rows = rows + seen[name]['weight'][:, None]
      columns = _apply(found['weight_targets'], of_targets[i])
      new = _apply(found['weight_own'], [_Term(0, own)])
      new_weights.append(Values(new + numerics.add_outer(rows, columns)))
      new_biases.append(None)
      if biases[i] is not None:
        bias = _apply(found['bias_targets'], of_targets[i])
        new_biases[i] = Values(bias + seen[name]['bias'][:, None])
    return new_weights, new_biases

  def _whole(
    self, weights: list[Values], biases: list[Values | None]
  ) -> list[_Term]:
    numbers = range(len(weights))
    parts = [self.sharing.whole_parts(i) for i in numbers]
    # What is missing counts as zero.
    factors = nfn_layers.shares([part for part, _ in parts])
    terms = [
      _Term(parts[i][0], weights[i].mean(1, 2), factors[i]) for i in numbers
    ]
    for i, bias in enumerate(biases):
      if bias is not None:
        terms.append(_Term(parts[i][1], bias.mean(1), factors[i]))
    return terms

  def _means(self, space: Space) -> tuple[list[list[_Term]], list[list[_Term]]]:
    """Per layer, what there is a value per source of, and per target."""
    weights, biases = space
    per_source = [w.mean(2) for w in weights]
    per_target = [w.mean(1) for w in weights]
    of_sources, of_targets = [], []
    for i, layer in enumerate(self.sharing.layers):
      sources = [_Term(0, per_source[i])]
      places = [self.sharing.part_before(i, j) for j in layer.before]
      factors = nfn_layers.shares(places)
      for j, part, factor in zip(layer.before, places, factors, strict=True):
        if part is not None:
          sources.append(_Term(part, per_target[j], factor))
          bias = biases[j]
          if bias is not None:
            sources.append(_Term(part + 1, bias, factor))
      targets = [_Term(0, per_target[i])]
      own = biases[i]
      if own is not None:
        targets.append(_Term(1, own))
      places = [self.sharing.part_after(i, j) for j in layer.after]
      factors = nfn_layers.shares(places)
      for j, part, factor in zip(layer.after, places, factors, strict=True):
        if part is not None:
          targets.append(_Term(part, per_source[j], factor))
      of_sources.append(sources)
      of_targets.append(targets)
    return of_sources, of_targets
