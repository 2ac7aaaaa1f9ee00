# SPDX-License-Identifier: Apache-2.0
"""Trains all runs of one shape at once, in a scan: the engine for accelerators.

One program per shape and activation vocabulary: activations and residuals of
the runs are data. Not for CPUs, where a convolution inside a scan is slow.
"""

from collections.abc import Sequence
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import networks
from ng_jax.data.cnn_zoo import adam
from ng_jax.data.cnn_zoo import pieces
from ng_jax.data.cnn_zoo import pixels as pixels_lib
from ng_jax.data.cnn_zoo import runs as runs_lib


def train(
  runs: Sequence[runs_lib.Run],
  state: dict[str, Any],
  pixels: pixels_lib.Pixels,
  rows: np.ndarray,
  first_step: int,
) -> dict[str, Any]:
  """Makes optimizer steps, one per batch, of all runs at once.

  Args:
    runs: of one shape.
    state: of `adam.init`, leaves [num_runs, ...].
    pixels: to train on.
    rows: [num_runs, num_steps, batch_size] int32, -1 for none.
    first_step: steps made before.

  Returns:
    The next state. Jit: no, it is host code around one compiled function.
  """
  names, activations, residuals = _describe(runs)
  hyper = adam.Hyper(
    np.array([run.learning_rate for run in runs], np.float32),
    np.array([run.weight_decay for run in runs], np.float32),
    np.full(len(runs), first_step, np.int32),
  )
  found: dict[str, Any] = _train(
    state, hyper, activations, residuals, rows, pixels, names=names
  )
  return found


def test(
  runs: Sequence[runs_lib.Run],
  weights: Any,
  pixels: pixels_lib.Pixels,
  rows: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """Counts right answers of all runs.

  Args:
    runs: of one shape.
    weights: leaves [num_runs, ...].
    pixels: to test on.
    rows: [num_batches, batch_size] int32, -1 for none.

  Returns:
    Numbers of right answers [num_runs] int, summed cross-entropies [num_runs]
    float. Jit: no.
  """
  names, activations, residuals = _describe(runs)
  correct, loss = _test(
    weights, activations, residuals, rows, pixels, names=names
  )
  return np.rint(correct).astype(int), np.asarray(loss, np.float64)


def _describe(
  runs: Sequence[runs_lib.Run],
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
  """Vocabulary, and activations and residuals [num_runs, layers] int32."""
  used = {name for run in runs for name in run.network.layer_activations}
  names = tuple(sorted(used))
  activations = [
    [names.index(name) for name in run.network.layer_activations]
    for run in runs
  ]
  residuals = [run.network.residual for run in runs]
  return names, np.array(activations, np.int32), np.array(residuals, np.int32)


@functools.partial(jax.jit, static_argnames='names')
def _train(
  state: Any,
  hyper: adam.Hyper,
  activations: jax.Array,
  residuals: jax.Array,
  rows: jax.Array,
  pixels: pixels_lib.Pixels,
  *,
  names: tuple[str, ...],
) -> Any:
  def one_step(
    state: Any,
    hyper: adam.Hyper,
    activation: jax.Array,
    residual: jax.Array,
    chosen: jax.Array,
  ) -> Any:
    x, labels, mask = pixels_lib.take(pixels, chosen)

    def loss(weights: Any) -> jax.Array:
      last = _last_map(weights, x, activation, residual, names)
      return pieces.mean_loss(weights['linear'], last, labels, mask)

    return adam.step(state, jax.grad(loss)(state['weights']), hyper)

  def body(carry: Any, chosen: jax.Array) -> tuple[Any, None]:
    state, hyper = carry
    state = jax.vmap(one_step)(state, hyper, activations, residuals, chosen)
    return (state, hyper._replace(step=hyper.step + 1)), None

  (state, _), _ = jax.lax.scan(body, (state, hyper), rows.swapaxes(0, 1))
  return state


@functools.partial(jax.jit, static_argnames='names')
def _test(
  weights: Any,
  activations: jax.Array,
  residuals: jax.Array,
  rows: jax.Array,
  pixels: pixels_lib.Pixels,
  *,
  names: tuple[str, ...],
) -> tuple[jax.Array, jax.Array]:
  def one(
    weights: Any, activation: jax.Array, residual: jax.Array, batch: Any
  ) -> tuple[jax.Array, jax.Array]:
    x, labels, mask = batch
    last = _last_map(weights, x, activation, residual, names)
    return pieces.score(weights['linear'], last, labels, mask)

  def batch(chosen: jax.Array) -> tuple[jax.Array, jax.Array]:
    taken = pixels_lib.take(pixels, chosen)
    found: tuple[jax.Array, jax.Array] = jax.vmap(one, (0, 0, 0, None))(
      weights, activations, residuals, taken
    )
    return found

  correct, loss = jax.lax.map(batch, rows)
  return jnp.sum(correct, axis=0), jnp.sum(loss, axis=0)


def _last_map(
  weights: Any,
  x: jax.Array,
  activation: jax.Array,
  residual: jax.Array,
  names: tuple[str, ...],
) -> jax.Array:
  """Last map of one network with traced activations and residuals [layers]."""
  functions = [networks.ACTIVATION_FUNCTIONS[name] for name in names]
  maps = [x]
  for i in range(len(weights) - 1):
    z = pieces.convolve(weights[f'conv_{i + 1}'], maps[-1])
    for start in range(i - 1):
      width = min(maps[start + 1].shape[-1], z.shape[-1])
      part = jnp.where(residual[i] == start, maps[start + 1][..., :width], 0.0)
      z = z.at[..., :width].add(part)
    maps.append(jax.lax.switch(activation[i], functions, z))
  return maps[-1]
