# SPDX-License-Identifier: Apache-2.0
"""The training step that the benchmarks measure; no benchmark itself."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ng_jax import graphs
from ng_jax import models
from ng_jax import specs
from ng_jax.train import metrics
from ng_jax.train import optimizers
from ng_jax.train import state as state_lib
from ng_jax.train import steps


class Training(NamedTuple):
  """A compiled training step.

  Attributes:
    step: (state, data, index) -> state.
    init: makes the state.
    data: {'weights': tree [batch_size, ...], 'label': [batch_size]}, as shapes.
    index: [batch_size] int32, as a shape.
  """

  step: Callable[..., Any]
  init: Callable[[Any], Any]
  data: Any
  index: Any

  def compile(self) -> Any:
    """Compiles without making any array."""
    state = jax.eval_shape(self.init, self.data)
    return jax.jit(self.step).lower(state, self.data, self.index).compile()


def weight_shapes(network: Any, batch_size: int) -> Any:
  """Shapes of the weights of a batch of networks."""
  keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), batch_size))
  return jax.eval_shape(jax.vmap(network.init), keys)


def make(
  name: str,
  network: Any,
  *,
  batch_size: int,
  microbatch_size: int,
  padded: bool = False,
  **options: Any,
) -> Training:
  """The training step of a classifier: dropout, AdamW, microbatches.

  Args:
    name: of the model.
    network: that is read.
    batch_size: networks of a batch.
    microbatch_size: worked on at once.
    padded: whether to read them as a mixed batch is read.
    **options: of the model.

  Returns:
    The step, on weights.
  """
  topology = graphs.topology(network.spec)
  model = models.create(name, spec=network.spec, **options)
  optimizer = optimizers.adamw(1e-3, weight_decay=5e-4)

  def encode(weights: specs.Weights) -> Any:
    graph = graphs.encode(topology, weights)
    return graphs.flatten(graph) if padded else graph

  def loss(
    variables: Any, examples: Any, mask: jax.Array, keys: steps.Keys
  ) -> tuple[jax.Array, tuple[steps.Sums, Any]]:
    logits = model.apply(
      variables,
      encode(examples['weights']),
      train=True,
      rngs={'dropout': keys.microbatch},
    )
    sums = metrics.classification_sums(logits, examples['label'], mask)
    return sums['loss'], (sums, {})

  def init(data: Any) -> state_lib.TrainState:
    one = jax.tree.map(lambda x: jnp.zeros((1, *x.shape[1:])), data['weights'])
    variables = model.init({'params': jax.random.key(1)}, encode(one))
    return state_lib.create(variables, optimizer, key=jax.random.key(2))

  def step(state: Any, data: Any, index: jax.Array) -> Any:
    return steps.train_step(
      state,
      data,
      index,
      loss_function=loss,
      optimizer=optimizer,
      microbatch_size=microbatch_size,
    )[0]

  label = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
  data = {'weights': weight_shapes(network, batch_size), 'label': label}
  return Training(step, init, data, label)


def fill(training: Training, network: Any) -> tuple[Any, Any, Any]:
  """State, data and index with values, for calls of the compiled step."""
  batch_size = training.index.shape[0]
  keys = jax.random.split(jax.random.key(0), batch_size)
  data = {
    'weights': jax.jit(jax.vmap(network.init))(keys),
    'label': jnp.arange(batch_size) % 10,
  }
  return jax.jit(training.init)(data), data, jnp.arange(batch_size)
