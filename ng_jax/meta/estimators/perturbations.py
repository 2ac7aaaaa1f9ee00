# SPDX-License-Identifier: Apache-2.0
"""Antithetic pairs: theta moved to either side by the same noise."""

from typing import Any

import jax
import jax.numpy as jnp


def draw(theta: Any, key: jax.Array, sigma: float) -> Any:
  """Draws Gaussian noise.

  Args:
    theta: tree of float arrays.
    key: [] typed key; folded with the number of each leaf.
    sigma: standard deviation.

  Returns:
    Tree like theta. Jit: yes.
  """
  leaves, structure = jax.tree.flatten(theta)
  noise = [
    sigma
    * jax.random.normal(jax.random.fold_in(key, i), leaf.shape, leaf.dtype)
    for i, leaf in enumerate(leaves)
  ]
  # Rounded once, here: without the barrier a compiler may fuse the product into
  # the sums that the noise goes to, where it would be another number each time.
  drawn: Any = jax.lax.optimization_barrier(
    jax.tree.unflatten(structure, noise)
  )
  return drawn


def draw_again(theta: Any, key: jax.Array, sigma: float, after: Any) -> Any:
  """The same noise, made anew, so that it need not be kept meanwhile.

  Args:
    theta: tree of float arrays.
    key: as given to `draw`.
    sigma: standard deviation.
    after: array that must be there before the noise is drawn again.

  Returns:
    What `draw` returned, to the bit. Jit: yes.
  """
  # Without the barrier the compiler would see that both draws are the same.
  words, _ = jax.lax.optimization_barrier((jax.random.key_data(key), after))
  return draw(theta, jax.random.wrap_key_data(words), sigma)


def pair(theta: Any, noise: Any) -> Any:
  """Returns theta + noise and theta - noise, leaves [2, ...]. Jit: yes."""
  return jax.tree.map(lambda t, e: jnp.stack([t + e, t - e]), theta, noise)


def differences(losses: jax.Array) -> jax.Array:
  """What the plus side loses more than the minus side.

  Args:
    losses: [..., 2] float.

  Returns:
    [...] float, 0 where a loss is not finite. Jit: yes.
  """
  finite = jnp.all(jnp.isfinite(losses), axis=-1)
  losses = jnp.where(finite[..., None], losses, 0.0)
  return losses[..., 0] - losses[..., 1]


def weigh(delta: jax.Array, noise: Any, sigma: float) -> Any:
  """Estimate of a gradient from a difference of losses.

  Args:
    delta: [] float, loss of the plus side less that of the minus side.
    noise: tree, what theta was moved by.
    sigma: standard deviation of the noise.

  Returns:
    delta noise / (2 sigma^2). Jit: yes.
  """
  weight = delta / (2 * sigma**2)
  return jax.tree.map(lambda e: weight * e, noise)


def check_sigma(sigma: float) -> None:
  """Refuses a standard deviation that is not positive.

  Args:
    sigma: of the perturbation.

  Raises:
    ValueError: it is not positive.
  """
  if not sigma > 0:
    raise ValueError(
      f'sigma must be positive, got {sigma}; 0.01 is usual, and below 0.001 '
      'the losses of a pair are too close for float32.'
    )
