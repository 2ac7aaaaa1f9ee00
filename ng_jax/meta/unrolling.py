# SPDX-License-Identifier: Apache-2.0
"""Many inner steps in one scan, and trajectories that stop where they break.

A trajectory whose state or loss is no longer finite is frozen at its last
finite state and marked; its losses are infinite from then on, which
`InnerProblem.normalise` turns into the largest loss there is.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ng_jax.meta import problems


class Trajectory(NamedTuple):
  """An inner problem on its way.

  Attributes:
    state: of the problem.
    finite: [] bool, whether no step was other than finite.
  """

  state: Any
  finite: jax.Array


def start(
  problem: problems.InnerProblem, theta: Any, key: jax.Array, data: Any
) -> Trajectory:
  """Begins a trajectory.

  Args:
    problem: to be solved. Static.
    theta: that the first state is built with; not differentiated through.
    key: [] typed key of the first state.
    data: of the problem.

  Returns:
    A trajectory. Jit: yes.
  """
  state = problem.init(theta, key, data)
  # A weak type would change after a step, which a scan refuses.
  state = jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), state)
  return Trajectory(jax.lax.stop_gradient(state), jnp.asarray(True))


def all_finite(tree: Any) -> jax.Array:
  """Whether no float of a tree is NaN or infinite.

  Args:
    tree: of arrays; integers are always finite.

  Returns:
    [] bool. Jit: yes.
  """
  checks = [
    jnp.all(jnp.isfinite(leaf))
    for leaf in jax.tree.leaves(tree)
    if jnp.issubdtype(leaf.dtype, jnp.inexact)
  ]
  return functools.reduce(jnp.logical_and, checks, jnp.asarray(True))


def select(condition: jax.Array, chosen: Any, other: Any) -> Any:
  """Leaves of one tree or of another.

  Args:
    condition: [] bool.
    chosen: tree, where the condition holds.
    other: tree of the same structure.

  Returns:
    A tree. Jit: yes.
  """
  return jax.tree.map(functools.partial(jnp.where, condition), chosen, other)


def advance(
  problem: problems.InnerProblem,
  theta: Any,
  trajectory: Trajectory,
  inputs: Any,
  data: Any,
  *,
  first_order: bool = False,
) -> tuple[Trajectory, jax.Array]:
  """One inner step.

  Args:
    problem: to be solved. Static.
    theta: tree.
    trajectory: so far.
    inputs: of the step, one row of `InnerProblem.draw`.
    data: of the problem.
    first_order: see `InnerProblem.step`. Static.

  Returns:
    The trajectory after the step and its loss [], +inf from the step on that
    was not finite. Jit: yes.
  """
  state, loss = problem.step(
    theta, trajectory.state, inputs, data, first_order=first_order
  )
  finite = trajectory.finite & all_finite((state, loss))
  moved = Trajectory(select(finite, state, trajectory.state), finite)
  return moved, jnp.where(finite, loss, jnp.inf)


def unroll(
  problem: problems.InnerProblem,
  theta: Any,
  trajectory: Trajectory,
  inputs: Any,
  data: Any,
  *,
  first_order: bool = False,
  rematerialise: bool = False,
) -> tuple[Trajectory, jax.Array]:
  """Many inner steps.

  Args:
    problem: to be solved. Static.
    theta: tree, the same for all steps.
    trajectory: so far.
    inputs: tree of [num_steps, ...].
    data: of the problem.
    first_order: see `InnerProblem.step`. Static.
    rematerialise: whether a backward pass computes each step again instead of
      keeping what is inside of it; it then keeps one state a step. Static.

  Returns:
    The trajectory after the steps and the losses [num_steps]. Jit: yes.
  """

  def step(theta: Any, trajectory: Trajectory, inputs: Any, data: Any) -> Any:
    return advance(
      problem, theta, trajectory, inputs, data, first_order=first_order
    )

  if rematerialise:
    step = jax.checkpoint(step, prevent_cse=False)
  return jax.lax.scan(
    lambda carry, x: step(theta, carry, x, data), trajectory, inputs
  )


def unroll_pair(
  problem: problems.InnerProblem,
  thetas: Any,
  pair: Trajectory,
  inputs: Any,
  data: Any,
) -> tuple[Trajectory, jax.Array]:
  """Many inner steps with two thetas that see the same inputs.

  The batches are gathered once for both.

  Args:
    problem: to be solved. Static.
    thetas: tree of [2, ...].
    pair: two trajectories, leaves [2, ...].
    inputs: tree of [num_steps, ...].
    data: of the problem.

  Returns:
    The trajectories and their normalised losses [num_steps, 2]. Jit: yes.
  """
  both = jax.vmap(
    functools.partial(advance, problem), in_axes=(0, 0, None, None)
  )
  pair, losses = jax.lax.scan(
    lambda carry, x: both(thetas, carry, x, data), pair, inputs
  )
  return pair, problem.normalise(losses)
