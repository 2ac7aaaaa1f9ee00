# SPDX-License-Identifier: Apache-2.0
"""Single edits of the weights of a chain of linear layers.

Each is a deterministic function of one network (no batch axis; `jax.vmap` for
many). `ng_jax.weights.augment` draws their arguments and applies them in the
order of the reference.
"""

import jax
import jax.numpy as jnp

from ng_jax import specs

Layers = dict[str, dict[str, jax.Array]]  # {'layer_l': {'kernel', 'bias'}}


def translate(
  weights: specs.Weights, shift: jax.Array, layer: jax.Array | int = 1
) -> Layers:
  """Moves the input: bias_j += t W_1 ... W_j.

  With layer 1 the network computes f(x + t) exactly; with a later layer it is
  the linear approximation of the reference.

  Args:
    weights: leaves [n_(l-1), n_l] and [n_l], float.
    shift: [n_0] float, t.
    layer: j, from 1 to L - 1.

  Returns:
    Weights of the same shapes. Jit: yes, `layer` may be traced.
  """
  layers = copy(weights)
  moved = shift.astype(layers['layer_1']['kernel'].dtype)
  for i in range(1, len(layers)):
    entry = layers[f'layer_{i}']
    moved = moved @ entry['kernel']
    entry['bias'] = entry['bias'] + jnp.where(layer == i, moved, 0)
  return layers


def rotate(weights: specs.Weights, angle: jax.Array) -> Layers:
  """Turns the input plane: W_1 <- R W_1, R = [[cos, -sin], [sin, cos]].

  Args:
    weights: leaves [n_(l-1), n_l] and [n_l], float, with n_0 = 2.
    angle: () float, radians.

  Returns:
    Weights of f(x R). Jit: yes.
  """
  layers = copy(weights)
  kernel = layers['layer_1']['kernel']
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  first, second = kernel[0], kernel[1]
  layers['layer_1']['kernel'] = jnp.stack(
    [cos * first - sin * second, sin * first + cos * second]
  ).astype(kernel.dtype)
  return layers


def scale_inputs(weights: specs.Weights, factor: jax.Array) -> Layers:
  """Zooms: W_1 <- s W_1, so that the network computes f(s x).

  Args:
    weights: leaves [n_(l-1), n_l] and [n_l], float.
    factor: () float, s.

  Returns:
    Weights of the same shapes. Jit: yes.
  """
  layers = copy(weights)
  layers['layer_1']['kernel'] = factor * layers['layer_1']['kernel']
  return layers


def scale_hidden(
  weights: specs.Weights, factors: tuple[jax.Array, ...]
) -> Layers:
  """Multiplies hidden units and divides their outgoing weights.

  Leaves the function of a network with positively homogeneous activations
  (ReLU, leaky ReLU) unchanged.

  Args:
    weights: leaves [n_(l-1), n_l] and [n_l], float.
    factors: one [n_l] float array per hidden layer l = 1..L-1, positive.

  Returns:
    Weights of the same shapes. Jit: yes.
  """
  layers = copy(weights)
  for i, factor in enumerate(factors, start=1):
    entry, after = layers[f'layer_{i}'], layers[f'layer_{i + 1}']
    entry['kernel'] = entry['kernel'] * factor
    entry['bias'] = entry['bias'] * factor
    after['kernel'] = after['kernel'] / factor[:, None]
  return layers


def drop_quantile(weights: specs.Weights, quantile: jax.Array) -> Layers:
  """Zeroes the entries below a quantile of the magnitudes of all entries.

  Args:
    weights: leaves [n_(l-1), n_l] and [n_l], float.
    quantile: () float in [0, 1].

  Returns:
    Weights of the same shapes. Jit: yes.
  """
  layers = copy(weights)
  magnitudes = jnp.concatenate(
    [jnp.abs(x).reshape(-1) for x in jax.tree.leaves(layers)]
  )
  return keep_entries(layers, magnitudes >= jnp.quantile(magnitudes, quantile))


def quantise(weights: specs.Weights, *, num_bits: int) -> Layers:
  """Rounds the entries of each leaf to evenly spaced values.

  The steps of a leaf are its largest magnitude divided by 2^(num_bits - 1) - 1,
  so that zero stays zero.

  Args:
    weights: leaves [n_(l-1), n_l] and [n_l], float.
    num_bits: of an entry, at least 2.

  Returns:
    Weights of the same shapes and dtypes. Jit: yes.

  Raises:
    ValueError: fewer than 2 bits.
  """
  if num_bits < 2:
    raise ValueError(
      f'num_bits must be at least 2, a sign and a value, got {num_bits}; try 8.'
    )
  num_steps = 2 ** (num_bits - 1) - 1

  def rounded(leaf: jax.Array) -> jax.Array:
    largest = jnp.max(jnp.abs(leaf))
    step = jnp.where(largest > 0, largest, 1) / num_steps
    return (jnp.round(leaf / step) * step).astype(leaf.dtype)

  return jax.tree.map(rounded, copy(weights))


def keep_entries(layers: Layers, kept: jax.Array) -> Layers:
  """Zeroes the entries whose mask is False.

  Args:
    layers: leaves of any shape.
    kept: [num_entries] bool, the leaves flattened in the tree's order.

  Returns:
    Layers of the same shapes. Jit: yes.
  """
  leaves, structure = jax.tree.flatten(layers)
  masked, start = [], 0
  for x in leaves:
    mask = kept[start : start + x.size].reshape(x.shape)
    masked.append(jnp.where(mask, x, jnp.zeros_like(x)))
    start += x.size
  return jax.tree.unflatten(structure, masked)


def num_entries(layers: Layers) -> int:
  """Number of entries of all leaves. Jit: static."""
  return sum(x.size for x in jax.tree.leaves(layers))


def copy(weights: specs.Weights) -> Layers:
  """Copies the dicts, not the arrays, so that entries can be replaced.

  Jit: yes.
  """
  return {
    name: {k: jnp.asarray(x) for k, x in layer.items()}
    for name, layer in weights.items()
  }
