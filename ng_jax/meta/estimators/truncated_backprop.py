# SPDX-License-Identifier: Apache-2.0
"""Back-propagation through a window of inner steps."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ng_jax.meta import unrolling
from ng_jax.meta.estimators import base
from ng_jax.meta.estimators import greedy
from ng_jax.meta.estimators import sources
from ng_jax.meta.estimators import windows


@dataclasses.dataclass(frozen=True)
class TruncatedBackprop(windows.WindowedEstimator):
  """Gradient of the mean loss of a window; the state before it is data.

  Biased: blind to what theta did before the window. The losses are not
  normalised, which would have no gradient where they are clipped.

  Attributes:
    first_order: whether inner gradients count as data, so that nothing is
      differentiated twice.
    rematerialise: whether inner steps are computed again when going back;
      otherwise all that is inside of them is kept.
  """

  window: int = 20
  first_order: bool = False
  rematerialise: bool = True

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.window == 1:
      greedy.check_loss(self.problem, 'truncated_backprop with window=1')

  def create_particle(
    self, theta: Any, source: sources.Source, data: Any
  ) -> windows.Episode:
    """First state of a particle; see `base.Estimator.init`."""
    return self.create_episode(theta, source, data, paired=False)

  def estimate_particle(
    self, theta: Any, state: windows.Episode, key: jax.Array, data: Any
  ) -> tuple[Any, windows.Episode, base.Metrics]:
    """One window of a particle; see `base.Estimator.estimate`."""
    del key  # Nothing is drawn besides the stream of the particle.
    beginning = self.begin(theta, state, data, paired=False)
    inputs = sources.draw(self.problem, state.source, self.window, data)

    def mean_loss(theta: Any) -> tuple[jax.Array, Any]:
      trajectory, losses = unrolling.unroll(
        self.problem,
        theta,
        beginning,
        inputs,
        data,
        first_order=self.first_order,
        rematerialise=self.rematerialise,
      )
      finite = jnp.where(jnp.isfinite(losses), losses, 0.0)
      return jnp.sum(finite) / self.window, (trajectory, losses)

    gradient, (trajectory, losses) = jax.grad(mean_loss, has_aux=True)(theta)
    gradient = unrolling.select(
      unrolling.all_finite(gradient),
      gradient,
      jax.tree.map(jnp.zeros_like, gradient),
    )
    episode, passed = self.end(state, trajectory)
    loss = jnp.mean(self.problem.normalise(losses))
    return (
      gradient,
      episode,
      windows.describe(loss, trajectory, passed.finished),
    )
