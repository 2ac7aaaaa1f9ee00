# SPDX-License-Identifier: Apache-2.0
"""Where probe inputs come from: learned, generated, given, or with the graph.

Shared by the probe features of NG-GNN and NG-T and by the probing baselines.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from ng_jax import graphs
from ng_jax import specs
from ng_jax.layers import generator

SOURCES = ('generator', 'given', 'normal', 'uniform')


def choose_inputs(
  module: nn.Module,
  connectivity: graphs.Connectivity,
  *,
  num_probes: int,
  shape: tuple[int, ...],
  source: str,
  fixed: Any = None,
  generator_layers: int = 6,
) -> jax.Array:
  """Inputs of the graphs if they give some, else the module's own.

  Declares what it needs on the module: the parameter 'inputs' ('uniform', drawn
  from U(-1, 1), and 'normal', from N(0, 1), images through tanh), the submodule
  'generator', or the constant 'inputs' ('given').

  Args:
    module: inside its compact call.
    connectivity: of the batch; see `graphs.add_probe_inputs`.
    num_probes: number of inputs.
    shape: of one input.
    source: one of `SOURCES`.
    fixed: [num_probes, *shape], needed by 'given' unless the graphs give
      inputs or the constants already hold them.
    generator_layers: see `generator.ProbeGenerator`.

  Returns:
    [num_graphs or nothing, num_probes, *shape]. Jit: yes.

  Raises:
    ValueError: unknown source, inputs of another shape, none at all.
  """
  if source not in SOURCES:
    raise ValueError(
      f'unknown probe_source {source!r}; expected one of {list(SOURCES)}.'
    )
  if fixed is not None and source != 'given':
    raise ValueError(
      f"probe_inputs are only read with probe_source='given', got {source!r}; "
      'set it, or leave probe_inputs out.'
    )
  carried = connectivity.carried.inputs()
  if carried is not None:
    inputs = carried[0] if carried.shape[0] == 1 else carried
    return _checked(inputs, num_probes, len(shape))
  if source == 'given':
    return _constant(module, fixed, num_probes, len(shape))
  if source == 'generator':
    return generator.ProbeGenerator(
      num_probes, shape, num_layers=generator_layers, name='generator'
    )()
  draw = {'uniform': _uniform, 'normal': nn.initializers.normal(1.0)}[source]
  inputs = module.param('inputs', draw, (num_probes, *shape))
  is_image = len(shape) == 3
  return jnp.tanh(inputs) if source == 'normal' and is_image else inputs


def _uniform(
  key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32
) -> jax.Array:
  return jax.random.uniform(key, shape, dtype, -1.0, 1.0)


def _constant(
  module: nn.Module, fixed: Any, num_probes: int, num_axes: int
) -> jax.Array:
  if fixed is None and not module.has_variable('constants', 'inputs'):
    raise ValueError(
      "probe_source='given' needs inputs, got none; set probe_inputs of the "
      'model, or add them to the graphs with graphs.add_probe_inputs or '
      'graphs.add_activations.'
    )
  held = module.variable('constants', 'inputs', lambda: jnp.asarray(fixed))
  return _checked(held.value, num_probes, num_axes)


def _checked(inputs: jax.Array, num_probes: int, num_axes: int) -> jax.Array:
  """Refuses another number of probes, before shapes clash further on."""
  if inputs.ndim <= num_axes or inputs.shape[-num_axes - 1] != num_probes:
    raise ValueError(
      f'probe inputs must have shape [num_probes, {num_axes} axes of an input] '
      f'with {num_probes=}, got {inputs.shape}; set num_probes to their '
      'number, and probe_shape to the shape of one.'
    )
  return inputs


def input_shape(
  network: Any, shape: tuple[int, ...] | None = None
) -> tuple[int, ...]:
  """Shape of one input of a network.

  Args:
    network: with `input_shape`, or with a `spec` of vectors.
    shape: given by the user; wins.

  Returns:
    The shape. Jit: static.

  Raises:
    ValueError: the network says nothing, or reads images of any size.
  """
  if shape is None:
    shape = getattr(network, 'input_shape', None)
  if shape is not None:
    return tuple(shape)
  spec: specs.NetworkSpec | None = getattr(network, 'spec', None)
  if spec is None or any(block.type == 'conv' for block in spec.blocks):
    raise ValueError(
      f'{type(network).__name__} does not say what shape its inputs have; set '
      'probe_shape, such as probe_shape=(32, 32, 3) for images (height, width, '
      'channels).'
    )
  return (spec.num_inputs,)


def require_weights(connectivity: graphs.Connectivity) -> Any:
  """The weights that probes run through.

  Args:
    connectivity: of the batch.

  Returns:
    Leaves [num_graphs, ...]. Jit: yes.

  Raises:
    ValueError: networks of different specs, or graphs without their weights.
  """
  weights = connectivity.network_weights()
  if weights is None:
    raise ValueError(
      'graphs carry no common weights (globals weights) to run probes through, '
      'as in a batch of networks of different specs; give their activations on '
      'fixed inputs: graphs.concatenate(..., node_activations=[graphs.'
      'compute_activations(network, weights, inputs), ...]).'
    )
  return weights


def check_num_probes(values: jax.Array, num_probes: int) -> None:
  """Refuses activations on another number of probes.

  Args:
    values: [..., num_probes], carried by the graphs.
    num_probes: of the model.

  Raises:
    ValueError: they differ. Jit: yes, looks at shapes.
  """
  if values.shape[-1] != num_probes:
    raise ValueError(
      'the activations that the graphs carry must be on num_probes inputs, got '
      f'{num_probes=} and {values.shape[-1]} activations per node; set '
      'num_probes, or compute them on that many inputs.'
    )
