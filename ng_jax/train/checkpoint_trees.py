# SPDX-License-Identifier: Apache-2.0
"""What lies in a checkpoint: a state as plain arrays, and how they are checked.

The arrays of a checkpoint are compressed without a checksum, so each has one of
ours beside it: a flipped bit is found, not trained on.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
import zlib

import jax
import numpy as np

from ng_jax.train import state as state_lib

_MAX_ITEM = 16  # Bytes of a number.


def to_tree(state: state_lib.TrainState) -> dict[str, Any]:
  """Nested dicts of plain arrays, as they lie in a checkpoint.

  Args:
    state: of a run, or its shapes under `jax.eval_shape`.

  Returns:
    The tree. Jit: yes.
  """
  tree = {
    'step': state.step,
    'params': state.params,
    'constants': state.constants,
    'opt_state': state.opt_state,
    'key': jax.random.key_data(state.key),
  }
  # Left out when empty: checkpoints of models without keep their form.
  if state.batch_stats:
    tree['batch_stats'] = state.batch_stats
  return tree


def from_host(tree: dict[str, Any]) -> state_lib.TrainState:
  """Inverse of `to_tree` for arrays on the host. Jit: no."""
  tree = jax.tree.map(jax.numpy.asarray, tree)
  return state_lib.TrainState(
    **{
      'batch_stats': {},
      **tree,
      'key': jax.random.wrap_key_data(tree['key']),
    }
  )


def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  """Shape of every leaf by its path, joined by '/'. Jit: static."""
  return {name: tuple(leaf.shape) for name, leaf in _named(tree)}


def checksums(tree: Any) -> dict[str, int]:
  """CRC-32 of the bytes of every leaf by its path. Jit: no."""
  return {
    name: zlib.crc32(np.ascontiguousarray(leaf).tobytes())
    for name, leaf in _named(tree)
  }


def check(tree: Any, expected: dict[str, int]) -> None:
  """Refuses arrays that are not those that were saved.

  Args:
    tree: as read.
    expected: of `checksums` when it was saved; {} checks nothing, for
      checkpoints that were made without.

  Raises:
    ValueError: names the leaves that differ.
  """
  found = checksums(tree)
  wrong = [name for name in expected if found.get(name) != expected[name]]
  if wrong:
    raise ValueError(
      f'the checksums of {len(wrong)} arrays, {wrong[:5]} among them, are not '
      'those that were saved.'
    )


def window_to_json(window: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """Sums of single steps, which a log line will be made of, as JSON types.

  Args:
    window: of every step since the last line, {name: number}.

  Returns:
    The same as [dtype, value] each, exact. Jit: no.
  """

  def convert(value: Any) -> list[Any]:
    array = np.asarray(value)
    return [array.dtype.name, array.tolist()]

  return [{name: convert(x) for name, x in sums.items()} for sums in window]


def window_from_json(
  content: Sequence[Mapping[str, Any]],
) -> list[dict[str, np.ndarray]]:
  """Inverse of `window_to_json`; other contents raise an error. Jit: no."""

  def convert(name: str, value: Any) -> np.ndarray:
    dtype = jax.numpy.dtype(name)
    if dtype.itemsize > _MAX_ITEM:  # A text as long as its dtype says.
      raise ValueError(f'a number of {name}')
    with np.errstate(over='raise'):
      return np.asarray(value, dtype)

  return [
    {name: convert(dtype, value) for name, (dtype, value) in sums.items()}
    for sums in content
  ]


def compare(
  saved: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]
) -> list[str]:
  """Lines about leaves that differ, parameters first, at most 20."""
  lines = [
    f'missing in the checkpoint: {name} {wanted[name]}'
    for name in wanted
    if name not in saved
  ]
  lines += [
    f'only in the checkpoint: {name} {saved[name]}'
    for name in saved
    if name not in wanted
  ]
  lines += [
    f'of another shape: {name} is {saved[name]} in the checkpoint, '
    f'{wanted[name]} in the model'
    for name in wanted
    if name in saved and saved[name] != wanted[name]
  ]
  # The optimizer's moments repeat every difference of the params.
  in_params = [line for line in lines if ' params/' in line]
  lines = in_params or lines
  if len(lines) > 20:
    lines = [*lines[:20], f'... and {len(lines) - 20} more']
  return lines


def _named(tree: Any) -> Iterator[tuple[str, Any]]:
  for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
    yield jax.tree_util.keystr(path, simple=True, separator='/'), leaf
