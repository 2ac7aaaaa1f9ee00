# SPDX-License-Identifier: Apache-2.0
"""Trains one CNN by compiled pieces, a layer each: the engine for CPUs.

The pieces of a layer are compiled once per (inputs, outputs, kernel) and shared
by all architectures: some seconds for a whole zoo instead of some seconds for
each shape. A piece is so large (milliseconds) that calling it from Python costs
nothing, and convolutions outside a scan are several times as fast on a CPU.
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

_take = jax.jit(pixels_lib.take)


def train(
  runs: Sequence[runs_lib.Run],
  state: dict[str, Any],
  pixels: pixels_lib.Pixels,
  rows: np.ndarray,
  first_step: int,
) -> dict[str, Any]:
  """Makes optimizer steps, one per batch.

  Args:
    runs: one run.
    state: of `adam.init`, leaves [1, ...].
    pixels: to train on.
    rows: [1, num_steps, batch_size] int32, -1 for none.
    first_step: steps made before.

  Returns:
    The next state. Jit: no, it calls compiled pieces.
  """
  (run,) = runs
  layers = _split(jax.tree.map(lambda leaf: leaf[0], state))
  for i, chosen in enumerate(rows[0]):
    hyper = adam.Hyper(
      np.float32(run.learning_rate),
      np.float32(run.weight_decay),
      np.int32(first_step + i),
    )
    layers = _step(run.network, layers, _take(pixels, chosen), hyper)
  return jax.tree.map(lambda leaf: leaf[None], _join(layers))


def test(
  runs: Sequence[runs_lib.Run],
  weights: Any,
  pixels: pixels_lib.Pixels,
  rows: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """Counts right answers.

  Args:
    runs: one run.
    weights: leaves [1, ...].
    pixels: to test on.
    rows: [num_batches, batch_size] int32, -1 for none.

  Returns:
    Number of right answers [1] int, summed cross-entropy [1] float. Jit: no.
  """
  (run,) = runs
  weights = jax.tree.map(lambda leaf: leaf[0], weights)
  found = []
  for chosen in rows:
    x, labels, mask = _take(pixels, chosen)
    maps, _ = _forward(run.network, weights, x)
    found.append(_score(weights['linear'], maps[-1], labels, mask))
  sums: np.ndarray = np.sum(
    np.asarray(jax.device_get(found), np.float64), axis=0
  )
  return np.rint(sums[:1]).astype(int), sums[1:]


def _split(state: dict[str, Any]) -> dict[str, Any]:
  """{'weights': {layer: ...}, ...} to {layer: {'weights': ..., ...}}."""
  return {
    name: {part: state[part][name] for part in state}
    for name in state['weights']
  }


def _join(layers: dict[str, Any]) -> dict[str, Any]:
  """Inverse of `_split`."""
  return {
    part: {name: layer[part] for name, layer in layers.items()}
    for part in layers['linear']
  }


def _step(
  network: networks.Cnn, layers: dict[str, Any], batch: Any, hyper: adam.Hyper
) -> dict[str, Any]:
  """One optimizer step: all pieces forward, then backward."""
  x, labels, mask = batch
  weights = {name: layer['weights'] for name, layer in layers.items()}
  maps, sums = _forward(network, weights, x)
  layers = dict(layers)
  layers['linear'], gradient = _readout_back(
    layers['linear'], maps[-1], labels, mask, hyper
  )
  # Gradients of maps that residuals have reached before their own layer has.
  waiting: dict[int, jax.Array] = {}
  for i in reversed(range(network.num_convolutions)):
    gradient = _activate_back(sums[i], gradient, network.layer_activations[i])
    start = network.residual[i]
    if start >= 0:
      reached = waiting.get(start + 1)
      if reached is None:
        reached = jnp.zeros_like(maps[start + 1])
      waiting[start + 1] = _add(reached, gradient)
    name = f'conv_{i + 1}'
    layers[name], gradient = _convolve_back(
      layers[name], maps[i], gradient, hyper, first=i == 0
    )
    if i in waiting:
      gradient = _add(gradient, waiting.pop(i))
  return layers


def _forward(
  network: networks.Cnn, weights: Any, x: jax.Array
) -> tuple[list[jax.Array], list[jax.Array]]:
  """Activated maps, the images first, and what was activated."""
  maps, sums = [x], []
  for i, name in enumerate(network.layer_activations):
    z = _convolve(weights[f'conv_{i + 1}'], maps[-1])
    if network.residual[i] >= 0:
      z = _add(z, maps[network.residual[i] + 1])
    sums.append(z)
    maps.append(_activate(z, name))
  return maps, sums


@jax.jit
def _convolve(layer: Any, x: jax.Array) -> jax.Array:
  return pieces.convolve(layer, x)


@functools.partial(jax.jit, static_argnames='first')
def _convolve_back(
  layer: Any,
  x: jax.Array,
  gradient: jax.Array,
  hyper: adam.Hyper,
  *,
  first: bool,
) -> tuple[Any, jax.Array]:
  """The updated layer, and the gradient of its input (useless if first)."""
  weights = layer['weights']
  if first:
    _, pull = jax.vjp(lambda w: pieces.convolve(w, x), weights)
    return adam.step(layer, pull(gradient)[0], hyper), gradient
  _, pull = jax.vjp(pieces.convolve, weights, x)
  own, before = pull(gradient)
  return adam.step(layer, own, hyper), before


@jax.jit
def _add(z: jax.Array, other: jax.Array) -> jax.Array:
  """Adds on the channels that both have; the shape is that of the first."""
  width = min(z.shape[-1], other.shape[-1])
  return z.at[..., :width].add(other[..., :width])


@functools.partial(jax.jit, static_argnums=1)
def _activate(z: jax.Array, name: str) -> jax.Array:
  return networks.ACTIVATION_FUNCTIONS[name](z)


@functools.partial(jax.jit, static_argnums=2)
def _activate_back(z: jax.Array, gradient: jax.Array, name: str) -> jax.Array:
  _, pull = jax.vjp(networks.ACTIVATION_FUNCTIONS[name], z)
  return pull(gradient)[0]


@jax.jit
def _readout_back(
  layer: Any,
  last: jax.Array,
  labels: jax.Array,
  mask: jax.Array,
  hyper: adam.Hyper,
) -> tuple[Any, jax.Array]:
  """The updated linear layer, and the gradient of the last map."""
  own, before = jax.grad(pieces.mean_loss, argnums=(0, 1))(
    layer['weights'], last, labels, mask
  )
  return adam.step(layer, own, hyper), before


@jax.jit
def _score(
  linear: Any, last: jax.Array, labels: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
  return pieces.score(linear, last, labels, mask)
