# SPDX-License-Identifier: Apache-2.0
"""How theta follows the estimated gradients: outer updates."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax


def authors(
  num_steps: int, *, learning_rate: float = 3e-4, weight_decay: float = 1e-4
) -> optax.GradientTransformation:
  """The authors' outer update: L2 in the gradient, Adam, a cosine to 0.

  The rate of step k = 0, 1, ... is learning_rate (1 + cos(pi k / num_steps))
  / 2. The decay is coupled: weight_decay times theta is added to the gradient
  before Adam's moments see it (not AdamW). Nothing is clipped.

  Args:
    num_steps: outer steps of the run.
    learning_rate: of the first step.
    weight_decay: of all of theta.

  Returns:
    A transformation whose `update` needs theta. Jit: yes.
  """
  return optax.chain(
    optax.add_decayed_weights(weight_decay),
    optax.scale_by_adam(),
    optax.scale_by_learning_rate(authors_rate(num_steps, learning_rate)),
  )


def authors_rate(num_steps: int, learning_rate: float) -> optax.Schedule:
  """Rate of `authors` by the number of steps made. Jit: yes."""
  _check_steps(num_steps)
  return optax.cosine_decay_schedule(learning_rate, num_steps)


def evolution(
  num_steps: int,
  *,
  learning_rate: float = 3e-4,
  clip_norm: float = 1.0,
  clip_elements: float = 0.0,
  warmup_fraction: float = 0.05,
  final_fraction: float = 0.1,
) -> optax.GradientTransformation:
  """Outer update for the noisy gradients of evolution strategies.

  Args:
    num_steps: outer steps of the run.
    learning_rate: largest rate.
    clip_norm: largest norm of the gradient; 0 for no limit.
    clip_elements: largest size of an element of it, before the norm is looked
      at (3 is usual); 0 for no limit.
    warmup_fraction: of the run, in which the rate rises linearly from 0.
    final_fraction: of the largest rate, reached by a cosine at the end.

  Returns:
    A transformation. Jit: yes.
  """
  rate = evolution_rate(
    num_steps, learning_rate, warmup_fraction, final_fraction
  )
  return optax.chain(
    optax.clip(clip_elements) if clip_elements else optax.identity(),
    optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity(),
    optax.scale_by_adam(eps_root=1e-8),
    optax.scale_by_learning_rate(rate),
  )


def evolution_rate(
  num_steps: int,
  learning_rate: float,
  warmup_fraction: float,
  final_fraction: float,
) -> optax.Schedule:
  """Rate of `evolution` by the number of steps made. Jit: yes."""
  _check_steps(num_steps)
  if not 0 <= warmup_fraction < 1:
    raise ValueError(
      f'warmup_fraction must be at least 0 and below 1, got {warmup_fraction}.'
    )
  return optax.warmup_cosine_decay_schedule(
    0.0 if warmup_fraction else learning_rate,
    learning_rate,
    round(warmup_fraction * num_steps),
    num_steps,
    final_fraction * learning_rate,
  )


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


def create(
  name: str, num_steps: int, **options: Any
) -> optax.GradientTransformation:
  """Makes an outer update.

  Args:
    name: 'authors' or 'evolution'.
    num_steps: outer steps of the run.
    **options: of the function of that name.

  Returns:
    A transformation whose `update` needs theta. Jit: yes.

  Raises:
    ValueError: unknown name, a bad option.
  """
  if name not in _UPDATES:
    raise ValueError(
      f'unknown outer update {name!r}; expected one of {sorted(_UPDATES)}.'
    )
  return _UPDATES[name](num_steps, **options)


def _check_steps(num_steps: int) -> None:
  if num_steps < 1:
    raise ValueError(f'num_steps must be positive, got {num_steps}.')


_UPDATES: dict[str, Callable[..., optax.GradientTransformation]] = {
  'authors': authors,
  'evolution': evolution,
}
