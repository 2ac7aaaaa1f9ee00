# SPDX-License-Identifier: Apache-2.0
"""Universal neural functional as an optimizer (Zhou et al., 2024).

That of learned_optimization (l2o spec 2.4, 3.4): its layers are all linear maps
between the optimizee's arrays that commute with permutations of neurons.
"""

from collections.abc import Callable
import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from ng_jax.optimizers import base
from ng_jax.optimizers import google_features
from ng_jax.optimizers import google_feed_forward
from ng_jax.optimizers import google_layers
from ng_jax.optimizers import joined
from ng_jax.optimizers import spec_optimizer
from ng_jax.optimizers import universal_arrays
from ng_jax.optimizers import universal_layers

# Of the momentum that the residual head changes.
_MOMENTUM_DECAY = 0.9


@dataclasses.dataclass(frozen=True)
class GoogleNeuralFunctional(base.LearnedOptimizer):
  """A universal neural functional on 19 features of each parameter.

  They are those of `GoogleFeedForward`, clipped to [-1, 1] before they are
  brought to one scale. Theta fits only optimizees with as many arrays,
  connected alike. Arrays that the spec does not name are refused.

  Attributes: that of `LearnedOptimizer`, needed, and
    decays: of the averages.
    features: width of the hidden layers.
    num_layers: hidden layers.
    head: 'direction' for two outputs, see `google_layers.make_step`, or
      'residual' for one: -residual_scale (output_scale o + m), m being the
      average with decay 0.9.
    step_scale: of 'direction'.
    exponent_scale: of 'direction'.
    max_exponent: of 'direction'.
    residual_scale: of 'residual'.
    output_scale: of 'residual'.

  Raises:
    ValueError: an unknown head; 'residual' without the decay 0.9.
  """

  needs_spec: ClassVar[bool] = True
  decays: tuple[float, ...] = google_feed_forward.DECAYS
  features: int = 32
  num_layers: int = 4
  head: str = 'direction'
  step_scale: float = 0.001
  exponent_scale: float = 0.001
  max_exponent: float | None = None
  residual_scale: float = 0.1
  output_scale: float = 1e-4

  def __post_init__(self) -> None:
    if self.head not in self._heads():
      raise ValueError(
        f'unknown head {self.head!r}; expected one of {sorted(self._heads())}.'
      )
    if self.head == 'residual' and _MOMENTUM_DECAY not in self.decays:
      raise ValueError(
        f"head='residual' changes the average with decay {_MOMENTUM_DECAY}, so "
        f'decays must have it, got {self.decays}.'
      )

  def _heads(self) -> dict[str, Callable[..., jax.Array]]:
    return {'direction': self._direction, 'residual': self._residual}

  def _direction(self, outputs: jax.Array, averages: jax.Array) -> jax.Array:
    del averages
    return google_layers.make_step(
      outputs[0],
      outputs[1],
      self.step_scale,
      self.exponent_scale,
      self.max_exponent,
    )

  def _residual(self, outputs: jax.Array, averages: jax.Array) -> jax.Array:
    momentum = averages[self.decays.index(_MOMENTUM_DECAY)]
    return -self.residual_scale * (self.output_scale * outputs[0] + momentum)

  def _network(
    self, arrays: universal_arrays.NamedArrays
  ) -> universal_layers.UniversalNetwork:
    sizes = (self.features,) * self.num_layers
    num_outputs = 2 if self.head == 'direction' else 1
    return universal_layers.UniversalNetwork(
      tuple(arrays.names), (*sizes, num_outputs)
    )

  def check_params(self, params: dict[str, jax.Array]) -> None:
    spec = self.given_spec()
    spec_optimizer.check_shapes(spec, params)
    prefix = spec_optimizer.path_prefix(spec, tuple(params))
    named = {prefix + x.path for x in spec.leaves if x.kind != 'buffer'}
    others = sorted(set(params) - named)
    if others:
      raise ValueError(
        'google_nfn updates only weights and biases of spec, but params also '
        f'have {others[:6]}; update those with another optimizer by '
        'optax.multi_transform.'
      )

  def init(self, key: jax.Array) -> base.Theta:
    arrays = universal_arrays.NamedArrays(self.given_spec())
    num_own = 2 + len(self.decays)
    inputs = [jnp.zeros((*(1 for _ in s), num_own)) for s in arrays.shapes]
    shared = jnp.zeros(len(google_features.TIME_SCALES))
    theta = self._network(arrays).init(key, inputs, shared)['params']
    return optax.tree.cast(theta, jnp.float32)

  def init_state(
    self, theta: base.Theta, params: dict[str, jax.Array]
  ) -> google_feed_forward.AveragesState:
    del theta
    return google_feed_forward.start_averages(params, len(self.decays))

  def update(
    self,
    theta: base.Theta,
    gradients: dict[str, jax.Array],
    state: google_feed_forward.AveragesState,
    params: dict[str, jax.Array],
    value: jax.Array | None,
  ) -> tuple[dict[str, jax.Array], google_feed_forward.AveragesState]:
    del value
    layout = joined.Joined(params)
    gradient, row = layout.join(gradients), layout.join(params)
    averages = google_features.average(state.averages, gradient, self.decays)
    raw = jnp.concatenate([row[None], gradient[None], averages])
    raw = layout.standardize(jnp.clip(raw, -1.0, 1.0))
    spec = self.given_spec()
    prefix = spec_optimizer.path_prefix(spec, tuple(params))
    arrays = universal_arrays.NamedArrays(spec)
    inputs = {p.removeprefix(prefix): x for p, x in layout.split(raw).items()}
    outputs: Any = self._network(arrays).apply(
      {'params': theta},
      arrays.unfold(inputs),
      google_features.tanh_of_step(state.step, row.dtype),
    )
    found = arrays.fold(outputs)
    averaged = layout.split(averages)
    steps = {
      path: self._heads()[self.head](
        found[path.removeprefix(prefix)], averaged[path]
      )
      for path in params
    }
    return steps, google_feed_forward.AveragesState(state.step + 1, averages)
