# SPDX-License-Identifier: Apache-2.0
"""What the neurons of a network answer to given inputs, as a node field.

Probe features (paper, section 3) show a model the activations of every neuron.
For graphs of one spec a model computes them itself. Networks of different
architectures have no common function to call, so their activations on given
inputs are computed here, network by network, and travel with the graph in the
node field 'activations' [..., num_nodes, num_probes].

A network is any object with

* `spec`, its `specs.NetworkSpec`, and
* `activations(weights, x)`: weights with leaves [*batch, *leaf_shape], x
  [*batch or nothing, num_probes, *input_shape]; returns one array [*batch or
  nothing, num_probes, size] per neuron set, in the order of the spec. Axes of
  space or time are averaged out.

Call `check_activations` once on a network of your own.
"""

from collections.abc import Sequence
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import specs

# Only gross errors: a deep sine network amplifies float32 rounding.
_TOLERANCE = 1e-2


def run_probes(
  network: Any, weights: specs.Weights, inputs: jax.Array
) -> tuple[jax.Array, ...]:
  """Runs probe inputs through networks of one spec.

  Args:
    network: see the module's docstring.
    weights: leaves [*batch, *leaf_shape].
    inputs: [*batch or nothing, num_probes, *input_shape].

  Returns:
    Per neuron set, [*batch or nothing, size, num_probes]. Jit: yes, with
    `network` static; differentiable.

  Raises:
    ValueError: an object that is no such network, weights of another spec, a
      neuron set without activations or with those of other neurons.
  """
  check_network(network)
  batch = specs.check_weights(network.spec, weights)
  found = network.activations(weights, match_dtype(inputs, weights))
  _check_sets(network.spec, found, batch)
  return tuple(jnp.swapaxes(values, -1, -2) for values in found)


def match_dtype(inputs: Any, weights: specs.Weights) -> jax.Array:
  """Casts inputs to the dtype of the weights, as convolutions ask for.

  Args:
    inputs: array of any dtype; integers (tokens) stay as they are.
    weights: leaves of one or several float dtypes, whose promotion is taken.

  Returns:
    The inputs. Jit: yes.
  """
  inputs = jnp.asarray(inputs)
  if not jnp.issubdtype(inputs.dtype, jnp.floating):
    return inputs
  return inputs.astype(jnp.result_type(*jax.tree.leaves(weights)))


def check_network(network: Any) -> None:
  """Refuses an object that cannot be probed; see the module's docstring.

  Args:
    network: any object.

  Raises:
    ValueError: it has no `spec` or no `activations`. Jit: static.
  """
  if not (hasattr(network, 'spec') and hasattr(network, 'activations')):
    raise ValueError(
      'network must have `spec` and `activations(weights, x)`, one array per '
      f'neuron set, got {type(network).__name__}; give a network of '
      'ng_jax.networks, an object with both, or set num_probes=0.'
    )


def _check_sets(
  spec: specs.NetworkSpec,
  found: Sequence[jax.Array | None],
  batch: tuple[int, ...],
) -> None:
  names = [s.name for s in spec.neuron_sets]
  if len(found) != len(names):
    raise ValueError(
      'activations of a network must be one array per neuron set, got '
      f'{len(found)} for the sets {names}.'
    )
  num_probes: tuple[int, ...] = ()
  for s, values in zip(spec.neuron_sets, found, strict=True):
    if values is None:
      raise ValueError(
        f'neuron set {s.name!r} cannot be probed: the network gives no '
        'activations for it; set num_probes=0, or give a network whose '
        '`activations` has an array for every set.'
      )
    shape = tuple(values.shape)
    num_probes = num_probes or shape[-2:-1]  # Those of the first set.
    wanted = (*num_probes, s.size)
    if shape[-2:] != wanted or shape[:-2] not in ((), batch):
      raise ValueError(
        f'activations of neuron set {s.name!r} must have shape [*batch or '
        f'nothing, num_probes, {s.size}] with batch {batch}, got {shape}; '
        'average over all axes but probes and neurons.'
      )


def node_activations(
  network: Any, weights: specs.Weights, inputs: jax.Array
) -> jax.Array:
  """The node field 'activations' of networks of one spec.

  Args:
    network: see the module's docstring.
    weights: leaves [*batch, *leaf_shape].
    inputs: [*batch or nothing, num_probes, *input_shape].

  Returns:
    [*batch, num_nodes, num_probes]. Jit: yes, with `network` static;
    differentiable.

  Raises:
    ValueError: as `run_probes`.
  """
  batch = specs.check_weights(network.spec, weights)
  found = run_probes(network, weights, inputs)
  rows = [jnp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in found]
  return jnp.concatenate(rows, axis=-2)


def compute_activations(
  network: Any, weights: specs.Weights, inputs: Any
) -> np.ndarray:
  """`node_activations` on the host: compiled once per network, then cached.

  The first call for a network also runs `check_activations`.

  Args:
    network: see the module's docstring; hashable.
    weights: leaves [*batch, *leaf_shape].
    inputs: [*batch or nothing, num_probes, *input_shape].

  Returns:
    [*batch, num_nodes, num_probes] numpy, for `concatenate`, `stack` or
    `add_activations`. Jit: no, host only.

  Raises:
    ValueError: as `run_probes` and `check_activations`.
  """
  runner = _runner(network)
  if not runner.checked:
    check_activations(network, weights, inputs)
    runner.checked = True
  return np.asarray(runner.run(weights, inputs))


class _Runner:
  """The compiled activations of one network, and whether they were checked."""

  def __init__(self, network: Any) -> None:
    self.run = jax.jit(functools.partial(node_activations, network))
    self.checked = False


@functools.lru_cache(maxsize=4096)
def _runner(network: Any) -> _Runner:
  return _Runner(network)


def check_activations(
  network: Any, weights: specs.Weights, inputs: Any, *, seed: int = 0
) -> None:
  """Checks that activations move with their neurons.

  A hidden permutation of the weights must permute the activations of each
  neuron set and change nothing else; otherwise a model that reads them would
  see the order in which neurons are stored.

  Args:
    network: see the module's docstring; hashable.
    weights: leaves [*batch, *leaf_shape] to try it on.
    inputs: [*batch or nothing, num_probes, *input_shape].
    seed: of the permutation.

  Raises:
    ValueError: names the neuron set that is furthest off. Jit: no, it looks at
      values.
  """
  run = _runner(network).run
  before = np.asarray(run(weights, inputs))  # Refuses what is no network.
  spec = network.spec
  order = specs.draw_permutation(jax.random.key(seed), spec)
  after = np.asarray(run(specs.permute(spec, weights, order), inputs))
  first, worst = 0, (0.0, '')
  for s in spec.neuron_sets:
    expected = before[..., first + np.asarray(order[s.name]), :]
    found = after[..., first : first + s.size, :]
    scale = np.max(np.abs(expected), initial=1e-30)
    worst = max(
      worst, (float(np.max(np.abs(found - expected)) / scale), s.name)
    )
    first += s.size
  if not worst[0] <= _TOLERANCE:
    raise ValueError(
      'activations must be permuted with the neurons of their set, but those '
      f'of {worst[1]!r} differ by {worst[0]:.2g} of their size after a hidden '
      'permutation of the weights; correct `activations` or the spec of the '
      'network, or set num_probes=0.'
    )
