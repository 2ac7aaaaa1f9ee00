# SPDX-License-Identifier: Apache-2.0
"""The training and evaluation step of one device, as pure functions.

A step knows the name of the device axis, or None, and nothing else of where
it runs; `ng_jax.train.devices` makes it parallel. Gradients and metrics are
sums over real examples; they are added over microbatches and devices and
divided by the number of real examples at the very end.

Randomness. The key of the run is folded with the step and then
* with 0 and the position of an example in the whole batch, for what is drawn
  per example (augmentation): the same for any microbatches and devices;
* with 1 and the number of the microbatch in the whole batch, for what a model
  draws for all its graphs at once (dropout): the same for any number of
  devices as long as the size of the microbatches is the same.

Batch norm. A microbatch is normalised by the statistics of its own real
examples, as in PyTorch with accumulated gradients or several devices. All
microbatches of a step start from the same running statistics; the step ends
with the mean of what each makes of them, weighted by its number of real
examples. So they move once per step, whatever the number of microbatches, and
the result is the same for any number of devices as long as the size of the
microbatches is the same; it does depend on that size.
"""

from collections.abc import Callable
import dataclasses
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax

from ng_jax.train import state as state_lib


class Keys(NamedTuple):
  """Keys of a microbatch.

  Attributes:
    examples: [num_examples] typed keys, one per example.
    microbatch: [] typed key for the whole microbatch.
  """

  examples: jax.Array
  microbatch: jax.Array


_Totals = TypeVar('_Totals')
Sums = dict[str, jax.Array]
# (variables, examples, mask [num_examples] bool, keys) -> (sum of the losses of
# real examples [], (sums over real examples, which hold at least 'count' [],
# and the moved batch_stats, {} for a model without)).
LossFunction = Callable[
  [Any, Any, jax.Array, Keys], tuple[jax.Array, tuple[Sums, Any]]
]
# (variables, examples, mask) -> (sums over real examples, results per example
# [num_examples, ...]).
MetricFunction = Callable[
  [Any, Any, jax.Array], tuple[Sums, dict[str, jax.Array]]
]


def gather(data: Any, index: jax.Array) -> tuple[Any, jax.Array]:
  """Takes rows of a data set that lies on the device.

  Args:
    data: tree of arrays [num_rows, ...].
    index: [num_examples] int32; negative is padding.

  Returns:
    The tree of [num_examples, ...], padding being copies of row 0, and the
    mask [num_examples] bool of real examples. Jit: yes.
  """
  rows = jnp.maximum(index, 0)
  return jax.tree.map(lambda leaf: leaf[rows], data), index >= 0


def train_step(
  state: state_lib.TrainState,
  data: Any,
  index: jax.Array,
  *,
  loss_function: LossFunction,
  optimizer: optax.GradientTransformation,
  microbatch_size: int = 0,
  axis_name: str | None = None,
) -> tuple[state_lib.TrainState, Sums]:
  """One optimizer step on the mean loss of all real examples.

  Args:
    state: of the run, equal on all devices.
    data: tree of arrays [num_rows, ...], the whole data set.
    index: [num_examples] int32, this device's rows; negative is padding.
    loss_function: see `LossFunction`; summed, not averaged.
    optimizer: gets the gradient of the mean loss.
    microbatch_size: examples worked on at once, a divisor of num_examples; 0
      for all. Gradients are added over the microbatches, so this bounds
      memory (and keeps temporaries in cache) without changing the result,
      unless the model has batch norms.
    axis_name: device axis, None for a single device.

  Returns:
    The next state, and the sums over the batch together with
    'gradient_norm' [], the norm of the mean gradient. Jit: yes.
  """
  numbers, microbatches = _cut(index, microbatch_size, axis_name)
  key = jax.random.fold_in(state.key, state.step)

  def gradient(number: jax.Array, rows: jax.Array) -> tuple[Any, Sums, Any]:
    examples, mask = gather(data, rows)
    keys = _keys(key, number, rows.size)

    def loss(params: Any) -> tuple[jax.Array, tuple[Sums, Any]]:
      variables = {**state.variables, 'params': params}
      return loss_function(variables, examples, mask, keys)

    (_, (sums, moved)), grads = jax.value_and_grad(loss, has_aux=True)(
      state.params
    )
    weighted = jax.tree.map(lambda leaf: sums['count'] * leaf, moved)
    return grads, sums, weighted

  totals = _add_up(gradient, numbers, microbatches)
  if axis_name is not None:
    totals = jax.lax.psum(totals, axis_name)
  grads, sums, moved = totals
  grads, moved = _divide((grads, moved), sums['count'])
  updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
  state = dataclasses.replace(
    state,
    step=state.step + 1,
    params=optax.apply_updates(state.params, updates),
    # A batch of nothing but padding has no statistics.
    batch_stats=jax.tree.map(
      lambda new, old: jnp.where(sums['count'] > 0, new, old),
      moved,
      state.batch_stats,
    ),
    opt_state=opt_state,
  )
  return state, {**sums, 'gradient_norm': optax.tree.norm(grads)}


def statistics_step(
  state: state_lib.TrainState,
  data: Any,
  index: jax.Array,
  *,
  loss_function: LossFunction,
  microbatch_size: int = 0,
  axis_name: str | None = None,
) -> tuple[Any, jax.Array]:
  """What a training step would add to running statistics, and no more.

  Args:
    state: of the run, equal on all devices; its parameters are those that the
      statistics are of, its running statistics are not looked at.
    data: tree of arrays [num_rows, ...], the whole data set.
    index: [num_examples] int32, this device's rows; negative is padding.
    loss_function: that of training.
    microbatch_size: that of training; the statistics are of microbatches.
    axis_name: device axis, None for a single device.

  Returns:
    The batch_stats of the microbatches of all devices, each times its number
    of real examples, added up; and the number of real examples []. Jit: yes.
  """
  numbers, microbatches = _cut(index, microbatch_size, axis_name)
  key = jax.random.fold_in(state.key, state.step)
  # Without old statistics, those of the batch are what is noted.
  variables = {**state.variables}
  del variables['batch_stats']

  def measure(number: jax.Array, rows: jax.Array) -> tuple[Any, jax.Array]:
    examples, mask = gather(data, rows)
    keys = _keys(key, number, rows.size)
    _, (sums, noted) = loss_function(variables, examples, mask, keys)
    weighted = jax.tree.map(lambda leaf: sums['count'] * leaf, noted)
    return weighted, sums['count']

  totals = _add_up(measure, numbers, microbatches)
  if axis_name is not None:
    totals = jax.lax.psum(totals, axis_name)
  return totals


def eval_step(
  state: state_lib.TrainState,
  data: Any,
  index: jax.Array,
  *,
  metric_function: MetricFunction,
  microbatch_size: int = 0,
  axis_name: str | None = None,
) -> tuple[Sums, dict[str, jax.Array]]:
  """Sums over the real examples of a batch, and results for each of them.

  Args:
    state: of the run, equal on all devices.
    data: tree of arrays [num_rows, ...], the whole data set.
    index: [num_examples] int32, this device's rows; negative is padding.
    metric_function: see `MetricFunction`.
    microbatch_size: examples worked on at once; 0 for all.
    axis_name: device axis, None for a single device.

  Returns:
    Sums over the batch of all devices, and results [num_examples of all
    devices, ...] in the order of the index. Jit: yes.
  """
  size = microbatch_size or index.shape[0]
  microbatches = index.reshape(-1, size)

  def measure(rows: jax.Array) -> tuple[Sums, dict[str, jax.Array]]:
    examples, mask = gather(data, rows)
    return metric_function(state.variables, examples, mask)

  if microbatches.shape[0] == 1:
    sums, results = measure(microbatches[0])
  else:
    sums, results = jax.lax.map(measure, microbatches)
    sums = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), sums)
    results = jax.tree.map(
      lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), results
    )
  if axis_name is not None:
    sums = jax.lax.psum(sums, axis_name)
    results = jax.lax.all_gather(results, axis_name, axis=0, tiled=True)
  return sums, results


def _cut(
  index: jax.Array, microbatch_size: int, axis_name: str | None
) -> tuple[jax.Array, jax.Array]:
  """Numbers of a device's microbatches in the whole batch, and their rows."""
  microbatches = index.reshape(-1, microbatch_size or index.shape[0])
  numbers = jnp.arange(len(microbatches), dtype=jnp.int32)
  if axis_name is not None:
    numbers += jax.lax.axis_index(axis_name) * len(microbatches)
  return numbers, microbatches


def _keys(key: jax.Array, number: jax.Array, size: int) -> Keys:
  """Keys of microbatch `number`, see the module's docstring."""
  positions = number * size + jnp.arange(size)
  examples = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(
    jax.random.fold_in(key, 0), positions
  )
  microbatch = jax.random.fold_in(jax.random.fold_in(key, 1), number)
  return Keys(examples, microbatch)


def _divide(totals: Any, count: jax.Array) -> Any:
  """Means over real examples; zeros where there are none."""
  count = jnp.maximum(count, 1)
  return jax.tree.map(lambda leaf: leaf / count.astype(leaf.dtype), totals)


def _add_up(
  measure: Callable[[jax.Array, jax.Array], _Totals],
  numbers: jax.Array,
  microbatches: jax.Array,
) -> _Totals:
  """Adds what the microbatches give, one after the other."""
  if len(microbatches) == 1:
    return measure(numbers[0], microbatches[0])
  shapes = jax.eval_shape(measure, numbers[0], microbatches[0])
  zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

  def body(
    totals: _Totals, inputs: tuple[jax.Array, jax.Array]
  ) -> tuple[_Totals, None]:
    return jax.tree.map(jnp.add, totals, measure(*inputs)), None

  return jax.lax.scan(body, zeros, (numbers, microbatches))[0]
