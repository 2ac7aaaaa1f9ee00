# SPDX-License-Identifier: Apache-2.0
"""Cases of a test that run with the slow ones."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def cases(
  values: Iterable[Any], *, slow: Callable[..., bool] | Iterable[Any]
) -> list[Any]:
  """Marks some cases of a parametrized test as slow.

  Args:
    values: of the cases; a tuple holds several arguments.
    slow: those that are slow, or a function of the arguments that says so.

  Returns:
    What `pytest.mark.parametrize` takes.
  """
  found = []
  for value in values:
    arguments = value if isinstance(value, tuple) else (value,)
    is_slow = slow(*arguments) if callable(slow) else value in slow
    found.append(
      pytest.param(*arguments, marks=pytest.mark.slow if is_slow else ())
    )
  return found
