# SPDX-License-Identifier: Apache-2.0
"""Linear layers with the initialisers of the reference implementation.

The reference is PyTorch: weights and biases are drawn from
U(-1/sqrt(fan_in), 1/sqrt(fan_in)), and the transformer's blocks use Xavier
uniform weights with zero biases. `SplitLinear` is a linear map of several
concatenated inputs whose products are taken one by one, so that what depends on
a node alone is computed once a node and not once an edge.

A linear map that only linear maps read need not be taken at all: with
`deferred=True` a layer returns its input and parameters (`Deferred`), and each
reader multiplies its kernel with that kernel, which is small.
"""

from collections.abc import Callable
from typing import Any, cast, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import numerics

Initializer = Callable[..., jax.Array]  # (key, shape, dtype) -> array
Dtype = Any


class Deferred(NamedTuple):
  """x W + b for several x, not yet multiplied out; see the module's docstring.

  Attributes:
    groups: arrays [..., in] float.
    kernel: W, [in, features].
    bias: b, [features].
  """

  groups: tuple[jax.Array, ...]
  kernel: jax.Array
  bias: jax.Array


# Edge groups as layers take them, perhaps deferred.
Groups = tuple[jax.Array, ...] | Deferred


def multiplied_out(groups: Groups, dtype: Dtype = None) -> Any:
  """The groups as arrays.

  Args:
    groups: arrays, or a deferred product of them.
    dtype: computation dtype of the product.

  Returns:
    Arrays [..., features], one per group. Jit: yes.
  """
  if not isinstance(groups, Deferred):
    return groups
  *arrays, kernel, bias = nn.dtypes.promote_dtype(
    *groups.groups, groups.kernel, groups.bias, dtype=dtype
  )
  return tuple(numerics.linear(x, kernel, bias) for x in arrays)


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
  def __call__(self, x: Any) -> Any:
    """Applies the layer.

    Args:
      x: [..., in] float; or edge groups, arrays or deferred.

    Returns:
      [..., features], of edge groups a tuple. Jit: yes.
    """
    (product,) = _products(self, (x,))
    return product


class DeferredLinear(nn.Module):
  """A linear layer that leaves the product to those who read it.

  Attributes:
    features: output width.
  """

  features: int

  @nn.compact
  def __call__(self, groups: tuple[jax.Array, ...]) -> Deferred:
    """Declares the parameters.

    Args:
      groups: arrays [..., in] float.

    Returns:
      Their product with the kernel, deferred. Jit: yes.
    """
    kernel, bias = linear_params(self, groups[0].shape[-1], self.features)
    return Deferred(groups, kernel, cast(jax.Array, bias))


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
  def __call__(self, groups: Groups) -> tuple[tuple[jax.Array, jax.Array], ...]:
    """Applies the layer.

    Args:
      groups: arrays [..., in] float, or deferred.

    Returns:
      The two halves of the output, [..., features] each, of every group. Jit:
      yes.
    """
    kernel, bias = linear_params(self, _width(groups), 2 * self.features)
    arrays, kernel, shift = _compose(groups, kernel, bias)
    *arrays, kernel, shift = nn.dtypes.promote_dtype(
      *arrays, kernel, shift, dtype=self.dtype
    )
    half = self.features
    return tuple(
      (
        numerics.linear(x, kernel[:, :half], shift[:half]),
        numerics.linear(x, kernel[:, half:], shift[half:]),
      )
      for x in arrays
    )


def _width(x: Any) -> int:
  """Features of an array, of a tuple of arrays, or of a deferred product."""
  last = x.bias if isinstance(x, Deferred) else jax.tree.leaves(x)[0]
  return int(last.shape[-1])


def _compose(
  x: Any, kernel: jax.Array, bias: jax.Array | None
) -> tuple[Any, jax.Array, jax.Array | None]:
  """What is to be multiplied, with which kernel and bias."""
  if not isinstance(x, Deferred):
    return x, kernel, bias
  shift = x.bias @ kernel
  return x.groups, x.kernel @ kernel, shift if bias is None else shift + bias


def _products(
  layer: Linear | SplitLinear, inputs: tuple[Any, ...]
) -> tuple[Any, ...]:
  """Products of the inputs with their own rows of one kernel."""
  widths = [_width(x) for x in inputs]
  kernel, bias = linear_params(
    layer,
    sum(widths),
    layer.features,
    use_bias=layer.use_bias,
    init_scheme=layer.init_scheme,
  )
  operands = []
  start = 0
  for x, width in zip(inputs, widths, strict=True):
    shift = bias if start == 0 else None
    operands.append(_compose(x, kernel[start : start + width], shift))
    start += width
  leaves, treedef = jax.tree.flatten(operands)
  leaves = nn.dtypes.promote_dtype(*leaves, dtype=layer.dtype)
  return tuple(
    jax.tree.map(lambda leaf, rows=rows, b=b: numerics.linear(leaf, rows, b), x)
    for x, rows, b in jax.tree.unflatten(treedef, leaves)
  )


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
