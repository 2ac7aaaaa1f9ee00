# SPDX-License-Identifier: Apache-2.0
"""The protocol of the paper's authors: every update for itself.

Theta is asked to make each single inner step a good one. The gradient is the
sum over the steps of an episode of J^T g, with J the Jacobian of the update
with respect to theta and g the gradient of the loss after the update. Nothing
is back-propagated from one step to another.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ng_jax.meta import problems
from ng_jax.meta import unrolling
from ng_jax.meta.estimators import base
from ng_jax.meta.estimators import sources
from ng_jax.meta.estimators import windows


@dataclasses.dataclass(frozen=True)
class Greedy(base.Estimator):
  """Sum of one-step gradients over a whole episode.

  Each estimate begins with fresh states; the streams of batches go on. Memory
  does not depend on the number of steps. One step's gradient that is not finite
  is left out.

  Attributes:
    num_particles: whose gradients are averaged; the authors have 1.
    num_steps: inner steps of an episode.
  """

  num_particles: int = 1
  num_steps: int = 100

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.num_steps < 1:
      raise ValueError(f'num_steps must be positive, got {self.num_steps}.')
    check_loss(self.problem, 'greedy')

  def create_particle(
    self, theta: Any, source: sources.Source, data: Any
  ) -> sources.Source:
    """First state of a particle; see `base.Estimator.init`."""
    del theta, data
    return source

  def estimate_particle(
    self, theta: Any, state: sources.Source, key: jax.Array, data: Any
  ) -> tuple[Any, sources.Source, base.Metrics]:
    """One episode of a particle; see `base.Estimator.estimate`."""
    del key  # Nothing is drawn besides the stream of the particle.
    beginning = unrolling.start(
      self.problem, theta, sources.state_key(state), data
    )
    inputs = sources.draw(self.problem, state, self.num_steps, data)
    total, trajectory, losses = add_up_steps(
      self.problem, theta, beginning, inputs, data
    )
    following = state._replace(
      step=state.step + self.num_steps, episode=state.episode + 1
    )
    loss = jnp.mean(self.problem.normalise(losses))
    metrics = windows.describe(loss, trajectory, jnp.asarray(True))
    return total, following, metrics


@dataclasses.dataclass(frozen=True)
class GreedyWindows(windows.WindowedEstimator):
  """Sum of one-step gradients over a window of a longer episode.

  `Greedy` whose outer steps come before an episode ends: theta moves more often
  for as many inner steps, and still sees late states.

  Attributes: those of `windows.WindowedEstimator`.
  """

  num_particles: int = 1
  window: int = 20

  def __post_init__(self) -> None:
    super().__post_init__()
    check_loss(self.problem, 'greedy_windows')

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
    total, trajectory, losses = add_up_steps(
      self.problem,
      theta,
      self.begin(theta, state, data, paired=False),
      sources.draw(self.problem, state.source, self.window, data),
      data,
    )
    episode, passed = self.end(state, trajectory)
    loss = jnp.mean(self.problem.normalise(losses))
    metrics = windows.describe(loss, trajectory, passed.finished)
    return total, episode, metrics


def add_up_steps(
  problem: problems.InnerProblem,
  theta: Any,
  beginning: unrolling.Trajectory,
  inputs: Any,
  data: Any,
) -> tuple[Any, unrolling.Trajectory, jax.Array]:
  """Sums the gradients of single steps while making them.

  Args:
    problem: to be solved. Static.
    theta: tree.
    beginning: of the trajectory.
    inputs: tree of [num_steps, ...].
    data: of the problem.

  Returns:
    The sum, like theta; the trajectory after the steps; losses [num_steps].
    Jit: yes.
  """

  def step(
    carry: tuple[unrolling.Trajectory, Any], inputs: Any
  ) -> tuple[tuple[unrolling.Trajectory, Any], jax.Array]:
    trajectory, total = carry
    loss, pull, moved = jax.vjp(
      lambda theta: _swap(
        unrolling.advance(
          problem, theta, trajectory, inputs, data, first_order=True
        )
      ),
      theta,
      has_aux=True,
    )
    (gradient,) = pull(jnp.ones_like(loss))
    good = moved.finite & unrolling.all_finite(gradient)
    total = jax.tree.map(
      lambda t, g: t + jnp.where(good, g, 0.0), total, gradient
    )
    return (moved, total), loss

  zeros = jax.tree.map(jnp.zeros_like, theta)
  (trajectory, total), losses = jax.lax.scan(step, (beginning, zeros), inputs)
  return total, trajectory, losses


def check_loss(problem: problems.InnerProblem, estimator: str) -> None:
  """Refuses problems whose loss of a step does not depend on its update.

  Args:
    problem: to be solved.
    estimator: for the message.

  Raises:
    ValueError: all gradients would be 0.
  """
  if not problem.loss_follows_update:
    raise ValueError(
      f'{estimator} needs a loss after the update, because the loss before it '
      "does not depend on theta; use outer_loss='post_same' (the authors') or "
      "'post_new'."
    )


def _swap(pair: tuple[Any, Any]) -> tuple[Any, Any]:
  return pair[1], pair[0]
