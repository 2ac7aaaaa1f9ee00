# SPDX-License-Identifier: Apache-2.0
"""What optimizers share that read the spec of the optimizee."""

from collections.abc import Sequence
import dataclasses
from typing import ClassVar

from flax import linen as nn
import jax

from ng_jax import specs
from ng_jax.optimizers import per_parameter

# Small network with every kind of part, to draw theta with.
_EXAMPLE = specs.mlp((1, 2, 1))


def path_prefix(spec: specs.NetworkSpec, paths: Sequence[str]) -> str:
  """What stands before the spec's paths in an optimizee's tree.

  Args:
    spec: of the optimizee.
    paths: of its arrays.

  Returns:
    '', or 'params/' where the tree is a whole Flax variables dict. Jit: static.

  Raises:
    ValueError: the spec names arrays that the tree does not have.
  """
  named = [leaf.path for leaf in spec.leaves if leaf.kind != 'buffer']
  missing: dict[str, list[str]] = {
    prefix: [path for path in named if prefix + path not in paths]
    for prefix in ('', 'params/')
  }
  for prefix, absent in missing.items():
    if not absent:
      return prefix
  raise ValueError(
    f'spec names arrays that params do not have: {missing[""][:6]} '
    f'(params have {sorted(paths)[:6]}); infer the spec from the same module '
    'with ng_jax.specs.infer, and do not mask arrays that it names.'
  )


def check_shapes(spec: specs.NetworkSpec, params: dict[str, jax.Array]) -> None:
  """Refuses an optimizee that is not the spec's.

  Args:
    spec: of the optimizee.
    params: {path: array}.

  Raises:
    ValueError: an array of the spec is missing or has another shape.

  Jit: static.
  """
  prefix = path_prefix(spec, tuple(params))
  for leaf in spec.leaves:
    expected = spec.leaf_shape(leaf)
    found = params.get(prefix + leaf.path)
    if found is not None and found.shape != expected:
      raise ValueError(
        f'params at {leaf.path!r} must have the shape of the spec, '
        f'{expected}, got {found.shape}; infer the spec from the same module.'
      )


@dataclasses.dataclass(frozen=True)
class SpecOptimizer(per_parameter.PerParameterOptimizer):
  """Optimizers of the paper whose network reads the spec."""

  needs_spec: ClassVar[bool] = True

  def check_params(self, params: dict[str, jax.Array]) -> None:
    check_shapes(self.given_spec(), params)

  def example(self) -> tuple[nn.Module, dict[str, tuple[int, ...]]]:
    return self.example_of(_EXAMPLE)

  def example_of(
    self, spec: specs.NetworkSpec
  ) -> tuple[nn.Module, dict[str, tuple[int, ...]]]:
    """See `example`, for optimizees of a given spec."""
    small = dataclasses.replace(self, spec=spec)
    shapes = {leaf.path: spec.leaf_shape(leaf) for leaf in spec.leaves}
    return small.network(tuple(shapes)), shapes
