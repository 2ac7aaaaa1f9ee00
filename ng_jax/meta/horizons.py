# SPDX-License-Identifier: Apache-2.0
"""How many inner steps an episode has.

Episodes begin and end where windows do: lengths are whole windows.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Horizon:
  """Lengths of episodes, log-uniform between two bounds.

  Attributes:
    shortest: inner steps, positive.
    longest: inner steps; equal to shortest for episodes of one length.
  """

  shortest: int
  longest: int

  def __post_init__(self) -> None:
    if not 1 <= self.shortest <= self.longest:
      raise ValueError(
        'a horizon needs 1 <= shortest <= longest, got '
        f'shortest={self.shortest} and longest={self.longest}.'
      )

  def check(self, window: int) -> None:
    """Refuses lengths that are no whole windows.

    Args:
      window: inner steps of a window.

    Raises:
      ValueError: a bound is no multiple of the window.
    """
    if window < 1:
      raise ValueError(f'window must be positive, got {window}.')
    for name in ('shortest', 'longest'):
      if getattr(self, name) % window:
        raise ValueError(
          f'{name} must be a multiple of the window, because episodes end '
          f'where windows do; got {name}={getattr(self, name)} and {window=}.'
        )

  def draw(self, key: jax.Array, window: int) -> jax.Array:
    """Draws a length.

    Args:
      key: [] typed key.
      window: inner steps of a window. Static.

    Returns:
      [] int32, exp(U(ln shortest, ln longest)) rounded down to whole windows.
      Jit: yes.
    """
    if self.shortest == self.longest:
      return jnp.asarray(self.longest, jnp.int32)
    low, high = np.log(self.shortest), np.log(self.longest)
    length = jnp.exp(jax.random.uniform(key, minval=low, maxval=high))
    whole = window * (length / window).astype(jnp.int32)
    return jnp.clip(whole, self.shortest, self.longest)


def constant(length: int) -> Horizon:
  """Episodes of one length.

  Args:
    length: inner steps, positive.

  Returns:
    The horizon. Jit: static.

  Raises:
    ValueError: length is not positive.
  """
  return Horizon(length, length)


def draw_stagger(key: jax.Array, horizon: Horizon, window: int) -> jax.Array:
  """Draws how many steps too early the first episode of a particle ends.

  Particles that all begin together would all be in the same phase of training,
  and the meta-loss would oscillate.

  Args:
    key: [] typed key.
    horizon: of the episodes.
    window: inner steps of a window. Static.

  Returns:
    [] int32, a multiple of the window below the longest episode. Jit: yes.
  """
  num_windows = horizon.longest // window
  return window * jax.random.randint(key, (), 0, num_windows)
