# SPDX-License-Identifier: Apache-2.0
"""LSTM: FF with a context that runs from layer to layer (l2o spec 3.3).

The recurrence is over the arrays of the optimizee in network order, not over
time: each optimizer step starts it from zeros.
"""

import dataclasses
import re

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import specs
from ng_jax.layers import linear
from ng_jax.optimizers import head
from ng_jax.optimizers import per_parameter
from ng_jax.optimizers import spec_optimizer

# Inside a layer, arrays of these names come last.
_LAST = ('bias', 'b')


class Cell(nn.Module):
  """An LSTM cell with PyTorch's initialisation, and its two biases.

  Attributes:
    size: width of the state.
  """

  size: int

  @nn.compact
  def __call__(self, sequence: jax.Array) -> jax.Array:
    """Runs from zeros over a sequence.

    Args:
      sequence: [num_steps, in] float.

    Returns:
      Outputs [num_steps, size]. Jit: yes.
    """
    draw = linear.torch_uniform(self.size)
    width = 4 * self.size
    of_input = self.param('input_kernel', draw, (sequence.shape[1], width))
    of_state = self.param('state_kernel', draw, (self.size, width))
    bias = self.param('input_bias', draw, (width,))
    bias = bias + self.param('state_bias', draw, (width,))

    def step(
      carry: tuple[jax.Array, jax.Array], gates: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
      output, cell = carry
      entry, forget, candidate, leave = jnp.split(gates + output @ of_state, 4)
      cell = nn.sigmoid(forget) * cell + nn.sigmoid(entry) * jnp.tanh(candidate)
      output = nn.sigmoid(leave) * jnp.tanh(cell)
      return (output, cell), output

    start = jnp.zeros((self.size,), (sequence @ of_input).dtype)
    _, outputs = jax.lax.scan(step, (start, start), sequence @ of_input + bias)
    return outputs


class RecurrentNetwork(nn.Module):
  """Means over each array, an LSTM over the arrays, and the update head.

  Attributes:
    order: paths in network order.
    hidden_size: width of the projection, the LSTM and the head.
    step_scale: see `head.UpdateHead`.
    max_exponent: see `head.UpdateHead`.
  """

  order: tuple[str, ...]
  hidden_size: int
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
    size = self.hidden_size
    rows = [jnp.moveaxis(inputs[path], 0, -1) for path in self.order]
    first = linear.Linear(size, name='projection_0')
    second = linear.Linear(size, name='projection_1')
    # The second map is linear, so it may follow the mean.
    means = [nn.relu(first(own)).reshape(-1, size).mean(axis=0) for own in rows]
    outputs = Cell(size, name='lstm')(second(jnp.stack(means)))
    contexts: list[jax.Array | None] = [
      output.reshape((1,) * (own.ndim - 1) + (size,))
      for own, output in zip(rows, outputs, strict=True)
    ]
    updates = head.UpdateHead(
      (size,), self.step_scale, self.max_exponent, name='head'
    )(rows, contexts)
    return dict(zip(self.order, updates, strict=True))


@dataclasses.dataclass(frozen=True)
class Recurrent(per_parameter.PerParameterOptimizer):
  """LSTM over the layers of the optimizee.

  The order of the arrays is that of the spec, if there is one, else that of
  their names, numbers counted, biases after the other arrays of their layer.

  Attributes: those of `PerParameterOptimizer` and
    hidden_size: width of everything.
  """

  hidden_size: int = 32

  def check_params(self, params: dict[str, jax.Array]) -> None:
    if self.spec is not None:
      spec_optimizer.check_shapes(self.spec, params)

  def example(self) -> tuple[nn.Module, dict[str, tuple[int, ...]]]:
    small = dataclasses.replace(self, spec=None)
    return small.network(('x',)), {'x': (1,)}

  def network(self, paths: tuple[str, ...]) -> nn.Module:
    return RecurrentNetwork(
      network_order(paths, self.spec), self.hidden_size, **self.head_options()
    )


def network_order(
  paths: tuple[str, ...], spec: specs.NetworkSpec | None = None
) -> tuple[str, ...]:
  """Sorts the arrays of an optimizee as its layers follow one another.

  Args:
    paths: of the arrays.
    spec: of the optimizee, or None to go by names.

  Returns:
    The same paths: first those of the spec in its order, block by block with
    the biases of the block's target behind it, then others by name. Jit:
    static.

  Raises:
    ValueError: the spec names other arrays.
  """
  known: tuple[str, ...] = ()
  if spec is not None:
    prefix = spec_optimizer.path_prefix(spec, paths)
    known = tuple(prefix + path for path in _spec_order(spec))
  first = [path for path in known if path in paths]
  rest = sorted(set(paths) - set(first), key=_name_order)
  return (*first, *rest)


def _spec_order(spec: specs.NetworkSpec) -> tuple[str, ...]:
  found: dict[str, None] = {}
  for block in spec.blocks:
    for kind, name in (('edge', block.name), ('node', block.target)):
      own = [x for x in spec.leaves if x.kind == kind and x.fills == name]
      found.update(dict.fromkeys(x.path for x in own))
  return tuple(found)


def _name_order(path: str) -> tuple[object, ...]:
  *layer, name = path.split('/')
  parts = [
    tuple(
      (1, int(piece), '') if piece.isdigit() else (0, 0, piece)
      for piece in re.split(r'(\d+)', part)
    )
    for part in layer
  ]
  return (parts, name in _LAST, name)
