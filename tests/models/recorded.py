# SPDX-License-Identifier: Apache-2.0
"""Recorded cases of the official code: what they hold, and how to compare.

tests/golden/README.md says where they come from and what their tolerances are.
"""

from collections.abc import Callable, Mapping
import functools
import pathlib
from typing import Any

import jax
import numpy as np

from ng_jax.models.official import recordings
from ng_jax.models.official import reruns

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden'
# Files without a model.
_OTHERS = ('unit_', 'cnn_graphs', 'cnn_zoo_graphs', 'dynamic_stat_featurizer')
CASES = tuple(
  sorted(
    path.stem
    for path in GOLDEN.glob('*.npz')
    if not path.stem.startswith(_OTHERS)
  )
)
# Options of what we do by default, where the official code depends on the
# batch.
ALONE: dict[str, dict[str, Any]] = {
  'ng_gnn': {'norm_mode': 'graph', 'pool_padding': False},
  'ng_gnn_edit': {'norm_mode': 'graph'},
  'ng_t': {'mask_padding': True, 'pool_padding': False},
}


@functools.cache
def read(name: str) -> recordings.Recording:
  """State, inputs and configuration of a case."""
  return recordings.read(GOLDEN / f'{name}.npz')


@functools.cache
def arrays(name: str, prefix: str) -> dict[str, np.ndarray]:
  """Arrays of a case whose names begin with `prefix`, without it."""
  with np.load(GOLDEN / f'{name}.npz') as file:
    return {
      key.removeprefix(prefix): file[key]
      for key in file.files
      if key.startswith(prefix)
    }


def build(name: str, dtype: Any, **changes: Any) -> reruns.Case:
  """The case as the library builds it."""
  return reruns.build(read(name), dtype=dtype, **changes)


def assert_close(
  found: Mapping[str, Any], expected: Mapping[str, Any], relative: float
) -> None:
  """Equal outputs, relative to the largest entry of all."""
  __tracebackhide__ = True
  assert set(found) == set(expected)
  largest = max(np.max(np.abs(x)) for x in expected.values())
  for key, value in expected.items():
    assert found[key].shape == value.shape
    error = np.max(np.abs(found[key] - value)) / largest
    assert error <= relative, f'{key}: {error:.3g}'


def assert_gradients_close(
  found: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
  """Gradients of the same parameters, equal to float32 precision."""
  __tracebackhide__ = True
  assert set(found) == set(expected)
  largest = max(np.max(np.abs(x)) for x in expected.values())
  for key, value in expected.items():
    assert found[key].shape == value.shape
    # Some gradients are zero in exact arithmetic.
    allowed = 5e-4 * (np.max(np.abs(value), initial=0) + 1e-3 * largest)
    error = np.max(np.abs(found[key] - value), initial=0)
    assert error <= allowed, f'{key}: {error:.3g} > {allowed:.3g}'


def check_float32(
  name: str,
  *,
  suffix: str = '',
  view: Callable[[Any], Any] = lambda argument: argument,
  **changes: Any,
) -> None:
  """Outputs, loss and the gradient of every official parameter.

  Args:
    name: of the case.
    suffix: '_single' for what each graph gives when it is run alone.
    view: what the model is applied to, made from the graph of the recording.
    **changes: options other than the configuration's.
  """
  __tracebackhide__ = True
  case = build(name, np.float32, **changes)

  def loss(params: Any, argument: Any) -> Any:
    return reruns.loss(params, view(argument), case=case)

  run = jax.jit(jax.value_and_grad(loss, has_aux=True))
  (value, outputs), grads = run(case.variables['params'], case.argument)
  assert {x.dtype for x in outputs.values()} == {np.dtype(np.float32)}
  assert_close(outputs, arrays(name, f'out{suffix}/'), 1e-4)
  expected = arrays(name, f'loss{suffix}')['']
  np.testing.assert_allclose(value, expected, rtol=2e-4)
  recording = read(name)
  found = reruns.official_gradients(
    case.name,
    recording.state,
    case.expected,
    grads,
    unused=recording.config['unused_params'],
  )
  assert_gradients_close(found, arrays(name, f'grad{suffix}/'))
