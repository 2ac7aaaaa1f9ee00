# SPDX-License-Identifier: Apache-2.0
"""Persistent evolution strategies (Vicol, Metz and Sohl-Dickstein, 2021)."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ng_jax.meta import unrolling
from ng_jax.meta.estimators import base
from ng_jax.meta.estimators import perturbations
from ng_jax.meta.estimators import sources
from ng_jax.meta.estimators import windows


class PesState(NamedTuple):
  """State of a particle.

  Attributes:
    episode: with a pair of trajectories.
    accumulated: tree like theta, sum of the perturbations of the windows of the
      episode so far, xi.
  """

  episode: windows.Episode
  accumulated: Any

  @property
  def source(self) -> sources.Source:
    """Of the particle."""
    return self.episode.source


@dataclasses.dataclass(frozen=True)
class Pes(windows.WindowedEstimator):
  """Unbiased for fixed theta, from windows of an episode.

  A window moves theta to both sides by the same noise e. With xi the sum of e
  over the windows of the episode, this one included, and d_t the difference of
  the losses of step t, the estimate is mean_t(d_t) xi / (2 sigma^2). A window
  that follows the end of an episode begins with xi = 0, like a new particle.

  Attributes:
    sigma: standard deviation of the noise.
    inclusive_done: whether the difference of the last step of an episode goes
      with e in place of xi, as in the library learned_optimization: it counts
      the step that raises the done flag to the next episode.
    sign_delta: c replaces every d_t by c sign(mean_t(d_t)); 0 for d_t itself.
  """

  sigma: float = 0.01
  inclusive_done: bool = False
  sign_delta: float = 0.0

  def __post_init__(self) -> None:
    super().__post_init__()
    perturbations.check_sigma(self.sigma)

  def create_particle(
    self, theta: Any, source: sources.Source, data: Any
  ) -> PesState:
    """First state of a particle; see `base.Estimator.init`."""
    return PesState(
      self.create_episode(theta, source, data, paired=True),
      jax.tree.map(jnp.zeros_like, theta),
    )

  def estimate_particle(
    self, theta: Any, state: PesState, key: jax.Array, data: Any
  ) -> tuple[Any, PesState, base.Metrics]:
    """One window of a particle; see `base.Estimator.estimate`."""
    key = sources.perturbation_key(state.source, key)
    noise = perturbations.draw(theta, key, self.sigma)
    trajectory, losses = unrolling.unroll_pair(
      self.problem,
      perturbations.pair(theta, noise),
      self.begin(theta, state.episode, data, paired=True),
      sources.draw(self.problem, state.source, self.window, data),
      data,
    )
    episode, passed = self.end(state.episode, trajectory)
    noise = perturbations.draw_again(theta, key, self.sigma, after=losses)
    accumulated = jax.tree.map(jnp.add, state.accumulated, noise)
    gradient = self._combine(losses, accumulated, noise, passed.finished)
    accumulated = jax.tree.map(
      lambda xi: jnp.where(passed.restart, 0.0, xi), accumulated
    )
    metrics = windows.describe(jnp.mean(losses), trajectory, passed.finished)
    return gradient, PesState(episode, accumulated), metrics

  def _combine(
    self, losses: jax.Array, accumulated: Any, noise: Any, finished: jax.Array
  ) -> Any:
    """Mean difference times xi, or times e for what counts as after the end."""
    deltas = perturbations.differences(losses)
    if self.sign_delta:
      sign = self.sign_delta * jnp.sign(jnp.mean(deltas))
      deltas = jnp.full_like(deltas, sign)
    if not self.inclusive_done:
      total = jnp.sum(deltas) / self.window
      return perturbations.weigh(total, accumulated, self.sigma)
    is_last = jnp.arange(self.window) == self.window - 1
    over = finished & is_last
    before = jnp.sum(jnp.where(over, 0.0, deltas)) / self.window
    after = jnp.sum(jnp.where(over, deltas, 0.0)) / self.window
    return jax.tree.map(
      jnp.add,
      perturbations.weigh(before, accumulated, self.sigma),
      perturbations.weigh(after, noise, self.sigma),
    )
