# SPDX-License-Identifier: Apache-2.0
"""Fits SIRENs to images, many at once: the slow part of making a data set.

Every image gets its own network, trained by Adam on all its pixels for a fixed
number of steps. What makes it fast, measured on two CPU cores:

* groups so small that the activations of a step stay in the cache;
* pixels on the last axis, and the gradient by hand (XLA's own is slower);
* one thread per core, each with a group of its own, because a step is too small
  to be shared between cores (1.4 to 1.7 times as fast).

On other devices a whole chunk is one group. The size of a group never depends
on how many images there are, so on one kind of device an image gets the same
network to the bit in whatever chunk it comes.
"""

from collections.abc import Callable
from concurrent import futures
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ng_jax import networks
from ng_jax import numerics
from ng_jax import specs

# Activations of one step of a group, per CPU thread: about an L2 cache.
_CACHE_BYTES = 2**21
# Images of a group on other devices.
_ACCELERATOR_GROUP = 1024


def fit(
  network: networks.Siren,
  keys: jax.Array,
  images: np.ndarray,
  coordinates: np.ndarray,
  *,
  num_steps: int,
  learning_rate: float,
  keep_best: bool = False,
  dtype: str = 'float32',
  on_group: Callable[[np.ndarray], None] | None = None,
) -> tuple[dict[str, Any], np.ndarray]:
  """Fits one network to each image.

  Args:
    network: the SIREN, of which every image gets its own weights.
    keys: [num_images] typed PRNG keys, of the initial weights.
    images: [num_images, num_points, channels] float in [0, 1].
    coordinates: [num_points, 2] float, from `network.coordinates`.
    num_steps: of Adam, on all pixels.
    learning_rate: of Adam, constant.
    keep_best: return the weights of the step with the lowest loss instead of
      the last one's.
    dtype: of weights and computation, 'float32' or 'float64'.
    on_group: called with the PSNRs of each finished group, for progress.

  Returns:
    Weights with leaves [num_images, ...], and PSNR in dB [num_images] float32,
    of unclipped pixels in [0, 1]. On the host. Jit: no, it is host code around
    one compiled function.

  Raises:
    ValueError: shapes that do not fit together.
  """
  _check_shapes(network, keys, images, coordinates)
  size = group_size(network, len(coordinates))
  init = _compiled_init(network, size)
  run = _compiled_fit(
    network,
    size,
    coordinates.shape,
    num_steps=num_steps,
    learning_rate=learning_rate,
    keep_best=keep_best,
    dtype=dtype,
  )
  points = np.ascontiguousarray(coordinates.T.astype(dtype))
  key_data = np.asarray(jax.random.key_data(keys))
  targets = np.swapaxes(images, 1, 2).astype(dtype)

  def work(start: int) -> tuple[dict[str, Any], np.ndarray]:
    # The last group is filled up with its last image, and cut afterwards.
    rows = np.minimum(np.arange(start, start + size), len(images) - 1)
    found = jax.device_get(run(init(key_data[rows]), targets[rows], points))
    kept = min(size, len(images) - start)
    return jax.tree.map(lambda x: x[:kept], found)

  results = []
  pool = futures.ThreadPoolExecutor(_num_threads())
  try:
    for result in pool.map(work, range(0, len(images), size)):
      results.append(result)
      if on_group is not None:
        on_group(result[1])
  finally:
    pool.shutdown(cancel_futures=True)
  return jax.tree.map(lambda *parts: np.concatenate(parts), *results)


def group_size(network: networks.Siren, num_points: int) -> int:
  """Number of images that are fitted at once on the default device.

  Args:
    network: the SIREN.
    num_points: pixels of an image.

  Returns:
    At least 1. Jit: static.
  """
  if jax.default_backend() != 'cpu':
    return _ACCELERATOR_GROUP
  # Sine and cosine of every hidden unit at every pixel, 4 bytes each.
  per_image = 8 * num_points * sum(network.layer_sizes[1:-1])
  return max(1, min(_CACHE_BYTES // per_image, 128))


def psnr(mean_squared_error: jax.Array) -> jax.Array:
  """Peak signal-to-noise ratio of pixels in [0, 1].

  Args:
    mean_squared_error: any shape, float.

  Returns:
    In dB. Jit: yes.
  """
  smallest = jnp.finfo(mean_squared_error.dtype).tiny
  return -10.0 * jnp.log10(jnp.maximum(mean_squared_error, smallest))


def _num_threads() -> int:
  if jax.default_backend() != 'cpu':
    return 1
  known = hasattr(os, 'sched_getaffinity')
  return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1


@functools.lru_cache(maxsize=16)
def _compiled_init(network: networks.Siren, size: int) -> Callable[..., Any]:
  """Compiles the initial weights of one group, for fits with any settings."""

  def function(key_data: jax.Array) -> specs.Weights:
    return jax.vmap(network.init)(jax.random.wrap_key_data(key_data))

  key_data = jax.random.key_data(jax.random.split(jax.random.key(0), size))
  return jax.jit(function).lower(key_data).compile()


@functools.lru_cache(maxsize=16)
def _compiled_fit(
  network: networks.Siren,
  size: int,
  points_shape: tuple[int, int],
  *,
  num_steps: int,
  learning_rate: float,
  keep_best: bool,
  dtype: str,
) -> Callable[..., Any]:
  """Compiles the fit of one group, before threads ask for it at once."""
  num_points, num_inputs = points_shape
  function = functools.partial(
    _fit_group,
    network,
    num_steps=num_steps,
    learning_rate=learning_rate,
    keep_best=keep_best,
  )
  weights = {
    leaf.path: jax.ShapeDtypeStruct(
      (size, *network.spec.leaf_shape(leaf)), np.float32
    )
    for leaf in network.spec.leaves
  }
  return (
    jax.jit(function)
    .lower(
      specs.from_leaf_arrays(weights),
      jax.ShapeDtypeStruct((size, network.layer_sizes[-1], num_points), dtype),
      jax.ShapeDtypeStruct((num_inputs, num_points), dtype),
    )
    .compile()
  )


def _fit_group(
  network: networks.Siren,
  initial: specs.Weights,
  targets: jax.Array,
  points: jax.Array,
  *,
  num_steps: int,
  learning_rate: float,
  keep_best: bool,
) -> tuple[specs.Weights, jax.Array]:
  """Fits the networks of one group.

  Args as of `fit`; targets [group, channels, num_points], points [n_0, ...].
  """
  weights = jax.tree.map(lambda x: x.astype(targets.dtype), initial)
  optimizer = optax.adam(learning_rate)
  # 'nfn' networks draw pixels in [-1, 1].
  low = 0.0 if network.variant == 'dws' else -1.0
  wanted = low + (1.0 - low) * targets

  def step(carry: Any, _: None) -> tuple[Any, None]:
    weights, state, best = carry
    error, gradient = _error_and_gradient(network, weights, points, wanted)
    if keep_best:
      best = _better(best, (error, weights))
    updates, state = optimizer.update(gradient, state, weights)
    return (optax.apply_updates(weights, updates), state, best), None

  infinite = jnp.full(len(targets), jnp.inf, targets.dtype)
  best = (infinite, weights) if keep_best else None
  carry = (weights, optimizer.init(weights), best)
  (weights, _, best), _ = jax.lax.scan(step, carry, length=num_steps)
  error, _ = _error_and_gradient(network, weights, points, wanted)
  if keep_best:
    error, weights = _better(best, (error, weights))
  error = error / (1.0 - low) ** 2
  return weights, psnr(error).astype(jnp.float32)


def _error_and_gradient(
  network: networks.Siren,
  weights: specs.Weights,
  points: jax.Array,
  wanted: jax.Array,
) -> tuple[jax.Array, dict[str, Any]]:
  """Mean squared error of each network, and its gradient, by hand.

  Args:
    network: the SIREN.
    weights: leaves [group, ...].
    points: [n_0, num_points] float.
    wanted: [group, channels, num_points] float.

  Returns:
    [group] float, and the gradient like the weights. Jit: yes.
  """
  last = len(network.layer_sizes) - 1
  sines, cosines = [points], []
  for i in range(1, last + 1):
    layer = weights[f'layer_{i}']
    # The points are the same for the whole group, later values are not.
    form = 'bio,ip->bop' if i == 1 else 'bio,bip->bop'
    z = jnp.einsum(form, layer['kernel'], sines[-1])
    z = z + layer['bias'][:, :, None]
    if i < last:
      sine, cosine = numerics.sin_cos(network.w0 * z)
      sines.append(sine)
      cosines.append(cosine)
  residual = z + network.output_shift - wanted
  delta = residual * (2.0 / residual[0].size)
  gradient = {}
  for i in range(last, 0, -1):
    form = 'ip,bop->bio' if i == 1 else 'bip,bop->bio'
    gradient[f'layer_{i}'] = {
      'kernel': jnp.einsum(form, sines[i - 1], delta),
      'bias': jnp.sum(delta, axis=-1),
    }
    if i > 1:
      kernel = weights[f'layer_{i}']['kernel']
      delta = jnp.einsum('bio,bop->bip', kernel, delta)
      delta = delta * (network.w0 * cosines[i - 2])
  return jnp.mean(residual * residual, axis=(1, 2)), gradient


def _better(best: Any, new: Any) -> Any:
  """Keeps, for each network, the (error, weights) of the smaller error."""
  improved = new[0] < best[0]

  def choose(old: jax.Array, candidate: jax.Array) -> jax.Array:
    mask = improved.reshape(-1, *[1] * (old.ndim - 1))
    return jnp.where(mask, candidate, old)

  return jax.tree.map(choose, best, new)


def _check_shapes(
  network: networks.Siren,
  keys: jax.Array,
  images: np.ndarray,
  coordinates: np.ndarray,
) -> None:
  expected = (len(keys), len(coordinates), network.layer_sizes[-1])
  if tuple(images.shape) != expected or not len(keys):
    raise ValueError(
      'images must be [num_images, num_points, channels], with one key an '
      'image, one coordinate a point and the channels of the network, '
      f'{expected}, got {tuple(images.shape)}; flatten the pixels, or choose a '
      'network with that many outputs.'
    )
