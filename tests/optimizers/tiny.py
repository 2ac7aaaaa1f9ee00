# SPDX-License-Identifier: Apache-2.0
"""Small optimizers and optimizees for the tests of learned optimizers."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import networks
from ng_jax import optimizers
from ng_jax import specs

# Smallest options that leave out no part.
OPTIONS: dict[str, dict[str, Any]] = {
  'ff': {'hidden_sizes': (8, 8)},
  'google_ff': {'hidden_sizes': (8, 8)},
  'google_lstm': {'lstm_size': 6, 'hidden_sizes': (8,)},
  'google_nfn': {'features': 4, 'num_layers': 1},
  'lstm': {'hidden_size': 8},
  'nfn': {'features': 8, 'num_layers': 1, 'num_head_layers': 1},
  'ng_gnn': {'features': 8, 'num_layers': 2, 'num_head_layers': 1},
  'ng_t': {
    'features': 8,
    'num_heads': 2,
    'num_layers': 2,
    'num_head_layers': 1,
  },
}
NEED_SPEC = ('google_nfn', 'nfn', 'ng_gnn', 'ng_t')
# Repeated widths, so that a mix-up of layers is no error of shapes.
MLP = networks.Mlp((3, 4, 4, 2))
CNN = networks.Cnn(
  channels=(1, 3, 3), kernel_sizes=(3, (2, 3)), num_classes=2, paddings=(1, 1)
)


def create(name: str, spec: Any = None, **options: Any) -> Any:
  """An optimizer with the options of this module and others."""
  return optimizers.create(name, spec, **{**OPTIONS[name], **options})


@functools.cache
def _shapes(optimizer: Any) -> Any:
  key = jax.eval_shape(lambda: jax.random.key(0))
  return jax.eval_shape(optimizer.init, key)


def draw_theta(optimizer: Any, seed: int = 0, scale: float = 1.0) -> Any:
  """Parameters with large contexts, and without the time to compile `init`."""
  rng = np.random.default_rng(seed)

  def draw(leaf: Any) -> jax.Array:
    fan_in = leaf.shape[-2] if len(leaf.shape) > 1 else 4
    values = rng.normal(size=leaf.shape) * scale / np.sqrt(fan_in)
    return jnp.asarray(values, leaf.dtype)

  return jax.tree.map(draw, _shapes(optimizer))


def draw_like(tree: Any, seed: int, scale: float = 1.0) -> Any:
  """Normal arrays of the same shapes and dtypes, of several magnitudes."""
  rng = np.random.default_rng(seed)

  def draw(leaf: Any) -> jax.Array:
    values = rng.normal(size=leaf.shape) * 10.0 ** rng.uniform(
      -3, 0, leaf.shape
    )
    return jnp.asarray(scale * values, leaf.dtype)

  return jax.tree.map(draw, tree)


def draw_params(spec: Any, seed: int = 0, dtype: Any = jnp.float32) -> Any:
  """{path: array} of a spec, nested."""
  leaves = [leaf for leaf in spec.leaves if leaf.kind != 'buffer']
  shapes = {x.path: spec.leaf_shape(x) for x in leaves}
  zeros = {path: jnp.zeros(shape, dtype) for path, shape in shapes.items()}
  return draw_like(specs.from_leaf_arrays(zeros), seed)


def assert_trees_close(found: Any, expected: Any, **tolerance: Any) -> None:
  """Compares structure, shapes and values."""
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  for a, b in zip(
    jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
  ):
    assert jnp.shape(a) == jnp.shape(b)
    np.testing.assert_allclose(a, b, **tolerance)
