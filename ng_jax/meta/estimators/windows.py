# SPDX-License-Identifier: Apache-2.0
"""Estimators that see an episode a window at a time.

Episodes begin and end where windows do, so a fresh state is made once a window,
not once a step, and no step is without a loss. A particle with a trajectory
that is not finite any more begins a new episode after the window.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ng_jax.meta import horizons
from ng_jax.meta import unrolling
from ng_jax.meta.estimators import base
from ng_jax.meta.estimators import sources


class Episode(NamedTuple):
  """Where a particle is in its episode.

  Attributes:
    source: of the particle.
    trajectory: one, or a pair with leaves [2, ...].
    position: [] int32, inner steps made.
    horizon: [] int32, inner steps of the episode.
    restart: [] bool, whether the next window begins with a fresh state.
  """

  source: sources.Source
  trajectory: unrolling.Trajectory
  position: jax.Array
  horizon: jax.Array
  restart: jax.Array


class Passed(NamedTuple):
  """How a window ended for the episode.

  Attributes:
    finished: [] bool, the horizon was reached.
    restart: [] bool, it was, or a trajectory was not finite.
  """

  finished: jax.Array
  restart: jax.Array


@dataclasses.dataclass(frozen=True)
class WindowedEstimator(base.Estimator):
  """What truncated estimators share.

  Attributes:
    window: inner steps of one estimate.
    horizon: inner steps of an episode, whole windows.
    stagger: whether the first episodes end at different times.
  """

  window: int = 50
  horizon: horizons.Horizon = horizons.constant(1000)
  stagger: bool = True

  def __post_init__(self) -> None:
    super().__post_init__()
    self.horizon.check(self.window)

  def create_episode(
    self, theta: Any, source: sources.Source, data: Any, *, paired: bool
  ) -> Episode:
    """An episode before its first window.

    Args:
      theta: tree of float arrays.
      source: of the particle.
      data: of the problem.
      paired: whether there are two trajectories. Static.

    Returns:
      The episode; its state is made when the first window begins. Jit: yes.
    """
    shapes = jax.eval_shape(
      lambda: self._fresh(theta, source, data, paired=paired)
    )
    length = self.horizon.draw(sources.horizon_key(source), self.window)
    position = jnp.zeros([], jnp.int32)
    if self.stagger:
      position = horizons.draw_stagger(
        sources.stagger_key(source), self.horizon, self.window
      )
    return Episode(
      source,
      jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes),
      position,
      length,
      jnp.asarray(True),
    )

  def begin(
    self, theta: Any, episode: Episode, data: Any, *, paired: bool
  ) -> unrolling.Trajectory:
    """What the window begins with: what was left, or something fresh.

    Args:
      theta: unperturbed; a fresh state is built with it.
      episode: so far.
      data: of the problem.
      paired: whether there are two trajectories. Static.

    Returns:
      One trajectory, or two that are equal where fresh. Jit: yes.
    """
    fresh = self._fresh(theta, episode.source, data, paired=paired)
    return unrolling.select(episode.restart, fresh, episode.trajectory)

  def end(
    self, episode: Episode, trajectory: unrolling.Trajectory
  ) -> tuple[Episode, Passed]:
    """Counts the window.

    Args:
      episode: before the window.
      trajectory: after it.

    Returns:
      The episode that the next window belongs to, and how this one ended.
      Jit: yes.
    """
    position = episode.position + self.window
    finished = position >= episode.horizon
    restart = finished | ~jnp.all(trajectory.finite)
    source = episode.source._replace(
      step=episode.source.step + self.window,
      episode=episode.source.episode + restart,
    )
    length = self.horizon.draw(sources.horizon_key(source), self.window)
    following = Episode(
      source,
      trajectory,
      jnp.where(restart, 0, position),
      jnp.where(restart, length, episode.horizon),
      restart,
    )
    return following, Passed(finished, restart)

  def _fresh(
    self, theta: Any, source: sources.Source, data: Any, *, paired: bool
  ) -> unrolling.Trajectory:
    fresh = unrolling.start(
      self.problem, theta, sources.state_key(source), data
    )
    return double(fresh) if paired else fresh


def double(tree: Any) -> Any:
  """Two copies of a tree, leaves [2, ...]. Jit: yes."""
  return jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), tree)


def describe(
  loss: jax.Array, trajectory: unrolling.Trajectory, finished: jax.Array
) -> base.Metrics:
  """Metrics of a particle, see `base.Estimator.estimate`.

  Args:
    loss: [] normalised meta-loss.
    trajectory: one, or a pair.
    finished: [] bool, whether an episode reached its horizon.

  Returns:
    Scalars float32. Jit: yes.
  """
  return {
    'loss': loss,
    'frozen': jnp.mean(~trajectory.finite, dtype=jnp.float32),
    'finished': finished.astype(jnp.float32),
  }
