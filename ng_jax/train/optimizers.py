# SPDX-License-Identifier: Apache-2.0
"""The optimizer and the learning-rate schedules of the paper's experiments.

Everything is an `optax.GradientTransformation` or an `optax.Schedule`, so
that a user's own optax optimizer may stand in for any of them.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax


def make_schedule(
  name: str,
  learning_rate: float,
  *,
  warmup_steps: int = 0,
  decay_steps: int = 1,
  decay_rate: float = 1.0,
  final_fraction: float = 0.0,
) -> optax.Schedule:
  """Learning rate by optimizer step, with linear warm-up.

  With t = count + 1 = 1, 2, ... and w(t) = min(1, t / warmup_steps):
    constant: learning_rate * w(t), the paper's choice;
    exponential: learning_rate * w(t) * decay_rate ** (t / decay_steps);
    cosine: as constant during warm-up, then learning_rate * (f + (1 - f) / 2
      * (1 + cos(pi * (min(t, decay_steps) - warmup_steps) / decay_steps))),
      f = final_fraction, which ends above f as it does in the reference.

  Args:
    name: 'constant', 'exponential' or 'cosine'.
    learning_rate: largest rate.
    warmup_steps: steps of linear warm-up; 0 for none.
    decay_steps: time scale of the decay, in steps; unused by 'constant'.
    decay_rate: factor per decay_steps, 'exponential' only.
    final_fraction: f above, 'cosine' only.

  Returns:
    A function from the number of steps already made (int, also traced) to
    the rate of the next step (float). Jit: yes.

  Raises:
    ValueError: unknown name, negative warmup_steps, decay_steps below 1.
  """
  if name not in _DECAYS:
    raise ValueError(
      f'unknown schedule {name!r}; expected one of {sorted(_DECAYS)}.'
    )
  if warmup_steps < 0 or decay_steps < 1:
    raise ValueError(
      'warmup_steps must be at least 0 and decay_steps at least 1, got '
      f'{warmup_steps=} and {decay_steps=}; warmup_steps=0 is no warm-up.'
    )
  decay = _DECAYS[name]

  def schedule(count: jax.typing.ArrayLike) -> jax.Array:
    step = jnp.asarray(count) + 1.0
    warmup = jnp.minimum(1.0, step / max(warmup_steps, 1))
    return learning_rate * decay(
      step, warmup, warmup_steps, decay_steps, decay_rate, final_fraction
    )

  return schedule


def _constant(step: jax.Array, warmup: jax.Array, *unused: float) -> jax.Array:
  del step, unused
  return warmup


def _exponential(
  step: jax.Array,
  warmup: jax.Array,
  warmup_steps: int,
  decay_steps: int,
  decay_rate: float,
  final_fraction: float,
) -> jax.Array:
  del warmup_steps, final_fraction
  return warmup * decay_rate ** (step / decay_steps)


def _cosine(
  step: jax.Array,
  warmup: jax.Array,
  warmup_steps: int,
  decay_steps: int,
  decay_rate: float,
  final_fraction: float,
) -> jax.Array:
  del decay_rate
  phase = (jnp.minimum(step, decay_steps) - warmup_steps) / decay_steps
  half = 0.5 * (1.0 - final_fraction)
  decayed = final_fraction + half * (1.0 + jnp.cos(jnp.pi * phase))
  return jnp.where(step > warmup_steps, decayed, warmup)


# (step, warmup, warmup_steps, decay_steps, decay_rate, final_fraction) ->
# factor of the learning rate.
_DECAYS: dict[str, Callable[..., jax.Array]] = {
  'constant': _constant,
  'exponential': _exponential,
  'cosine': _cosine,
}


def clip_by_global_norm(max_norm: float) -> optax.GradientTransformation:
  """Scales all gradients by min(1, max_norm / (norm + 1e-6)).

  Differs from `optax.clip_by_global_norm` by the 1e-6, which the reference
  has: a gradient just inside max_norm is scaled too.

  Args:
    max_norm: largest norm over the whole tree, positive.

  Returns:
    A stateless transformation. Jit: yes.

  Raises:
    ValueError: max_norm is not positive.
  """
  if not max_norm > 0:
    raise ValueError(
      f'max_norm must be positive, got {max_norm=}; for no clipping leave '
      'the transformation out (clip_norm=0 in a config).'
    )

  def clip(updates: optax.Updates, params: Any) -> optax.Updates:
    del params
    norm = optax.tree.norm(updates)
    scale = jnp.minimum(1.0, max_norm / (norm + 1e-6))
    return jax.tree.map(lambda x: x * scale.astype(x.dtype), updates)

  return optax.stateless(clip)


def scale_by_amsgrad(
  *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
  """AMSGrad as PyTorch has it: the maximum is taken before the correction.

  m and v are the usual averages; v_max = max(v_max, v), uncorrected; the
  result is m / (1 - b1^t) / (sqrt(v_max) / sqrt(1 - b2^t) + eps).
  Differs from `optax.scale_by_amsgrad`, which takes the maximum over the
  corrected v: there the first steps, where the correction is large, bound
  the step size for good (2.5e-3 apart after 40 steps at rate 1e-3).

  Args:
    b1: decay of the first moment.
    b2: decay of the second moment.
    eps: added to the denominator.

  Returns:
    A transformation with an `optax.ScaleByAmsgradState`. Jit: yes.
  """

  def init(params: optax.Params) -> optax.ScaleByAmsgradState:
    return optax.ScaleByAmsgradState(
      count=jnp.zeros([], jnp.int32),
      mu=optax.tree.zeros_like(params),
      nu=optax.tree.zeros_like(params),
      nu_max=optax.tree.zeros_like(params),
    )

  def update(
    updates: optax.Updates,
    state: optax.ScaleByAmsgradState,
    params: optax.Params | None = None,
  ) -> tuple[optax.Updates, optax.ScaleByAmsgradState]:
    del params
    count = optax.safe_increment(state.count)
    mu = optax.tree.update_moment(updates, state.mu, b1, 1)
    nu = optax.tree.update_moment(updates, state.nu, b2, 2)
    nu_max = jax.tree.map(jnp.maximum, state.nu_max, nu)
    mu_hat = optax.tree.bias_correction(mu, b1, count)
    nu_hat = optax.tree.bias_correction(nu_max, b2, count)
    updates = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + eps), mu_hat, nu_hat)
    return updates, optax.ScaleByAmsgradState(count, mu, nu, nu_max)

  return optax.GradientTransformation(init, update)


def adamw(
  learning_rate: optax.ScalarOrSchedule,
  *,
  weight_decay: float = 5e-4,
  b1: float = 0.9,
  b2: float = 0.999,
  eps: float = 1e-8,
  amsgrad: bool = True,
  clip_norm: float = 0.0,
) -> optax.GradientTransformation:
  """AdamW with the paper's settings: clip, moments, decay, learning rate.

  params <- params * (1 - rate * weight_decay) - rate * moments. The decay
  reaches every parameter: biases, norms, embeddings and probes included.

  Args:
    learning_rate: a float or a schedule, see `make_schedule`.
    weight_decay: decoupled decay.
    b1: decay of the first moment.
    b2: decay of the second moment.
    eps: added to the denominator.
    amsgrad: the reference AMSGrad rule; otherwise plain Adam moments.
    clip_norm: largest global gradient norm; 0 for no clipping.

  Returns:
    A transformation whose `update` needs params. Jit: yes.
  """
  moments = scale_by_amsgrad if amsgrad else optax.scale_by_adam
  clip = clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
  return optax.chain(
    clip,
    moments(b1=b1, b2=b2, eps=eps),
    optax.add_decayed_weights(weight_decay),
    optax.scale_by_learning_rate(learning_rate),
  )


def from_config(
  config: Any, total_steps: int
) -> tuple[optax.Schedule, optax.GradientTransformation]:
  """The learning rate and the optimizer of a run.

  Args:
    config: with 'optimizer' and 'schedule', the arguments of `adamw` and of
      `make_schedule`; schedule.decay_steps = 0 stands for the whole run.
    total_steps: optimizer steps of the run.

  Returns:
    Optimizer step to rate, and the optimizer. Jit: no.

  Raises:
    ValueError: bad options.
  """
  schedule, settings = dict(config.schedule), dict(config.optimizer)
  schedule['decay_steps'] = schedule['decay_steps'] or total_steps
  learning_rate = make_schedule(
    schedule.pop('name'), settings.pop('learning_rate'), **schedule
  )
  return learning_rate, adamw(learning_rate, **settings)
