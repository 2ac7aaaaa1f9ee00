# SPDX-License-Identifier: Apache-2.0
"""Holds an inferred spec against the network itself."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ng_jax.specs import spec as spec_lib
from ng_jax.specs import symmetry
from ng_jax.specs import weights as weights_lib
from ng_jax.specs.inference import modules


def check(
  adapter: modules.Adapter,
  spec: spec_lib.NetworkSpec,
  example_input: Any,
) -> None:
  """Draws weights and a hidden permutation, and compares the outputs.

  Args:
    adapter: of the network.
    spec: inferred.
    example_input: [num_examples, ...]; its first example is used.

  Raises:
    ValueError: the output changes by more than rounding.

  Jit: no, it looks at values. The network is compiled once and run twice.
  """
  rng = np.random.default_rng(0)
  arrays = _disturbed(rng, adapter)
  permuted = weights_lib.leaf_arrays(
    _permute(spec, arrays, _draw_permutation(rng, spec))
  )
  x = np.asarray(example_input)[:1]
  run = jax.jit(adapter.apply)
  before = np.asarray(run(arrays, x))
  after = np.asarray(run(permuted, x))
  # Sums in another order: thousands of roundings are allowed, no more.
  tolerance = 1e4 * float(jax.numpy.finfo(before.dtype).eps)
  scale = np.max(np.abs(before), initial=0.0)
  difference = np.max(np.abs(before - after), initial=0.0)
  if not difference <= tolerance * scale:
    raise ValueError(
      'the inferred spec does not hold: a hidden permutation of it changes the '
      f"network's output by {difference:.3g} at a scale of {scale:.3g}. The "
      'network does something that inference misread; write its spec by hand '
      'with specs.NetworkSpec.'
    )


def _disturbed(
  rng: np.random.Generator, adapter: modules.Adapter
) -> dict[str, np.ndarray]:
  """Weights near those given in which no two neurons are alike."""
  arrays = {}
  for path, given in adapter.arrays.items():
    array = np.asarray(given)
    noise = 0.1 * rng.uniform(size=array.shape)
    if path not in adapter.buffers:
      noise = 0.1 * rng.normal(size=array.shape)
    scale = rng.uniform(0.5, 1.5, size=array.shape)
    arrays[path] = (array * scale + noise).astype(array.dtype)
  return arrays


def _draw_permutation(
  rng: np.random.Generator, spec: spec_lib.NetworkSpec
) -> dict[str, np.ndarray]:
  """As `symmetry.draw_permutation`, in numpy: nothing to compile."""
  permutation = symmetry.identity(spec)
  for orbit in symmetry.orbits(spec):
    channels = np.arange(orbit.start, orbit.stop, dtype=np.int32)
    moved = _shuffle(rng, channels, orbit.groups)
    for name in orbit.members:
      permutation[name][orbit.start : orbit.stop] = moved
  return permutation


def _shuffle(
  rng: np.random.Generator, channels: np.ndarray, groups: tuple[int, ...]
) -> np.ndarray:
  """Shuffles inside nested groups, and whole groups."""
  if not groups:
    return rng.permutation(channels)
  blocks = [
    _shuffle(rng, block, groups[1:])
    for block in channels.reshape(-1, groups[0])
  ]
  return rng.permutation(np.stack(blocks)).reshape(-1)


def _permute(
  spec: spec_lib.NetworkSpec,
  arrays: Mapping[str, np.ndarray],
  permutation: Mapping[str, np.ndarray],
) -> dict[str, Any]:
  act = jax.jit(lambda w, p: symmetry.permute(spec, w, p))
  return act(weights_lib.from_leaf_arrays(arrays), permutation)
