# SPDX-License-Identifier: Apache-2.0
"""Linear layers with the initialisers of the reference implementation.

The reference is PyTorch: weights and biases are drawn from
U(-1/sqrt(fan_in), 1/sqrt(fan_in)), and the transformer's blocks use Xavier
uniform weights with zero biases. `SplitLinear` is a linear map of several
concatenated inputs whose products are taken one by one, so that what depends on
a node alone is computed once a node and not once an edge.
"""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import numerics

Initializer = Callable[..., jax.Array]  # (key, shape, dtype) -> array
Dtype = Any


def torch_uniform(fan_in: int) -> Initializer:
  """U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

  Args:
    fan_in: number of inputs of the layer.

  Returns:
    An initialiser (key, shape, dtype) -> array. Jit: yes.
  """

  def init(
    key: jax.Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32
  ) -> jax.Array:
    bound = fan_in**-0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


class Linear(nn.Module):
  """x W + b with W [in, features].

  Attributes:
    features: output width.
    use_bias: whether to add b.
    init_scheme: 'torch' or 'xavier' (zero bias).
    dtype: computation dtype; None follows inputs and parameters.
  """

  features: int
  use_bias: bool = True
  init_scheme: str = 'torch'
  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Applies the layer.

    Args:
      x: [..., in] float.

    Returns:
      [..., features]. Jit: yes.
    """
    (product,) = _products(self, (x,))
    return product


class SplitLinear(nn.Module):
  """Linear map of concatenated inputs, as one product per input.

  Attributes: as `Linear`.
  """

  features: int
  use_bias: bool = True
  init_scheme: str = 'torch'
  dtype: Dtype = None

  @nn.compact
  def __call__(self, *inputs: Any) -> tuple[Any, ...]:
    """Applies the layer without adding up.

    Args:
      *inputs: each [..., in_k] float, leading axes may differ; or a tuple of
        such arrays (edge groups) that take the same place.

    Returns:
      One product [..., features] per input, as a tuple where the input was one,
      the bias in the first; their sum is the layer's output. Jit: yes.
    """
    return _products(self, inputs)


class PairLinear(nn.Module):
  """A linear map to two vectors, taken as two products.

  Splitting the result of one product costs a concatenation in reverse.

  Attributes:
    features: width of each of the two.
    dtype: computation dtype.
  """

  features: int
  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Applies the layer.

    Args:
      x: [..., in] float.

    Returns:
      The two halves of the output, [..., features] each. Jit: yes.
    """
    kernel, bias = linear_params(self, x.shape[-1], 2 * self.features)
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    half = self.features
    return (
      numerics.linear(x, kernel[:, :half], bias[:half]),
      numerics.linear(x, kernel[:, half:], bias[half:]),
    )


def _products(
  layer: Linear | SplitLinear, inputs: tuple[Any, ...]
) -> tuple[Any, ...]:
  """Products of the inputs with their own rows of one kernel."""
  widths = [jax.tree.leaves(x)[0].shape[-1] for x in inputs]
  kernel, bias = linear_params(
    layer,
    sum(widths),
    layer.features,
    use_bias=layer.use_bias,
    init_scheme=layer.init_scheme,
  )
  leaves, treedef = jax.tree.flatten(inputs)
  *leaves, kernel, bias = nn.dtypes.promote_dtype(
    *leaves, kernel, bias, dtype=layer.dtype
  )
  products = []
  start = 0
  for x, width in zip(jax.tree.unflatten(treedef, leaves), widths, strict=True):
    rows = kernel[start : start + width]
    shift = bias if start == 0 else None
    products.append(
      jax.tree.map(
        lambda leaf, rows=rows, shift=shift: numerics.linear(leaf, rows, shift),
        x,
      )
    )
    start += width
  return tuple(products)


def linear_params(
  module: nn.Module,
  fan_in: int,
  features: int,
  *,
  use_bias: bool = True,
  init_scheme: str = 'torch',
) -> tuple[jax.Array, jax.Array | None]:
  """Declares the parameters of a linear layer on a module.

  Args:
    module: inside its compact call.
    fan_in: input width.
    features: output width.
    use_bias: whether there is a bias.
    init_scheme: 'torch' or 'xavier'.

  Returns:
    kernel [fan_in, features] and bias [features] or None. Jit: yes.

  Raises:
    ValueError: unknown scheme.
  """
  kernel_inits = {
    'torch': torch_uniform(fan_in),
    'xavier': nn.initializers.xavier_uniform(),
  }
  if init_scheme not in kernel_inits:
    raise ValueError(
      f'unknown init_scheme {init_scheme!r}; expected one of '
      f'{sorted(kernel_inits)}.'
    )
  kernel = module.param('kernel', kernel_inits[init_scheme], (fan_in, features))
  if not use_bias:
    return kernel, None
  bias_inits = {
    'torch': torch_uniform(fan_in),
    'xavier': nn.initializers.zeros_init(),
  }
  return kernel, module.param('bias', bias_inits[init_scheme], (features,))


def layer_norm(name: str | None = None, dtype: Dtype = None) -> nn.LayerNorm:
  """LayerNorm with the reference's epsilon, 1e-5.

  Args:
    name: of the submodule.
    dtype: computation dtype.

  Returns:
    A Flax module [..., features] -> [..., features]. Jit: yes.
  """
  return nn.LayerNorm(
    epsilon=1e-5, use_fast_variance=False, name=name, dtype=dtype
  )
