# SPDX-License-Identifier: Apache-2.0
"""FF: an MLP on each parameter by itself (l2o spec 3.2)."""

import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax.optimizers import head
from ng_jax.optimizers import per_parameter


class FeedForwardNetwork(nn.Module):
  """The update head alone, on all parameters.

  Attributes: those of `head.UpdateHead`.
  """

  hidden_sizes: tuple[int, ...]
  step_scale: float
  max_exponent: float | None

  @nn.compact
  def __call__(self, inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Computes updates.

    Args:
      inputs: {path: [num_features, *shape]}.

    Returns:
      {path: update [*shape]}. Jit: yes.
    """
    rows = [jnp.moveaxis(own, 0, -1) for own in inputs.values()]
    updates = head.UpdateHead(
      self.hidden_sizes, self.step_scale, self.max_exponent, name='head'
    )(rows)
    return dict(zip(inputs, updates, strict=True))


@dataclasses.dataclass(frozen=True)
class FeedForward(per_parameter.PerParameterOptimizer):
  """FF (Metz et al., 2019, with the paper's features).

  Attributes: those of `PerParameterOptimizer` and
    hidden_sizes: widths of the hidden layers.
  """

  hidden_sizes: tuple[int, ...] = (64, 64)

  def network(self, paths: tuple[str, ...]) -> nn.Module:
    del paths
    return FeedForwardNetwork(self.hidden_sizes, **self.head_options())
