# SPDX-License-Identifier: Apache-2.0
"""Everything that a training step reads and writes, as one tree."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class TrainState:
  """State of a training run; a pytree, so that it can be donated and saved.

  Attributes:
    step: [] int32, optimizer steps made.
    params: what is learned.
    constants: what a model holds but never learns (Fourier matrices,
      statistics): neither decayed nor counted.
    batch_stats: running statistics of batch norms, moved by every step; empty
      for a model without.
    opt_state: state of the optimizer.
    key: [] typed PRNG key of the run. It never changes; a step folds in its
      number, so a resumed run draws what an uninterrupted one draws.
  """

  step: jax.Array
  params: Any
  constants: Any
  batch_stats: Any
  opt_state: optax.OptState
  key: jax.Array

  @property
  def variables(self) -> dict[str, Any]:
    """What `model.apply` takes: all collections by name."""
    return {
      'params': self.params,
      'constants': self.constants,
      'batch_stats': self.batch_stats,
    }


def create(
  variables: Mapping[str, Any],
  optimizer: optax.GradientTransformation,
  *,
  key: jax.Array,
) -> TrainState:
  """Makes the state before the first step.

  Args:
    variables: what `model.init` returns: 'params' and perhaps 'constants' and
      'batch_stats'.
    optimizer: its `init` is called on the params.
    key: typed PRNG key of the run.

  Returns:
    A TrainState at step 0. Jit: yes.
  """
  # A weak type would not survive a checkpoint, and a resumed run would compile
  # (and might round) otherwise than an uninterrupted one.
  variables = jax.tree.map(lambda x: jnp.asarray(x, x.dtype), variables)
  return TrainState(
    step=jnp.zeros([], jnp.int32),
    params=variables['params'],
    constants=variables.get('constants', {}),
    batch_stats=variables.get('batch_stats', {}),
    opt_state=optimizer.init(variables['params']),
    key=key,
  )


def num_parameters(params: Any) -> int:
  """Counts the learned numbers of a tree. Jit: static."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))
