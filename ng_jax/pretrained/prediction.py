# SPDX-License-Identifier: Apache-2.0
"""A model with its variables, and the shortest way to ask it something."""

from collections.abc import Callable, Mapping
import dataclasses
import functools
from typing import Any

from flax import linen as nn
import jax
import jraph
import numpy as np

from ng_jax import graphs
from ng_jax import specs

Variables = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class PretrainedModel:
  """What `load_pretrained` returns.

  Attributes:
    model: a Flax module of `models.create`.
    variables: {'params': ..., 'constants': ...}, with 'batch_stats' where the
      model has them.
    spec: of one network (the largest) that the model reads.
    kernel: (height, width) to which the model wants convolution kernels padded;
      None for the largest of each network.
    details: what its folder says of its task and training, {} for nothing.
  """

  model: nn.Module
  variables: Variables
  spec: specs.NetworkSpec
  kernel: tuple[int, int] | None = None
  details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def __call__(self, graph: jraph.GraphsTuple) -> Any:
    """Applies the model in evaluation mode.

    Args:
      graph: of `graphs.encode` with `graphs.topology(spec, self.kernel)`, or
        what else the model reads.

    Returns:
      The model's output. Jit: yes.
    """
    return self.model.apply(self.variables, graph)


def predict(
  model: PretrainedModel | tuple[nn.Module, Variables],
  spec: specs.NetworkSpec,
  weights: specs.Weights,
) -> Any:
  """Applies a model to the weights of networks.

  Compiled once per model, spec and batch shape, and kept.

  Args:
    model: from `load_pretrained`, or a pair (module, variables).
    spec: of the networks.
    weights: leaves [*leaf_shape] of one network, or [*batch, *leaf_shape].

  Returns:
    The model's output in evaluation mode: a prediction [*batch, num_outputs],
    or from an editor the *update* of the weights, leaves [*batch,
    *leaf_shape], for `models.apply_update`. Jit: no; the work inside is jitted.

  Raises:
    ValueError: weights that do not fit the spec; a model that is neither; a
      larger kernel than the model reads.
  """
  module, variables = _parts(model)
  kernel = model.kernel if isinstance(model, PretrainedModel) else None
  batch = specs.check_weights(spec, weights)
  lead = len(batch)
  flat = jax.tree.map(
    lambda leaf: jax.numpy.reshape(leaf, (-1, *np.shape(leaf)[lead:])), weights
  )
  output = _compiled(module, spec, kernel)(variables, flat)
  return jax.tree.map(lambda x: x.reshape(*batch, *x.shape[1:]), output)


def _parts(model: Any) -> tuple[nn.Module, Variables]:
  if isinstance(model, PretrainedModel):
    return model.model, model.variables
  if (
    isinstance(model, tuple)
    and len(model) == 2
    and isinstance(model[0], nn.Module)
    and isinstance(model[1], Mapping)
  ):
    try:
      hash(model[0])
    except TypeError as error:
      raise ValueError(
        'model must be hashable to be compiled once, but one of its options is '
        f'not ({error}); give tuples instead of lists.'
      ) from error
    return model
  raise ValueError(
    'model must come from ng_jax.load_pretrained or be a pair (module, '
    f'variables), got {type(model).__name__}.'
  )


@functools.lru_cache(maxsize=64)
def _compiled(
  module: nn.Module, spec: specs.NetworkSpec, kernel: tuple[int, int] | None
) -> Callable[
  [Variables, specs.Weights], Any
]:  # (variables, weights) -> output
  topology = graphs.topology(spec, kernel)

  @jax.jit
  def run(variables: Variables, weights: specs.Weights) -> Any:
    return module.apply(variables, graphs.encode(topology, weights))

  return run
