# SPDX-License-Identifier: Apache-2.0
"""Equivariant layers on sets, several of one shape at once (DWSNets).

A layer of DWSNets has dozens of small set layers. Those of one shape are run
together, along a leading axis; compiling them one by one takes several times as
long. Their parameters stay apart, each with the name of its map.
"""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import numerics
from ng_jax.layers import draws

POOLINGS = ('max', 'mean', 'sum')
SET_LAYERS = ('attention', 'deep_sets')
# kernel [in, out] and bias [out], or None.
Affine = tuple[jax.Array, jax.Array | None]


def pool(x: jax.Array, *, axis: int, method: str) -> jax.Array:
  """Reduces one axis.

  Args:
    x: any shape, float.
    axis: to reduce.
    method: 'max', 'mean' or 'sum'.

  Returns:
    `x` without the axis. Jit: yes.
  """
  if method == 'max':
    return numerics.max_along(x, axis=axis)
  return {'mean': jnp.mean, 'sum': jnp.sum}[method](x, axis=axis)


class AffineParams(nn.Module):
  """Parameters of a linear map, drawn as DWSNets draws them.

  Kernel: Xavier normal times sqrt(2 fan_in / fan_out) times init_scale. Bias:
  U(-1e-4, 1e-4).

  Attributes:
    features: output width.
    init_scale: factor of the initial kernel.
    use_bias: whether there is a bias.
  """

  features: int
  init_scale: float = 1.0
  use_bias: bool = True

  @nn.compact
  def __call__(self, fan_in: int, numbers: draws.Draws | None) -> Affine:
    """Declares the parameters.

    Args:
      fan_in: input width.
      numbers: to draw from when initialising, else None.

    Returns:
      kernel [fan_in, features] and bias [features] or None. Jit: yes.
    """
    deviation = self.init_scale * (2.0 * fan_in / self.features) ** 0.5
    deviation *= (2.0 / (fan_in + self.features)) ** 0.5

    def draw_kernel(_: jax.Array, shape: tuple[int, ...]) -> jax.Array:
      return deviation * numbers.normal(shape) if numbers else jnp.zeros(shape)

    def draw_bias(_: jax.Array, shape: tuple[int, ...]) -> jax.Array:
      return 1e-4 * numbers.uniform(shape) if numbers else jnp.zeros(shape)

    kernel = self.param('kernel', draw_kernel, (fan_in, self.features))
    if not self.use_bias:
      return kernel, None
    return kernel, self.param('bias', draw_bias, (self.features,))


class SetLayerParams(nn.Module):
  """Parameters of one set layer.

  Attributes:
    kind: 'attention' or 'deep_sets'.
    features: output width.
    init_scale: factor of the initial kernels.
  """

  kind: str
  features: int
  init_scale: float = 1.0

  @nn.compact
  def __call__(
    self, fan_in: int, numbers: draws.Draws | None
  ) -> tuple[Affine, ...]:
    """Declares the parameters.

    Args:
      fan_in: input width.
      numbers: to draw from when initialising, else None.

    Returns:
      query, key, value and output maps, or (each, pooled). Jit: yes.
    """
    widths = {
      'attention': {
        'query': fan_in,
        'key': fan_in,
        'value': fan_in,
        'out': self.features,
      },
      'deep_sets': {'each': fan_in, 'pooled': fan_in},
    }[self.kind]
    return tuple(
      AffineParams(self.features, self.init_scale, name != 'pooled', name=name)(
        width, numbers
      )
      for name, width in widths.items()
    )


def apply_set_layers(
  inputs: Sequence[jax.Array],
  params: Sequence[tuple[Affine, ...]],
  *,
  kind: str,
  num_heads: int,
  pooling: str,
  dtype: Any = None,
) -> list[jax.Array]:
  """Runs set layers of one shape together.

  Args:
    inputs: per layer [num_graphs, set_size, in_features].
    params: per layer, of `SetLayerParams`.
    kind: 'attention' or 'deep_sets'.
    num_heads: of the attention; divides the output width.
    pooling: of deep sets.
    dtype: computation dtype; None follows inputs and parameters.

  Returns:
    Per layer [num_graphs, set_size, features]. Jit: yes.
  """
  leaves, treedef = jax.tree.flatten((tuple(inputs), tuple(params)))
  leaves = nn.dtypes.promote_dtype(*leaves, dtype=dtype)
  inputs, params = jax.tree.unflatten(treedef, leaves)
  x = jnp.stack(inputs)
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
  if kind == 'attention':
    result = _attend(x, stacked, num_heads)
  else:
    each, (kernel, _) = stacked
    pooled = pool(x, axis=2, method=pooling)
    result = _affine(x, each) - (pooled @ kernel)[:, :, None]
  return [result[i] for i in range(len(inputs))]


def _affine(x: jax.Array, params: Affine) -> jax.Array:
  """[maps, graphs, set, in] times [maps, in, out]."""
  kernel, bias = params
  maps, num_graphs, set_size, _ = x.shape
  product = x.reshape(maps, num_graphs * set_size, -1) @ kernel
  if bias is not None:
    product = product + bias[:, None]
  return product.reshape(maps, num_graphs, set_size, -1)


def _attend(
  x: jax.Array, params: tuple[Affine, ...], num_heads: int
) -> jax.Array:
  """Set attention block without layer norm (Lee et al., 2019)."""
  query, key, value = (_affine(x, p) for p in params[:3])
  split = (*query.shape[:-1], num_heads, query.shape[-1] // num_heads)
  heads = [part.reshape(split) for part in (query, key, value)]
  logits = jnp.einsum('gbnhe,gbmhe->gbhnm', heads[0], heads[1])
  # As in the reference, scaled by the width of all heads together.
  mix = nn.softmax(logits * query.shape[-1] ** -0.5)
  # A mean keeps what all values share; without it, gradients of the keys are
  # small differences of large numbers.
  shared = jax.lax.stop_gradient(jnp.mean(heads[2], axis=2, keepdims=True))
  read = jnp.einsum('gbhnm,gbmhe->gbnhe', mix, heads[2] - shared) + shared
  result = query + read.reshape(query.shape)
  return result + nn.relu(_affine(result, params[3]))
