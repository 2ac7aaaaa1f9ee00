# SPDX-License-Identifier: Apache-2.0
"""Evolution strategies on whole episodes."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ng_jax.meta import horizons
from ng_jax.meta import unrolling
from ng_jax.meta.estimators import base
from ng_jax.meta.estimators import perturbations
from ng_jax.meta.estimators import sources
from ng_jax.meta.estimators import windows

_REDUCTIONS = ('last', 'last_recompute', 'mean', 'min')


class Tally(NamedTuple):
  """What is known of the losses of a pair so far.

  Attributes:
    difference: [] sum over steps of the loss of the plus side less that of the
      minus side.
    total: [2] sums over steps.
    smallest: [2] over steps.
    last: [2] of the last step.
  """

  difference: jax.Array
  total: jax.Array
  smallest: jax.Array
  last: jax.Array


@dataclasses.dataclass(frozen=True)
class FullEs(base.Estimator):
  """e (L+ - L-) / (2 sigma^2), both sides from scratch to the same horizon.

  Attributes:
    window: inner steps after which it is looked whether the horizon is reached.
    horizon: inner steps of an episode, whole windows.
    sigma: standard deviation of the noise e.
    reduction: 'mean' of the losses of the steps, 'min', 'last', or
      'last_recompute', the mean loss of the last state over fresh batches.
    num_final_batches: of 'last_recompute'.
    clip: largest |L+ - L-|; 0 for no limit.
    sign_delta: c replaces L+ - L- by c times its sign; 0 for L+ - L- itself.
  """

  window: int = 50
  horizon: horizons.Horizon = horizons.constant(1000)
  sigma: float = 0.01
  reduction: str = 'mean'
  num_final_batches: int = 50
  clip: float = 0.0
  sign_delta: float = 0.0

  def __post_init__(self) -> None:
    super().__post_init__()
    self.horizon.check(self.window)
    perturbations.check_sigma(self.sigma)
    if self.reduction not in _REDUCTIONS:
      raise ValueError(
        f'unknown reduction {self.reduction!r}; expected one of '
        f'{list(_REDUCTIONS)}.'
      )

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
    key = sources.perturbation_key(state, key)
    thetas = perturbations.pair(
      theta, perturbations.draw(theta, key, self.sigma)
    )
    length = self.horizon.draw(sources.horizon_key(state), self.window)
    fresh = unrolling.start(self.problem, theta, sources.state_key(state), data)
    pair, tally = self._run(thetas, windows.double(fresh), state, length, data)
    loss, delta = self._reduce(pair, tally, state, length, data)
    noise = perturbations.draw_again(theta, key, self.sigma, after=delta)
    gradient = perturbations.weigh(delta, noise, self.sigma)
    following = state._replace(
      step=state.step + length, episode=state.episode + 1
    )
    metrics = windows.describe(loss, pair, jnp.asarray(True))
    return gradient, following, metrics

  def _run(
    self,
    thetas: Any,
    pair: unrolling.Trajectory,
    source: sources.Source,
    length: jax.Array,
    data: Any,
  ) -> tuple[unrolling.Trajectory, Tally]:
    """Window after window until the horizon; mapped, until the longest."""

    def run(carry: Any) -> Any:
      made, pair, tally = carry
      place = source._replace(step=source.step + made)
      inputs = sources.draw(self.problem, place, self.window, data)
      pair, losses = unrolling.unroll_pair(
        self.problem, thetas, pair, inputs, data
      )
      tally = Tally(
        tally.difference + jnp.sum(perturbations.differences(losses)),
        tally.total + jnp.sum(losses, axis=0),
        jnp.minimum(tally.smallest, jnp.min(losses, axis=0)),
        losses[-1],
      )
      return made + self.window, pair, tally

    zeros = jnp.zeros(2)
    nothing = Tally(jnp.zeros([]), zeros, zeros + jnp.inf, zeros)
    _, pair, tally = jax.lax.while_loop(
      lambda carry: carry[0] < length,
      run,
      (jnp.zeros([], jnp.int32), pair, nothing),
    )
    return pair, tally

  def _reduce(
    self,
    pair: unrolling.Trajectory,
    tally: Tally,
    source: sources.Source,
    length: jax.Array,
    data: Any,
  ) -> tuple[jax.Array, jax.Array]:
    """Mean loss of the pair, and L+ - L- as clipped or replaced by its sign."""
    if self.reduction == 'mean':
      losses = tally.total / length
      delta = tally.difference / length
    else:
      losses = {
        'last': lambda: tally.last,
        'min': lambda: tally.smallest,
        'last_recompute': lambda: self._measure(pair, source, data),
      }[self.reduction]()
      delta = perturbations.differences(losses)
    if self.clip:
      delta = jnp.clip(delta, -self.clip, self.clip)
    if self.sign_delta:
      delta = self.sign_delta * jnp.sign(delta)
    return jnp.mean(losses), delta

  def _measure(
    self, pair: unrolling.Trajectory, source: sources.Source, data: Any
  ) -> jax.Array:
    """Normalised mean losses [2] of the last states over fresh batches."""
    inputs = self.problem.draw(
      sources.final_key(source),
      jnp.zeros([], jnp.int32),
      self.num_final_batches,
      data,
    )

    def measure(inputs: Any) -> jax.Array:
      losses = jax.vmap(self.problem.loss, in_axes=(0, None, None))(
        pair.state, inputs, data
      )
      return self.problem.normalise(jnp.where(pair.finite, losses, jnp.inf))

    return jnp.mean(jax.lax.map(measure, inputs), axis=0)
