# SPDX-License-Identifier: Apache-2.0
"""Where the raw features of edges lie among a projection's input channels.

With reverse edges the input of a projection is (weight, weight of the opposite
edge, sum of both). Edges of linear layers may have a projection of their own
(spec 1.8): its input is the weight alone, or those three numbers.
"""

from typing import Any, NamedTuple

import jax
import numpy as np


class SplitGroup(NamedTuple):
  """One edge group, for a projection shared by all and one of linear layers.

  Attributes:
    shared: (features [..., c], placement [c, channels]) for the shared
      projection, or None where it has nothing to do.
    linear: likewise for the projection of linear layers.
    is_linear: [..., 1] bool, which of the two holds, where both are there.
  """

  shared: tuple[jax.Array, np.ndarray] | None = None
  linear: tuple[jax.Array, np.ndarray] | None = None
  is_linear: Any = None


def reverse(
  placement: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """Input channels of an edge and of its reverse, paper Eq. for E || E^T.

  Args:
    placement: [channels, width] numpy, positions of the raw features.

  Returns:
    Two [channels, 3 width] arrays: (w, 0, w) forward and (0, w, w) reverse.
    Jit: static.
  """
  zero = np.zeros_like(placement)
  forward = np.concatenate([placement, zero, placement], axis=1)
  backward = np.concatenate([zero, placement, placement], axis=1)
  return forward, backward


def linear_placement(*, reverse_edges: bool, backward: bool) -> np.ndarray:
  """Placement of the one feature of a linear layer's edge.

  Args:
    reverse_edges: whether there are reverse edges.
    backward: whether the edge is one of them.

  Returns:
    [1, 1 or 3]. Jit: static.
  """
  one = np.eye(1, dtype=np.float32)
  return reverse(one)[int(backward)] if reverse_edges else one
