# SPDX-License-Identifier: Apache-2.0
"""Learned optimizers by name."""

import dataclasses
from typing import Any

from ng_jax import specs
from ng_jax.models import registry
from ng_jax.optimizers import base
from ng_jax.optimizers import feed_forward
from ng_jax.optimizers import google_feed_forward
from ng_jax.optimizers import google_nfn
from ng_jax.optimizers import google_recurrent
from ng_jax.optimizers import graph_networks
from ng_jax.optimizers import nfn
from ng_jax.optimizers import recurrent

OPTIMIZERS: dict[str, type[base.LearnedOptimizer]] = {
  'ff': feed_forward.FeedForward,
  'google_ff': google_feed_forward.GoogleFeedForward,
  'google_lstm': google_recurrent.GoogleRecurrent,
  'google_nfn': google_nfn.GoogleNeuralFunctional,
  'lstm': recurrent.Recurrent,
  'nfn': nfn.NeuralFunctional,
  'ng_gnn': graph_networks.NeuralGraphGNN,
  'ng_t': graph_networks.NeuralGraphTransformer,
}


def create(
  name: str, spec: specs.NetworkSpec | None = None, **options: Any
) -> base.LearnedOptimizer:
  """Makes a learned optimizer, without its parameters.

  Args:
    name: a key of `OPTIMIZERS`, such as 'ng_gnn'.
    spec: of the networks that will be optimized; needed by those that read
      graphs.
    **options: fields of the optimizer.

  Returns:
    The optimizer: `theta = optimizer.init(key)`, then
    `tx = optimizer.transformation(theta)` for optax. Jit: static.

  Raises:
    ValueError: an unknown name or option; the known ones are listed.
  """
  if name not in OPTIMIZERS:
    raise ValueError(
      f'unknown optimizer {name!r}; expected one of {sorted(OPTIMIZERS)}.'
    )
  known = [f.name for f in dataclasses.fields(OPTIMIZERS[name])]
  known.remove('spec')
  registry.check_options(f'optimizer {name!r}', options, known)
  tuples = {
    k: tuple(v) if isinstance(v, list) else v for k, v in options.items()
  }
  return OPTIMIZERS[name](spec=spec, **tuples)
