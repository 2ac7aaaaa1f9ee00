# SPDX-License-Identifier: Apache-2.0
"""A user's own network, with the interface of the families that ship."""

from collections.abc import Callable, Mapping
import dataclasses
import types
from typing import Any

import jax
import jax.numpy as jnp

from ng_jax import specs
from ng_jax.specs.inference import inferring
from ng_jax.specs.inference import modules

_NO_OPTIONS: Mapping[str, Any] = types.MappingProxyType({})
# Arrays of one network and its inputs -> a tree of arrays.
_Run = Callable[[Mapping[str, Any], jax.Array], Any]


@dataclasses.dataclass(frozen=True, eq=False)
class InferredNetwork:
  """A network whose spec was inferred; made by `from_module`.

  Attributes:
    spec: of the weights.
    input_shape: of one example.
  """

  spec: specs.NetworkSpec
  input_shape: tuple[int, ...]
  _adapter: modules.Adapter = dataclasses.field(repr=False)
  _cache: dict[Any, Any] = dataclasses.field(default_factory=dict, repr=False)

  def weights_of(self, variables: Any) -> specs.Weights:
    """The weights tree that the spec describes.

    Args:
      variables: of a Linen module; an NNX module; a function's weights.

    Returns:
      Nested dict of the same arrays: parameters, and running statistics beside
      the parameters of their layer. Jit: yes.
    """
    return specs.from_leaf_arrays(self._adapter.flatten(variables))

  def variables_of(self, weights: specs.Weights) -> Any:
    """Inverse of `weights_of`.

    Args:
      weights: leaves of one network, running statistics included.

    Returns:
      Variables by collection of a Linen module; an NNX module; the weights of
      a function. Jit: yes.

    Raises:
      ValueError: weights that do not fit the spec.
    """
    specs.check_weights(self.spec, weights)
    return self._adapter.unflatten(specs.leaf_arrays(weights))

  def apply(self, weights: specs.Weights, x: jax.Array) -> jax.Array:
    """Output of the network.

    Args:
      weights: leaves [*batch, *leaf_shape] float.
      x: [*batch or nothing, num_points, *input_shape] float.

    Returns:
      [*batch, num_points, ...], as the module gives it. Jit: yes.

    Raises:
      ValueError: weights that do not fit the spec, or inputs of another shape.
    """
    return self._map(self._adapter.apply, weights, x)

  def activations(
    self, weights: specs.Weights, x: jax.Array
  ) -> tuple[jax.Array, ...]:
    """Values of every neuron set, as the next layer reads them.

    Pixels and tokens are averaged. The values of an attention set are the
    outputs of its heads.

    Args:
      weights: leaves [*batch, *leaf_shape] float.
      x: [*batch or nothing, num_points, *input_shape] float.

    Returns:
      One array [*batch, num_points, size] per neuron set of the spec. Jit: yes.

    Raises:
      ValueError: weights that do not fit the spec, or inputs of another shape.
    """
    return self._map(self._read, weights, x)

  def _map(self, run: _Run, weights: specs.Weights, x: jax.Array) -> Any:
    """Runs one network, or a batch of them."""
    batch = specs.check_weights(self.spec, weights)
    arrays = {k: jnp.asarray(v) for k, v in specs.leaf_arrays(weights).items()}
    x = jnp.asarray(x)
    lead = x.shape[: x.ndim - len(self.input_shape)]
    if (
      x.shape[len(lead) :] != self.input_shape
      or len(lead) not in (1, len(batch) + 1)
      or (len(lead) > 1 and lead[:-1] != batch)
    ):
      raise ValueError(
        f'x must have shape [num_points, {self.input_shape}], after the batch '
        f'axes {batch} of the weights or none, got {x.shape}.'
      )
    for _ in batch:
      run = jax.vmap(run, in_axes=(0, 0 if len(lead) > 1 else None))
    return run(arrays, x)

  def _read(
    self, arrays: Mapping[str, Any], x: jax.Array
  ) -> tuple[jax.Array, ...]:
    program, readouts = self._program(arrays, x)
    leaves = [arrays[path] for path in self._adapter.arrays]

    def read(point: jax.Array) -> tuple[jax.Array, ...]:
      numbers = [readout.number for readout in readouts]
      found = program.run([*leaves, point[None]], numbers)
      return tuple(
        readout.take(array)
        for readout, array in zip(readouts, found, strict=True)
      )

    return jax.vmap(read)(x)

  def _program(self, arrays: Mapping[str, Any], x: jax.Array) -> Any:
    """The program for these dtypes, traced once for each."""
    key = (*(str(a.dtype) for a in arrays.values()), str(x.dtype))
    if key not in self._cache:
      program, assembled = inferring.analyse(self._adapter, arrays, x)
      self._cache[key] = (program, assembled.readouts)
    return self._cache[key]


def from_module(
  module: Any,
  variables: Any,
  example_input: Any,
  *,
  call_options: Mapping[str, Any] = _NO_OPTIONS,
  token_kind: str = 'buffer',
  check: bool = True,
) -> InferredNetwork:
  """Makes a readable network of a user's own.

  Args:
    module: a Flax Linen module, an NNX module, or a function (weights, x) -> y.
    variables: Linen: variables or bare parameters. NNX: None. A function: its
      weights.
    example_input: [num_points, *input_shape]; only shape and dtype count.
    call_options: keyword arguments of each call, such as {'train': False}.
    token_kind: see `specs.infer`.
    check: see `specs.infer`.

  Returns:
    The network: its spec, `weights_of`, `apply` and `activations`, ready for
    probe features. Jit: no, static.

  Raises:
    ValueError: as `specs.infer`.
  """
  spec = specs.infer(
    module,
    variables,
    example_input,
    call_options=call_options,
    token_kind=token_kind,
    check=check,
  )
  adapter = modules.adapt(module, variables, call_options)
  return InferredNetwork(spec, jnp.shape(example_input)[1:], adapter)
