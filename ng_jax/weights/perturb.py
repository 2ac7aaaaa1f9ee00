# SPDX-License-Identifier: Apache-2.0
"""Noise and dropout of the weights of any network (spec 6.4)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ng_jax import specs


@dataclasses.dataclass(frozen=True)
class Perturb:
  """How weights are perturbed in training.

  Attributes:
    noise: Gaussian, in standard deviations of each tensor; 0 for none.
    dropout: probability that an entry becomes 0; survivors grow by
      1 / (1 - dropout).
  """

  noise: float = 0.0
  dropout: float = 0.0

  def __post_init__(self) -> None:
    if self.noise < 0 or not 0 <= self.dropout < 1:
      raise ValueError(
        'noise must not be negative, and dropout must be at least 0 and below '
        f'1, got noise={self.noise} and dropout={self.dropout}; use 0 for none.'
      )

  @property
  def active(self) -> bool:
    """Whether anything is changed. Jit: static."""
    return bool(self.noise or self.dropout)

  def apply(self, key: jax.Array, weights: specs.Weights) -> Any:
    """Perturbs one network.

    Differs from the reference, which also fills the padding of the kernels of
    its graphs with noise; here nothing but weights is touched.

    Args:
      key: typed PRNG key of this network.
      weights: tree of arrays without a batch axis.

    Returns:
      A like tree. Jit: yes.
    """
    leaves, structure = jax.tree.flatten(weights)
    found = []
    for i, x in enumerate(leaves):
      noise_key, dropout_key = jax.random.split(jax.random.fold_in(key, i))
      if self.noise and x.size > 1:
        draw = jax.random.normal(noise_key, x.shape, x.dtype)
        x = x + self.noise * jnp.std(x, ddof=1) * draw
      if self.dropout:
        kept = jax.random.bernoulli(dropout_key, 1 - self.dropout, x.shape)
        x = jnp.where(kept, x / (1 - self.dropout), 0)
      found.append(x)
    return jax.tree.unflatten(structure, found)
