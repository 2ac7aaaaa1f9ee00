# SPDX-License-Identifier: Apache-2.0
"""Where a particle's randomness and its batches come from.

All of it follows from the key and the number of the particle, so the results do
not depend on how particles are spread over devices.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ng_jax.meta import problems

# Purposes that the key of a particle is folded with.
_STATE, _STREAM, _HORIZON, _STAGGER, _FINAL = range(5)


class Source(NamedTuple):
  """Randomness of a particle; with a leading axis, of many.

  Attributes:
    number: [] int32, of the particle among those of all devices.
    key: [key_size] uint32, data of the key of the particle.
    step: [] int32, batches of its stream that were used.
    episode: [] int32, episodes that are over.
  """

  number: jax.Array
  key: jax.Array
  step: jax.Array
  episode: jax.Array


def create(key: jax.Array, num_particles: int) -> Source:
  """Sources of all particles.

  Args:
    key: [] typed key.
    num_particles: on all devices. Static.

  Returns:
    A source with leaves [num_particles, ...]. Jit: yes.
  """
  number = jnp.arange(num_particles, dtype=jnp.int32)
  keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, number)
  # Two arrays of zeros: one and the same could not be donated.
  step, episode = (jnp.zeros(num_particles, jnp.int32) for _ in range(2))
  return Source(number, jax.random.key_data(keys), step, episode)


def state_key(source: Source) -> jax.Array:
  """Key of the first state of the episode. Jit: yes."""
  return jax.random.fold_in(_key(source, _STATE), source.episode)


def horizon_key(source: Source) -> jax.Array:
  """Key of the length of the episode. Jit: yes."""
  return jax.random.fold_in(_key(source, _HORIZON), source.episode)


def stagger_key(source: Source) -> jax.Array:
  """Key of the place where the first episode begins. Jit: yes."""
  return _key(source, _STAGGER)


def final_key(source: Source) -> jax.Array:
  """Key of batches at the end of the episode. Jit: yes."""
  return jax.random.fold_in(_key(source, _FINAL), source.episode)


def perturbation_key(source: Source, key: jax.Array) -> jax.Array:
  """Key of the particle's perturbation.

  Args:
    source: of one particle.
    key: [] typed key of the outer step.

  Returns:
    [] typed key. Jit: yes.
  """
  return jax.random.fold_in(key, source.number)


def draw(
  problem: problems.InnerProblem, source: Source, num_steps: int, data: Any
) -> Any:
  """The next inputs of the particle's stream.

  Args:
    problem: to be solved. Static.
    source: of one particle.
    num_steps: inputs wanted. Static.
    data: of the problem.

  Returns:
    Tree of [num_steps, ...]. Jit: yes.
  """
  return problem.draw(_key(source, _STREAM), source.step, num_steps, data)


def _key(source: Source, purpose: int) -> jax.Array:
  return jax.random.fold_in(jax.random.wrap_key_data(source.key), purpose)
