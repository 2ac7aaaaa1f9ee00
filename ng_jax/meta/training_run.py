# SPDX-License-Identifier: Apache-2.0
"""The compiled part of an evaluation: training runs and tests, in scans."""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ng_jax.meta import pixels as pixels_lib
from ng_jax.meta import streams
from ng_jax.meta import tasks


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a run does; static and hashable.

  Attributes:
    task: what is trained.
    make_tx: theta -> optax transformation.
    num_steps: of the run.
    test_every: steps between tests; divides num_steps.
    test_batch_size: held-out images at a time.
  """

  task: tasks.Task
  make_tx: Callable[[Any], optax.GradientTransformation]
  num_steps: int
  test_every: int
  test_batch_size: int


class Outcome(NamedTuple):
  """Arrays of one run; of several with a leading axis.

  Attributes:
    right: {held-out set: [num_tests] int32}, numbers of right answers.
    loss: {held-out set: [num_tests] float32}, summed cross-entropies.
    train_losses: [num_steps] float32, NaN from where the run was frozen.
    frozen_at: [] int32, the first step that was not made, or -1.
  """

  right: Any
  loss: Any
  train_losses: Any
  frozen_at: Any


class _State(NamedTuple):
  """Between two steps."""

  params: Any
  optimizer: Any
  frozen_at: Any
  step: Any


def run_seeds(
  plan: Plan,
  theta: Any,
  keys: jax.Array,
  train: pixels_lib.Pixels,
  held: Mapping[str, pixels_lib.Pixels],
  *,
  side_by_side: bool,
) -> Outcome:
  """Makes one run per key.

  Args:
    plan: of all of them.
    theta: of the optimizer, shared.
    keys: [num_seeds] typed PRNG keys.
    train: to train on.
    held: {name: images to score}, may be empty.
    side_by_side: whether `vmap` makes the runs, or a loop one after another.

  Returns:
    The outcomes, leaves [num_seeds, ...]. Jit: yes, with plan static.
  """

  def one(key: jax.Array) -> Outcome:
    return run(plan, theta, key, train, held)

  several = jax.vmap(one) if side_by_side else lambda k: jax.lax.map(one, k)
  outcome: Outcome = several(keys)
  return outcome


def run(
  plan: Plan,
  theta: Any,
  key: jax.Array,
  train: pixels_lib.Pixels,
  held: Mapping[str, pixels_lib.Pixels],
) -> Outcome:
  """Trains from scratch, with tests on the way.

  Once a loss or a weight is not finite, weights and optimizer state stay as
  they were before that step.

  Args:
    plan: of the run.
    theta: of the optimizer.
    key: draws weights and the order of the images.
    train: to train on.
    held: {name: images to score}.

  Returns:
    The outcome. Jit: yes, with plan static.
  """
  task = plan.task
  tx = optax.with_extra_args_support(plan.make_tx(theta))
  rows = streams.draw_rows(
    jax.random.fold_in(key, 1),
    num_steps=plan.num_steps,
    num_images=train.labels.shape[0],
    batch_size=task.batch_size,
  )
  params = task.init(jax.random.fold_in(key, 0))
  state = _State(params, tx.init(params), jnp.int32(-1), jnp.int32(0))

  def step(state: _State, chosen: jax.Array) -> tuple[_State, jax.Array]:
    return _step(task, tx, state, train.take(chosen))

  def segment(state: _State, chosen: jax.Array) -> tuple[_State, Any]:
    state, losses = jax.lax.scan(step, state, chosen)
    scores = {
      name: _score_all(plan, state.params, pixels)
      for name, pixels in held.items()
    }
    return state, (losses, scores)

  segments = rows.reshape(-1, plan.test_every, task.batch_size)
  state, (losses, scores) = jax.lax.scan(segment, state, segments)
  right = {name: score[0] for name, score in scores.items()}
  loss = {name: score[1] for name, score in scores.items()}
  return Outcome(right, loss, losses.reshape(-1), state.frozen_at)


def _step(
  task: tasks.Task,
  tx: optax.GradientTransformationExtraArgs,
  state: _State,
  batch: pixels_lib.Batch,
) -> tuple[_State, jax.Array]:
  loss, gradient = jax.value_and_grad(task.loss)(state.params, batch)
  updates, optimizer = tx.update(
    gradient, state.optimizer, state.params, value=loss
  )
  params = optax.apply_updates(state.params, updates)
  alive = (state.frozen_at < 0) & _are_finite((loss, params))
  params, optimizer = jax.tree.map(
    lambda new, old: jnp.where(alive, new, old),
    (params, optimizer),
    (state.params, state.optimizer),
  )
  is_first = ~alive & (state.frozen_at < 0)
  frozen_at = jnp.where(is_first, state.step, state.frozen_at)
  state = _State(params, optimizer, frozen_at, state.step + 1)
  return state, jnp.where(alive, loss, jnp.nan)


def _are_finite(tree: Any) -> jax.Array:
  """Whether all numbers of a tree are finite, [] bool."""
  return jnp.all(
    jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)])
  )


def _score_all(
  plan: Plan, params: Any, pixels: pixels_lib.Pixels
) -> tuple[jax.Array, jax.Array]:
  """Right answers and summed loss of all images, whole batches in a scan."""
  num_images = pixels.labels.shape[0]
  size = min(plan.test_batch_size, num_images)
  rows = jnp.arange(num_images, dtype=jnp.int32)
  whole = num_images // size * size

  def score(chosen: jax.Array) -> tuple[jax.Array, jax.Array]:
    return plan.task.score(params, pixels.take(chosen))

  scores = jax.lax.map(score, rows[:whole].reshape(-1, size))
  right, loss = jnp.sum(scores[0], dtype=jnp.int32), jnp.sum(scores[1])
  if whole < num_images:
    rest = score(rows[whole:])
    right, loss = right + rest[0], loss + rest[1]
  return right, loss
