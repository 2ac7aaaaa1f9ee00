# SPDX-License-Identifier: Apache-2.0
"""Evolution strategies on windows, without memory of earlier perturbations."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ng_jax.meta import unrolling
from ng_jax.meta.estimators import base
from ng_jax.meta.estimators import perturbations
from ng_jax.meta.estimators import sources
from ng_jax.meta.estimators import windows


@dataclasses.dataclass(frozen=True)
class TruncatedEs(windows.WindowedEstimator):
  """Biased: blind to what theta did before the window.

  Both sides of a pair begin a window with the same state; the plus side goes
  on. The estimate is e (L+ - L-) / (2 sigma^2).

  Attributes:
    sigma: standard deviation of the noise e.
  """

  sigma: float = 0.01

  def __post_init__(self) -> None:
    super().__post_init__()
    perturbations.check_sigma(self.sigma)

  def create_particle(
    self, theta: Any, source: sources.Source, data: Any
  ) -> windows.Episode:
    """First state of a particle; see `base.Estimator.init`."""
    return self.create_episode(theta, source, data, paired=False)

  def estimate_particle(
    self, theta: Any, state: windows.Episode, key: jax.Array, data: Any
  ) -> tuple[Any, windows.Episode, base.Metrics]:
    """One window of a particle; see `base.Estimator.estimate`."""
    key = sources.perturbation_key(state.source, key)
    noise = perturbations.draw(theta, key, self.sigma)
    pair, losses = unrolling.unroll_pair(
      self.problem,
      perturbations.pair(theta, noise),
      windows.double(self.begin(theta, state, data, paired=False)),
      sources.draw(self.problem, state.source, self.window, data),
      data,
    )
    plus = jax.tree.map(lambda leaf: leaf[0], pair)
    episode, passed = self.end(state, plus)
    delta = jnp.sum(perturbations.differences(losses)) / self.window
    noise = perturbations.draw_again(theta, key, self.sigma, after=losses)
    gradient = perturbations.weigh(delta, noise, self.sigma)
    metrics = windows.describe(jnp.mean(losses), pair, passed.finished)
    return gradient, episode, metrics
