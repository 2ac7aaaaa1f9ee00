# SPDX-License-Identifier: Apache-2.0
"""How large a model may be that a file describes in a few numbers.

A config of a hundred bytes can ask for a million layers. Real ones stay far
below these bounds; whoever needs more makes the model with `models.create`.
"""

import dataclasses
import math
from typing import Any

from ng_jax.specs import spec as spec_lib

_MAX_OPTION, _MAX_DEPTH = 2**16, 2**10
_MAX_NODES = 2**20
_MAX_KERNEL = 2**8
_MAX_WEIGHTS = 2**31
# Where arrays of the weights are made, not only their shapes.
MAX_MADE = 2**22


def check_spec(
  spec: spec_lib.NetworkSpec, *, max_weights: int = _MAX_WEIGHTS
) -> None:
  """Refuses networks that are too large to be described by a file.

  Args:
    spec: as read.
    max_weights: most numbers in its leaves.

  Raises:
    ValueError: too many neurons or weights. Jit: static.
  """
  num_weights = sum(math.prod(spec.leaf_shape(leaf)) for leaf in spec.leaves)
  if spec.num_nodes > _MAX_NODES or num_weights > max_weights:
    raise ValueError(
      f'a network must have at most {_MAX_NODES:,} neurons and '
      f'{max_weights:,} weights here, got {spec.num_nodes:,} and '
      f'{num_weights:,}.'
    )


def check_options(options: Any) -> None:
  """Refuses models that are too deep or too wide to be described by a file.

  Args:
    options: {name: value} of a model, or the model.

  Raises:
    ValueError: names the option. Jit: static.
  """
  if dataclasses.is_dataclass(options):
    options = {
      field.name: getattr(options, field.name, None)
      for field in dataclasses.fields(options)
    }
  for name, value in options.items():
    deep = 'layers' in name or 'blocks' in name
    largest = _MAX_DEPTH if deep else _MAX_OPTION
    values = value if isinstance(value, tuple | list) else (value,)
    for number in values:
      if isinstance(number, int) and abs(number) > largest:
        raise ValueError(
          f'option {name} must be at most {largest:,} here, got {number:,}.'
        )
    if len(values) > _MAX_DEPTH:
      raise ValueError(
        f'option {name} must have at most {_MAX_DEPTH:,} entries here, got '
        f'{len(values):,}.'
      )


def check_kernel(kernel: tuple[int, int]) -> None:
  """Refuses common kernels that are too large to be described by a file.

  Args:
    kernel: (height, width).

  Raises:
    ValueError: a side is not positive or too long. Jit: static.
  """
  if min(kernel) < 1 or max(kernel) > _MAX_KERNEL:
    raise ValueError(
      f'kernel must have sides from 1 to {_MAX_KERNEL} here, got {kernel}.'
    )
