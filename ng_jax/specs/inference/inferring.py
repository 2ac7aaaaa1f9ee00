# SPDX-License-Identifier: Apache-2.0
"""From a user's own network to its spec."""

from collections.abc import Mapping
import types
from typing import Any

import jax

from ng_jax.specs import spec as spec_lib
from ng_jax.specs.inference import assembly
from ng_jax.specs.inference import checking
from ng_jax.specs.inference import modules
from ng_jax.specs.inference import program as program_lib
from ng_jax.specs.inference import reading

_NO_OPTIONS: Mapping[str, Any] = types.MappingProxyType({})
_TOKEN_KINDS = ('buffer', 'node')


def infer(
  module: Any,
  variables: Any,
  example_input: Any,
  *,
  call_options: Mapping[str, Any] = _NO_OPTIONS,
  token_kind: str = 'buffer',
  check: bool = True,
) -> spec_lib.NetworkSpec:
  """Infers the spec of a network from its own code.

  The network is traced once and its neurons are followed through the trace, so
  it must be in the state in which it is used (running statistics, no dropout).
  Understood are linear layers (also with several axes), convolutions, biases,
  normalisation, activation functions, pooling, flattening, skip connections
  (whole, or on the first channels) and softmax attention, with class tokens and
  position embeddings. Anything else is refused by name.

  Leaf paths are relative to the parameters; running statistics are buffers
  beside the parameters of their layer ('BatchNorm_0/mean'). The weights tree
  that goes with the spec is made by `networks.from_module(...).weights_of`.

  Args:
    module: a Flax Linen module, an NNX module, or a function (weights, x) -> y.
    variables: Linen: variables or bare parameters, of any dtype. NNX: None. A
      function: its weights, any tree of arrays.
    example_input: [num_examples, ...]; only shape and dtype count. The first
      axis is of independent examples.
    call_options: keyword arguments of each call, such as {'train': False}.
    token_kind: what leaves with an entry per place and neuron become (class
      tokens, position embeddings). 'buffer': permuted, but no feature, as the
      paper's loader drops them; 'node': node features, one per token.
    check: whether to draw weights and a hidden permutation and to compare the
      network's outputs.

  Returns:
    The spec. Jit: no, static.

  Raises:
    ValueError: names the operation that is not understood and the leaf, the
      leaves that are not used, or the output that a permutation changes.
  """
  if token_kind not in _TOKEN_KINDS:
    raise ValueError(
      f'unknown token_kind {token_kind!r}; expected one of '
      f'{sorted(_TOKEN_KINDS)}.'
    )
  adapter = modules.adapt(module, variables, call_options)
  _, assembled = analyse(
    adapter, adapter.arrays, example_input, token_kind=token_kind
  )
  if check:
    checking.check(adapter, assembled.spec, example_input)
  return assembled.spec


def analyse(
  adapter: modules.Adapter,
  arrays: Mapping[str, Any],
  x: Any,
  *,
  token_kind: str = 'buffer',
) -> tuple[program_lib.Program, assembly.Assembled]:
  """Traces and reads a network.

  Args:
    adapter: of the network.
    arrays: {path: leaf}, or their shapes and dtypes.
    x: [num_examples, ...] or its shape and dtype.
    token_kind: as in `infer`.

  Returns:
    The program for one example, [1, ...], and the spec with its readouts. Jit:
    static.

  Raises:
    ValueError: as `infer`.
  """
  paths = list(adapter.arrays)

  def shape(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jax.numpy.shape(array), _dtype(array))

  if not jax.numpy.ndim(x):
    raise ValueError(
      'example_input must have a leading axis of examples, got a single number.'
    )
  one = jax.ShapeDtypeStruct((1, *jax.numpy.shape(x)[1:]), _dtype(x))
  program = program_lib.trace(
    lambda leaves, x: adapter.apply(dict(zip(paths, leaves, strict=True)), x),
    [shape(arrays[path]) for path in paths],
    one,
  )
  draft = reading.read(program, paths, adapter.buffers, token_kind=token_kind)
  return program, assembly.assemble(draft)


def _dtype(array: Any) -> Any:
  return jax.dtypes.canonicalize_dtype(jax.numpy.result_type(array))
