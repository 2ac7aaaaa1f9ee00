# SPDX-License-Identifier: Apache-2.0
"""Estimators by name."""

import dataclasses
from typing import Any

from ng_jax.meta import problems
from ng_jax.meta.estimators import base
from ng_jax.meta.estimators import full_es
from ng_jax.meta.estimators import greedy
from ng_jax.meta.estimators import pes
from ng_jax.meta.estimators import truncated_backprop
from ng_jax.meta.estimators import truncated_es

_ESTIMATORS: dict[str, type[base.Estimator]] = {
  'full_es': full_es.FullEs,
  'greedy': greedy.Greedy,
  'greedy_windows': greedy.GreedyWindows,
  'pes': pes.Pes,
  'truncated_backprop': truncated_backprop.TruncatedBackprop,
  'truncated_es': truncated_es.TruncatedEs,
}


def names() -> tuple[str, ...]:
  """Names that `create` knows. Jit: static."""
  return tuple(sorted(_ESTIMATORS))


def options(name: str) -> dict[str, Any]:
  """Options of an estimator.

  Args:
    name: one of `names()`.

  Returns:
    {option: default}. Jit: static.

  Raises:
    ValueError: unknown name.
  """
  return {
    field.name: field.default
    for field in dataclasses.fields(_find(name))
    if field.name != 'problem'
  }


def create(
  name: str, problem: problems.InnerProblem, **chosen: Any
) -> base.Estimator:
  """Makes an estimator.

  Args:
    name: one of `names()`.
    problem: that theta steers.
    **chosen: options, see the classes.

  Returns:
    The estimator. Jit: static.

  Raises:
    ValueError: unknown name or option, the known ones are listed; a bad value.
  """
  kind = _find(name)
  unknown = sorted(set(chosen) - set(options(name)))
  if unknown:
    raise ValueError(
      f'{name!r} has no option {unknown[0]!r}; its options are '
      f'{sorted(options(name))}.'
    )
  return kind(problem, **chosen)


def _find(name: str) -> type[base.Estimator]:
  if name not in _ESTIMATORS:
    raise ValueError(
      f'unknown estimator {name!r}; expected one of {list(names())}.'
    )
  return _ESTIMATORS[name]
