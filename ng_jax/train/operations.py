# SPDX-License-Identifier: Apache-2.0
"""How many operations a function takes, counted by XLA before it optimizes."""

from collections.abc import Callable
from typing import Any

import jax


def count(function: Callable[..., Any], *arguments: Any) -> float | None:
  """Counts additions, products and comparisons of one call.

  Nothing is compiled or computed. The body of a loop counts once, so the
  function should have none; sines and exponentials that XLA calls as one
  operation do not count.

  Args:
    function: of arrays.
    *arguments: trees of arrays or of their shapes.

  Returns:
    The number; None where this version of JAX does not say. Jit: static.
  """
  found = jax.jit(function).lower(*arguments).cost_analysis()
  if not found or 'flops' not in found:
    return None
  return float(found['flops'])
