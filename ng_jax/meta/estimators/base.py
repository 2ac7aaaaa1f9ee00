# SPDX-License-Identifier: Apache-2.0
"""The interface of all estimators, and the mean over particles.

An estimator works on any tree theta and any `problems.InnerProblem`. A concrete
one says what a single particle does; particles are mapped over here, on one
device or on several.
"""

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ng_jax.meta import problems
from ng_jax.meta.estimators import sources

Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Estimator(abc.ABC):
  """Estimates the gradient of the meta-loss with respect to theta.

  Attributes:
    problem: that theta steers.
    num_particles: independent inner problems, on all devices together.
  """

  problem: problems.InnerProblem
  num_particles: int = 16

  def __post_init__(self) -> None:
    if self.num_particles < 1:
      raise ValueError(
        f'num_particles must be positive, got {self.num_particles}.'
      )

  def init(self, theta: Any, key: jax.Array, data: Any) -> Any:
    """State before the first estimate.

    Args:
      theta: tree of float arrays.
      key: [] typed key; folded with the number of each particle.
      data: of the problem.

    Returns:
      Tree of arrays [num_particles, ...]. Jit: yes.
    """
    return jax.vmap(lambda source: self.create_particle(theta, source, data))(
      sources.create(key, self.num_particles)
    )

  def estimate(
    self,
    theta: Any,
    state: Any,
    key: jax.Array,
    data: Any,
    *,
    axis_name: str | None = None,
  ) -> tuple[Any, Any, Metrics]:
    """One gradient, the mean over all particles.

    Args:
      theta: tree of float arrays.
      state: of this device's particles, leaves [local particles, ...].
      key: [] typed key of the outer step, equal on all devices.
      data: of the problem.
      axis_name: axis of the devices that share the particles; None for one.

    Returns:
      The gradient, like theta; the next state; and metrics [], means over
      particles: 'loss', the normalised meta-loss; 'frozen', share of the
      trajectories that are no longer finite; 'finished', share of the particles
      whose episode came to its end. Jit: yes, with the estimator static.
    """
    gradients, state, metrics = _map_particles(
      lambda particle: self.estimate_particle(theta, particle, key, data), state
    )
    sums = jax.tree.map(
      lambda leaf: jnp.sum(leaf, axis=0), (gradients, metrics)
    )
    if axis_name is not None:
      sums = jax.lax.psum(sums, axis_name)
    means = jax.tree.map(lambda leaf: leaf / self.num_particles, sums)
    return means[0], state, means[1]

  @abc.abstractmethod
  def create_particle(
    self, theta: Any, source: sources.Source, data: Any
  ) -> Any:
    """Returns the first state of one particle."""

  @abc.abstractmethod
  def estimate_particle(
    self, theta: Any, state: Any, key: jax.Array, data: Any
  ) -> tuple[Any, Any, Metrics]:
    """Returns gradient, next state and metrics of one particle."""


def _map_particles(function: Any, state: Any) -> Any:
  """Maps over particles; a single one is spared the axis."""
  if jax.tree.leaves(state)[0].shape[0] > 1:
    return jax.vmap(function)(state)
  only = function(jax.tree.map(lambda leaf: leaf[0], state))
  return jax.tree.map(lambda leaf: leaf[None], only)
