# SPDX-License-Identifier: Apache-2.0
"""Which part of the optimizee a node is, for graphs of any size."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ng_jax.graphs import structure

# Rows of the running table that are learned; the paper's networks use 12 to 15
# of them. Later rows are computed.
NUM_RUNNING_ROWS = 64
# Hidden layers that have a row of their own by role; the rest share its last.
MAX_DEPTH = 8
_BASE = 10_000.0


def sinusoid(rows: np.ndarray, features: int) -> np.ndarray:
  """Sinusoidal positions (Vaswani et al., 2017).

  Args:
    rows: [num_rows] int.
    features: width, even.

  Returns:
    [num_rows, features] float32, sines at even columns, cosines at odd ones.
    Jit: static.
  """
  frequencies = _BASE ** (-np.arange(0, features, 2) / features)
  angles = rows[:, None] * frequencies
  pairs = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
  return pairs.reshape(len(rows), features).astype(np.float32)


class SinusoidalPositions(nn.Module):
  """A learned vector per part of the network, sinusoidal at first.

  Attributes:
    features: width.
    indexing: 'running' counts each input, then each hidden layer, then each
      output, as in the paper: a row means something else for another number of
      inputs. 'role' has one row for all inputs, one per hidden layer (up to
      `MAX_DEPTH`) and one for all outputs.
  """

  features: int
  indexing: str = 'running'

  @nn.compact
  def __call__(self, node_ids: dict[str, np.ndarray]) -> jax.Array:
    """Looks up the nodes' rows.

    Args:
      node_ids: of a `graphs.Topology`.

    Returns:
      [num_nodes, features] float. Jit: yes, `node_ids` static.

    Raises:
      ValueError: unknown indexing.
    """
    rules = {'running': self._running, 'role': self._role}
    if self.indexing not in rules:
      raise ValueError(
        f'unknown indexing {self.indexing!r}; expected one of {sorted(rules)}.'
      )
    rows, size = rules[self.indexing](node_ids)

    def draw(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
      del key
      return jnp.asarray(sinusoid(np.arange(shape[0]), shape[1]))

    table = self.param('table', draw, (size, self.features))
    used = np.unique(rows)
    beyond = used[used >= size]
    # Few rows are used, many nodes use them: the product is a small one.
    learned = table[used[used < size]]
    known = jnp.concatenate(
      [learned, jnp.asarray(sinusoid(beyond, self.features), table.dtype)]
    )
    chosen = np.searchsorted(used, rows)
    return jax.nn.one_hot(chosen, len(used), dtype=table.dtype) @ known

  def _running(self, ids: dict[str, np.ndarray]) -> tuple[np.ndarray, int]:
    role, roles = ids['role'], structure.ROLES
    num_inputs = int(np.sum(role == roles['input']))
    num_hidden = len(set(ids['depth'][role == roles['hidden']]))
    rows = np.select(
      [role == roles['input'], role == roles['hidden']],
      [ids['index'], num_inputs + ids['depth'] - 1],
      num_inputs + num_hidden + ids['index'],
    )
    return rows, NUM_RUNNING_ROWS

  def _role(self, ids: dict[str, np.ndarray]) -> tuple[np.ndarray, int]:
    role, roles = ids['role'], structure.ROLES
    rows = np.select(
      [role == roles['input'], role == roles['hidden']],
      [0, np.minimum(ids['depth'], MAX_DEPTH)],
      MAX_DEPTH + 1,
    )
    return rows, MAX_DEPTH + 2
