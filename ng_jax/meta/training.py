# SPDX-License-Identifier: Apache-2.0
"""An outer step: an estimate, an update of theta, as one program per task.

Particles are spread over devices, theta and the data are copied to each. What a
particle does depends on its number alone, so the number of devices changes
nothing but the order of a sum.
"""

from collections.abc import Callable, Sequence
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ng_jax import processes
from ng_jax.meta import outer
from ng_jax.meta.estimators import base

AXIS_NAME = 'particles'
# (shared state, state of an estimator, data) -> (shared state, state of the
# estimator, metrics).
OuterStep = Callable[[Any, Any, Any], tuple[Any, Any, base.Metrics]]


class SharedState(NamedTuple):
  """What all tasks of a run share.

  Attributes:
    step: [] int32, outer steps made.
    theta: what is learned.
    outer_state: of the outer update.
    key: [] typed key of the run; a step folds in its number.
  """

  step: jax.Array
  theta: Any
  outer_state: optax.OptState
  key: jax.Array


def create_state(
  estimators: Sequence[base.Estimator],
  theta: Any,
  update: optax.GradientTransformation,
  key: jax.Array,
  data: Sequence[Any],
) -> tuple[SharedState, tuple[Any, ...]]:
  """State before the first outer step.

  Args:
    estimators: one a task.
    theta: tree of float arrays.
    update: outer update.
    key: [] typed key of the run.
    data: of each task.

  Returns:
    The shared state and that of each estimator. Jit: yes.
  """
  # A weak type would not survive a checkpoint; without a copy the first step
  # would take the caller's theta.
  theta = jax.tree.map(lambda x: jnp.array(x, x.dtype, copy=True), theta)
  states = tuple(
    estimator.init(theta, jax.random.fold_in(key, number), part)
    for number, (estimator, part) in enumerate(
      zip(estimators, data, strict=True)
    )
  )
  # The keys of the tasks and those of the steps must not meet.
  steps_key = jax.random.fold_in(key, len(estimators))
  zero = jnp.zeros([], jnp.int32)
  return SharedState(zero, theta, update.init(theta), steps_key), states


def outer_step(
  shared: SharedState,
  state: Any,
  data: Any,
  *,
  estimator: base.Estimator,
  update: optax.GradientTransformation,
  axis_name: str | None = None,
) -> tuple[SharedState, Any, base.Metrics]:
  """Estimates a gradient and moves theta.

  Args:
    shared: of the run, equal on all devices.
    state: of the estimator, this device's particles.
    data: of the problem.
    estimator: of the task.
    update: outer update; gets the gradient with 0 for what is not finite.
    axis_name: of the devices, None for one.

  Returns:
    The next states, and the metrics of the estimate with 'gradient_norm' [] and
    'nonfinite' [], the number of elements of the gradient that were not finite.
    Jit: yes.
  """
  key = jax.random.fold_in(shared.key, shared.step)
  gradient, state, metrics = estimator.estimate(
    shared.theta, state, key, data, axis_name=axis_name
  )
  gradient, nonfinite = outer.replace_nonfinite(gradient)
  norm = optax.tree.norm(gradient)
  updates, outer_state = update.update(
    gradient, shared.outer_state, shared.theta
  )
  shared = shared._replace(
    step=shared.step + 1,
    theta=optax.apply_updates(shared.theta, updates),
    outer_state=outer_state,
  )
  metrics = {**metrics, 'gradient_norm': norm, 'nonfinite': nonfinite}
  return shared, state, metrics


def make_step(
  estimator: base.Estimator,
  update: optax.GradientTransformation,
  devices: Sequence[jax.Device],
) -> OuterStep:
  """Compiles the outer steps of a task, for one or several devices.

  Args:
    estimator: of the task.
    update: outer update.
    devices: of this process or of all, that divide the number of particles.

  Returns:
    A function of (shared, state, data), see `outer_step`; the memory of both
    states is given to it. Place them with `place` first. Jit: no.

  Raises:
    ValueError: particles that cannot be spread evenly.
  """
  if estimator.num_particles % len(devices):
    raise ValueError(
      'num_particles must be a multiple of the number of devices, got '
      f'num_particles={estimator.num_particles} and {len(devices)} devices; '
      'use fewer devices or processes, or more particles.'
    )
  step = functools.partial(outer_step, estimator=estimator, update=update)
  if len(devices) == 1:
    return jax.jit(step, donate_argnums=(0, 1))
  everywhere, spread = (
    jax.sharding.PartitionSpec(),
    jax.sharding.PartitionSpec(AXIS_NAME),
  )
  parallel = jax.shard_map(
    functools.partial(step, axis_name=AXIS_NAME),
    mesh=_mesh(devices),
    in_specs=(everywhere, spread, everywhere),
    out_specs=(everywhere, spread, everywhere),
    check_vma=False,  # Which scans with constant carries do not pass.
  )
  return jax.jit(parallel, donate_argnums=(0, 1))


def place(
  tree: Any, devices: Sequence[jax.Device], *, spread: bool = False
) -> Any:
  """Puts arrays where `make_step` wants them.

  With devices of several processes each of them gives the same whole arrays.

  Args:
    tree: of arrays.
    devices: as given to `make_step`.
    spread: whether the leading axis is that of the particles, and is split.

  Returns:
    The tree on the devices. Jit: no.
  """
  if len(devices) == 1:
    return jax.device_put(tree, devices[0])
  axes = jax.sharding.PartitionSpec(*([AXIS_NAME] if spread else []))
  sharding = jax.sharding.NamedSharding(_mesh(devices), axes)
  return processes.put(tree, sharding)


def _mesh(devices: Sequence[jax.Device]) -> jax.sharding.Mesh:
  return jax.sharding.Mesh(np.asarray(devices), (AXIS_NAME,))
