# SPDX-License-Identifier: Apache-2.0
"""Cases that repeat a test for one more model, option or network.

`make test` runs what reaches every line and every kind of network; the rest
runs with `make test-repeated`, before a release and after a change of what
they are about.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

_Chosen = Callable[..., bool] | Iterable[Any]


def cases(
  values: Iterable[Any],
  *,
  quick: _Chosen | None = None,
  repeats: _Chosen | None = None,
) -> list[Any]:
  """Marks the cases of a parametrized test that repeat the others.

  Args:
    values: of the cases; a tuple holds several arguments.
    quick: those that are not marked, or a function of the arguments that says
      whether they are.
    repeats: in place of `quick`, those that are.

  Returns:
    What `pytest.mark.parametrize` takes.
  """
  chosen = quick if repeats is None else repeats
  found = []
  for value in values:
    arguments = value if isinstance(value, tuple) else (value,)
    is_chosen = chosen(*arguments) if callable(chosen) else value in chosen
    marks = pytest.mark.repeated if is_chosen == (quick is None) else ()
    found.append(pytest.param(*arguments, marks=marks))
  return found
