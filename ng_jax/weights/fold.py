# SPDX-License-Identifier: Apache-2.0
"""Folds the running statistics of batch norms into their scale and shift.

A graph shows scale and shift of a normalisation layer and no buffers (spec
1.11). In inference a batch norm is y = gamma (x - mean) / sqrt(var + eps) +
beta, so that gamma / sqrt(var + eps) and beta - gamma mean / sqrt(var + eps)
say all that the four arrays do.
"""

import jax.numpy as jnp

from ng_jax import specs

_MEANS = ('mean', 'running_mean')
_VARIANCES = ('running_var', 'var')


def fold_batch_norm(
  spec: specs.NetworkSpec, weights: specs.Weights, *, epsilon: float = 1e-5
) -> dict[str, object]:
  """Folds running means and variances; the network's function stays the same.

  Args:
    spec: of the network. A norm is a block of type 'norm'; its statistics are
      buffers named 'mean' or 'running_mean' and 'var' or 'running_var' that
      fill one of its two neuron sets. Norms without buffers are left alone.
    weights: leaves [*batch, *leaf_shape].
    epsilon: of the norms.

  Returns:
    Weights of the same spec, with mean 0 and variance 1 - epsilon in the
    buffers. Jit: yes, with the spec static.

  Raises:
    ValueError: weights that do not fit; a norm with one of the two buffers
      only, or without an array for the shift.
  """
  specs.check_weights(spec, weights)
  arrays = dict(specs.leaf_arrays(weights))
  for block in spec.blocks:
    if block.type != 'norm':
      continue
    buffers = [
      leaf.path
      for leaf in spec.leaves
      if leaf.kind == 'buffer' and leaf.fills in (block.source, block.target)
    ]
    means = [p for p in buffers if p.split('/')[-1] in _MEANS]
    variances = [p for p in buffers if p.split('/')[-1] in _VARIANCES]
    shifts = [
      leaf.path
      for leaf in spec.leaves
      if leaf.kind == 'node' and leaf.fills == block.target
    ]
    if not means and not variances:
      continue
    if not len(means) == len(variances) == len(shifts) == 1:
      raise ValueError(
        f'norm {block.name!r} must have one running mean, one running variance '
        f'and one shift to fold them into, got {means}, {variances} and '
        f'{shifts}.'
      )
    (scale,) = [
      leaf.path
      for leaf in spec.leaves
      if leaf.kind == 'edge' and leaf.fills == block.name
    ]
    mean, variance = arrays[means[0]], arrays[variances[0]]
    gain = jnp.asarray(arrays[scale]) / jnp.sqrt(variance + epsilon)
    arrays[scale] = gain
    arrays[shifts[0]] = arrays[shifts[0]] - gain * mean
    arrays[means[0]] = jnp.zeros_like(mean)
    arrays[variances[0]] = jnp.full_like(variance, 1 - epsilon)
  return specs.from_leaf_arrays(arrays)
