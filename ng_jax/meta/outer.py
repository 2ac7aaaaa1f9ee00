# SPDX-License-Identifier: Apache-2.0
"""How theta follows the estimated gradients: outer updates."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class OuterUpdate(NamedTuple):
  """A rule for theta.

  Attributes:
    rate: outer steps made -> learning rate of the next one.
    transformation: its `update` needs theta.
  """

  rate: optax.Schedule
  transformation: optax.GradientTransformation


def authors(
  num_steps: int, *, learning_rate: float = 3e-4, weight_decay: float = 1e-4
) -> OuterUpdate:
  """The authors' outer update: L2 in the gradient, Adam, a cosine to 0.

  The rate of step k = 0, 1, ... is learning_rate (1 + cos(pi k / num_steps))
  / 2. The decay is coupled: weight_decay times theta is added to the gradient
  before Adam's moments see it (not AdamW). Nothing is clipped.

  Args:
    num_steps: outer steps of the run, positive.
    learning_rate: of the first step.
    weight_decay: of all of theta.

  Returns:
    The update. Jit: yes.
  """
  rate = optax.cosine_decay_schedule(learning_rate, num_steps)
  transformation = optax.chain(
    optax.add_decayed_weights(weight_decay),
    optax.scale_by_adam(),
    optax.scale_by_learning_rate(rate),
  )
  return OuterUpdate(rate, transformation)


def evolution(
  num_steps: int,
  *,
  learning_rate: float = 3e-4,
  clip_norm: float = 1.0,
  clip_elements: float = 0.0,
  warmup_fraction: float = 0.05,
  final_fraction: float = 0.1,
) -> OuterUpdate:
  """Outer update for the noisy gradients of evolution strategies.

  Args:
    num_steps: outer steps of the run, positive.
    learning_rate: largest rate.
    clip_norm: largest norm of the gradient; 0 for no limit.
    clip_elements: largest size of an element of it, before the norm is looked
      at (3 is usual); 0 for no limit.
    warmup_fraction: of the run, in which the rate rises linearly from 0.
    final_fraction: of the largest rate, reached by a cosine at the end.

  Returns:
    The update. Jit: yes.

  Raises:
    ValueError: warmup_fraction is below 0 or not below 1.
  """
  if not 0 <= warmup_fraction < 1:
    raise ValueError(
      f'warmup_fraction must be at least 0 and below 1, got {warmup_fraction}.'
    )
  rate = optax.warmup_cosine_decay_schedule(
    0.0 if warmup_fraction else learning_rate,
    learning_rate,
    round(warmup_fraction * num_steps),
    num_steps,
    final_fraction * learning_rate,
  )
  transformation = optax.chain(
    optax.clip(clip_elements) if clip_elements else optax.identity(),
    optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity(),
    optax.scale_by_adam(eps_root=1e-8),
    optax.scale_by_learning_rate(rate),
  )
  return OuterUpdate(rate, transformation)


def replace_nonfinite(gradient: Any) -> tuple[Any, jax.Array]:
  """Sets what is NaN or infinite in a gradient to 0.

  Args:
    gradient: tree of float arrays.

  Returns:
    A tree like it, and the number of elements that were replaced, [] float32.
    Jit: yes.
  """
  finite = jax.tree.map(jnp.isfinite, gradient)
  clean = jax.tree.map(lambda ok, g: jnp.where(ok, g, 0.0), finite, gradient)
  counts = [jnp.sum(~ok, dtype=jnp.float32) for ok in jax.tree.leaves(finite)]
  return clean, sum(counts, jnp.zeros([]))


def options(name: str) -> dict[str, Any]:
  """Options of an outer update.

  Args:
    name: 'authors' or 'evolution'.

  Returns:
    {option: default}. Jit: static.

  Raises:
    ValueError: unknown name.
  """
  return dict(_find(name).__kwdefaults__)


def create(name: str, num_steps: int, **chosen: Any) -> OuterUpdate:
  """Makes an outer update.

  Args:
    name: 'authors' or 'evolution'.
    num_steps: outer steps of the run.
    **chosen: options, see the functions of these names.

  Returns:
    The update. Jit: yes.

  Raises:
    ValueError: unknown name or option, the known ones are listed; a bad value.
  """
  make = _find(name)
  unknown = sorted(set(chosen) - set(options(name)))
  if unknown:
    raise ValueError(
      f'{name!r} has no option {unknown[0]!r}; its options are '
      f'{sorted(options(name))}.'
    )
  if num_steps < 1:
    raise ValueError(f'num_steps must be positive, got {num_steps}.')
  return make(num_steps, **chosen)


_UPDATES: dict[str, Any] = {'authors': authors, 'evolution': evolution}


def _find(name: str) -> Any:
  if name not in _UPDATES:
    raise ValueError(
      f'unknown outer update {name!r}; expected one of {sorted(_UPDATES)}.'
    )
  return _UPDATES[name]
