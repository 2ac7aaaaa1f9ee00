# SPDX-License-Identifier: Apache-2.0
"""Layers of universal neural functionals (Zhou et al., 2024)."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax.optimizers import universal_terms


class UniversalLayer(nn.Module):
  """All terms between all arrays, with a matrix each.

  Attributes:
    names: per array, those of its axes.
    features: new channels.
  """

  names: tuple[tuple[str, ...], ...]
  features: int

  @nn.compact
  def __call__(
    self, arrays: list[jax.Array], shared: jax.Array | None = None
  ) -> list[jax.Array]:
    """Applies the layer.

    Args:
      arrays: per array [*axes, channels] float.
      shared: [num_shared] further channels that are alike everywhere.

    Returns:
      Per array [*axes, features]. Jit: yes.
    """
    met = self._reduce(arrays)
    num_shared = 0 if shared is None else len(shared)
    fan_in = arrays[0].shape[-1] + num_shared
    new = []
    for i, names in enumerate(self.names):
      ends = [e for e in universal_terms.output_ends(names) if e.names in met]
      counts = [met[e.names].shape[-1] // arrays[0].shape[-1] for e in ends]
      draw = nn.initializers.normal((fan_in * sum(counts)) ** -0.5)
      shape = (sum(counts), fan_in, self.features)
      kernel = self.param(f'kernel_{i}', draw, shape)
      total = self.param(
        f'bias_{i}', nn.initializers.zeros_init(), (self.features,)
      )
      start = 0
      spatial = arrays[i].shape[:-1]
      for end, count in zip(ends, counts, strict=True):
        part = kernel[start : start + count]
        start += count
        own, rest = (
          part[:, : fan_in - num_shared],
          part[:, fan_in - num_shared :],
        )
        product = met[end.names] @ own.reshape(-1, self.features)
        if shared is not None:
          product = product + shared @ rest.sum(axis=0)
        total = total + universal_terms.spread(product, end, spatial)
      new.append(jnp.broadcast_to(total, (*spatial, self.features)))
    return new

  def _reduce(
    self, arrays: list[jax.Array]
  ) -> dict[tuple[str, ...], jax.Array]:
    """{names: what all arrays come to there, channels side by side}."""
    met: dict[tuple[str, ...], list[jax.Array]] = {}
    for array, names in zip(arrays, self.names, strict=True):
      for end in universal_terms.input_ends(names):
        reduced = universal_terms.reduce(array, end)
        met.setdefault(end.names, []).append(reduced)
    return {k: jnp.concatenate(v, axis=-1) for k, v in met.items()}


class UniversalNetwork(nn.Module):
  """Universal layers with ReLU between.

  Attributes:
    names: see `UniversalLayer`.
    sizes: widths of the layers, the output's last.
  """

  names: tuple[tuple[str, ...], ...]
  sizes: tuple[int, ...]

  @nn.compact
  def __call__(
    self, arrays: list[jax.Array], shared: jax.Array
  ) -> list[jax.Array]:
    """Applies the layers; see `UniversalLayer`. Jit: yes."""
    constant: jax.Array | None = shared
    for i, size in enumerate(self.sizes):
      arrays = [nn.relu(array) for array in arrays] if i > 0 else arrays
      layer = UniversalLayer(self.names, size, name=f'layer_{i}')
      arrays = layer(arrays, constant)
      constant = None
    return arrays
