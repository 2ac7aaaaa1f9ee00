# SPDX-License-Identifier: Apache-2.0
"""What estimators differentiate: inner problems that theta steers.

An estimator knows an inner problem by the interface of `InnerProblem` and
nothing else: neither what theta is nor that something is being learned. The
problem of this package is `LearningProblem`, a task trained by a learned
optimizer; a linear system whose drive is theta would do as well.
"""

from collections.abc import Callable
import dataclasses
import math
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from ng_jax.meta import streams

# Part of the training images -> where it begins and ends, as in the library
# learned_optimization.
_SPLITS = {
  'all': (0.0, 1.0),
  'train': (0.0, 0.8),
  'inner_valid': (0.8, 0.9),
  'outer_valid': (0.9, 1.0),
}
_OUTER_LOSSES = ('post_new', 'post_same', 'pre')


class InnerProblem(Protocol):
  """A system with a state that theta moves, step by step, at a loss.

  Problems are frozen and hashable; all methods can be jitted and vmapped.
  `data` is whatever the problem reads, passed through by the estimators so that
  it is an argument of the compiled program.
  """

  @property
  def loss_follows_update(self) -> bool:
    """Whether the loss of a step already depends on that step's update."""

  def init(self, theta: Any, key: jax.Array, data: Any) -> Any:
    """Returns a fresh state, a tree of arrays."""

  def draw(
    self, key: jax.Array, first_step: jax.Array, num_steps: int, data: Any
  ) -> Any:
    """Returns what steps first_step, ... of a stream need, [num_steps, ...]."""

  def step(
    self, theta: Any, state: Any, inputs: Any, data: Any, *, first_order: bool
  ) -> tuple[Any, jax.Array]:
    """Returns the next state and the loss [] of a step.

    With first_order the derivative of the inner gradient is taken as 0.
    """

  def loss(self, state: Any, inputs: Any, data: Any) -> jax.Array:
    """Returns the loss [] of a state."""

  def normalise(self, loss: jax.Array) -> jax.Array:
    """Returns losses [...] that are finite and bounded, where there is one."""


class LearnerState(NamedTuple):
  """State of a network in training.

  Attributes:
    params: of the network.
    opt_state: of the learned optimizer.
  """

  params: Any
  opt_state: Any


class StepInputs(NamedTuple):
  """Rows of the images of a step.

  Attributes:
    inner: [batch_size] int32, trained on.
    outer: [batch_size] int32 for the outer loss 'post_new', otherwise None.
  """

  inner: jax.Array
  outer: jax.Array | None


@dataclasses.dataclass(frozen=True)
class LearningProblem:
  """A task that is trained by a learned optimizer with parameters theta.

  Attributes:
    task: see `meta.Task`.
    optimizer: see `ng_jax.optimizers`; its transformation(theta) updates.
    outer_loss: 'pre', loss of the batch before the update; 'post_same', of the
      same batch after it (the authors' choice); 'post_new', of a fresh batch
      after it.
    inner_split: part of the images that is trained on: 'all', 'train' (the
      first 80 %), 'inner_valid' (the next 10 %) or 'outer_valid' (the rest).
    outer_split: part that 'post_new' draws from.
    num_classes: of the task, bounds normalised losses.
  """

  task: Any
  optimizer: Any
  outer_loss: str = 'pre'
  inner_split: str = 'all'
  outer_split: str = 'all'
  num_classes: int = 10

  def __post_init__(self) -> None:
    _check_known('outer_loss', self.outer_loss, _OUTER_LOSSES)
    _check_known('inner_split', self.inner_split, _SPLITS)
    _check_known('outer_split', self.outer_split, _SPLITS)
    if self.num_classes < 2:
      raise ValueError(
        f'num_classes must be at least 2, got {self.num_classes}.'
      )

  @property
  def loss_follows_update(self) -> bool:
    """Whether the loss of a step already depends on that step's update."""
    return self.outer_loss != 'pre'

  def init(self, theta: Any, key: jax.Array, data: Any) -> LearnerState:
    """A fresh network and the optimizer's first state.

    Args:
      theta: parameters of the optimizer.
      key: [] typed key.
      data: not used.

    Returns:
      The state. Jit: yes.
    """
    del data
    params = self.task.init(key)
    return LearnerState(
      params, self.optimizer.transformation(theta).init(params)
    )

  def draw(
    self, key: jax.Array, first_step: jax.Array, num_steps: int, data: Any
  ) -> StepInputs:
    """Rows of consecutive steps of an endless stream of batches.

    Args:
      key: [] typed key of the stream.
      first_step: [] int32 number of the first batch.
      num_steps: batches wanted. Static.
      data: `Pixels`; only their number is used.

    Returns:
      Rows [num_steps, batch_size] int32. Jit: yes.

    Raises:
      ValueError: a split with fewer images than a batch.
    """

    def rows(purpose: int, split: str) -> jax.Array:
      begin, end = (
        round(fraction * data.labels.shape[0]) for fraction in _SPLITS[split]
      )
      return begin + streams.draw_rows(
        jax.random.fold_in(key, purpose),
        first_step,
        num_steps=num_steps,
        num_images=end - begin,
        batch_size=self.task.batch_size,
      )

    fresh = self.outer_loss == 'post_new'
    return StepInputs(
      rows(0, self.inner_split), rows(1, self.outer_split) if fresh else None
    )

  def step(
    self,
    theta: Any,
    state: LearnerState,
    inputs: StepInputs,
    data: Any,
    *,
    first_order: bool = False,
  ) -> tuple[LearnerState, jax.Array]:
    """One training step of the network.

    Args:
      theta: parameters of the optimizer.
      state: of the network.
      inputs: rows of this step, without the axis of steps.
      data: `Pixels`.
      first_order: whether the gradient that the optimizer reads counts as data
        when the step is differentiated: no second derivatives.

    Returns:
      The next state and the outer loss []. Jit: yes.
    """
    batch = data.take(inputs.inner)
    loss, gradient = jax.value_and_grad(self.task.loss)(state.params, batch)
    if first_order:
      gradient = jax.lax.stop_gradient(gradient)
    updates, opt_state = self.optimizer.transformation(theta).update(
      gradient, state.opt_state, state.params, value=loss
    )
    params = optax.apply_updates(state.params, updates)
    outer_losses: dict[str, Callable[[], jax.Array]] = {
      'pre': lambda: loss,
      'post_same': lambda: self.task.loss(params, batch),
      'post_new': lambda: self.task.loss(params, data.take(inputs.outer)),
    }
    return LearnerState(params, opt_state), outer_losses[self.outer_loss]()

  def loss(
    self, state: LearnerState, inputs: StepInputs, data: Any
  ) -> jax.Array:
    """Loss of the network on the rows of a step.

    Args:
      state: of the network.
      inputs: rows of a step; the outer ones, where there are any.
      data: `Pixels`.

    Returns:
      [] float. Jit: yes.
    """
    rows = inputs.inner if inputs.outer is None else inputs.outer
    return self.task.loss(state.params, data.take(rows))

  def normalise(self, loss: jax.Array) -> jax.Array:
    """Clips losses to 1.5 times that of guessing.

    Args:
      loss: [...] float.

    Returns:
      [...] in [0, 1.5 ln num_classes]; what is NaN or infinite becomes the
      upper end. Jit: yes.
    """
    ceiling = 1.5 * math.log(self.num_classes)
    return jnp.where(jnp.isfinite(loss), jnp.clip(loss, 0.0, ceiling), ceiling)


def _check_known(field: str, value: str, known: Any) -> None:
  if value not in known:
    raise ValueError(
      f'unknown {field} {value!r}; expected one of {sorted(known)}.'
    )
