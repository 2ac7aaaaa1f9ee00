# SPDX-License-Identifier: Apache-2.0
"""Tiny models for tests, with parameters that are drawn and not initialised.

Drawing them needs no compilation, and no bias or scale is left at a value that
hides a mistake.
"""

import dataclasses
from typing import Any

from flax import linen as nn
import jax
import numpy as np

from ng_jax import graphs
from ng_jax import models
from ng_jax import specs

# Models that see a graph: of any spec, in any layout, with probes.
GRAPH_MODELS = ('ng_gnn', 'ng_t')
# Models that give a vector per network.
PREDICTORS = (*GRAPH_MODELS, 'dws', 'mlp', 'nfn', 'probing', 'statnn')
# Options that make a model small; the editors share those of the predictors.
TINY: dict[str, dict[str, Any]] = {
  'ng_gnn': {'hidden_size': 6, 'num_layers': 2},
  'ng_t': {
    'node_size': 6,
    'edge_size': 4,
    'attention_size': 8,
    'num_heads': 2,
    'node_hidden_size': 6,
    'edge_hidden_size': 5,
    'readout_size': 7,
    'num_layers': 2,
  },
  'dws': {'hidden_size': 4, 'num_layers': 2, 'num_heads': 2},
  'dws_edit': {'out_scale': 0.5},
  'mlp': {'hidden_size': 6, 'num_layers': 1},
  'nfn': {'channels': (4, 3), 'readout_sizes': (6,), 'io_bands': 2},
  'probing': {'hidden_size': 8, 'num_layers': 2, 'num_probes': 3},
  'statnn': {'hidden_size': 6},
}


def create(name: str, spec: specs.NetworkSpec, **options: Any) -> nn.Module:
  """A tiny model of that name for networks of the spec."""
  known = {field.name for field in dataclasses.fields(models.MODELS[name])}
  small = {
    'num_outputs': 3,
    'fourier_size': 4,
    **TINY.get(name.removesuffix('_edit'), {}),
    **TINY.get(name, {}),
  }
  small = {option: x for option, x in small.items() if option in known}
  return models.create(name, spec=spec, **{**small, **options})


def draw_weights(
  spec: specs.NetworkSpec,
  *,
  num: int,
  seed: int = 0,
  dtype: Any = np.float32,
) -> dict[str, Any]:
  """A batch of weights of the spec, leaves [num, ...]."""
  rng = np.random.default_rng(seed)
  return specs.from_leaf_arrays(
    {
      leaf.path: rng.normal(0, 0.4, (num, *spec.leaf_shape(leaf))).astype(dtype)
      for leaf in spec.leaves
    }
  )


def draw_variables(
  model: nn.Module,
  spec: specs.NetworkSpec,
  *,
  seed: int = 0,
  dtype: Any = np.float32,
  topology: graphs.Topology | None = None,
) -> dict[str, Any]:
  """Random params; constants and running statistics that are positive."""

  topology = topology or graphs.topology(spec)

  def init(key: jax.Array, weights: Any) -> Any:
    graph = graphs.encode(topology, weights)
    return model.init({'params': key}, graph)

  key = jax.eval_shape(jax.random.key, 0)
  shapes = jax.eval_shape(init, key, draw_weights(spec, num=1))
  rng = np.random.default_rng(seed)

  def draw(path: str, shape: tuple[int, ...]) -> np.ndarray:
    kept = ('constants', 'batch_stats')
    if path.startswith(kept) or path.endswith('scale') or not shape:
      return np.asarray(rng.uniform(0.5, 1.5, shape), dtype)
    fan_in = shape[0] if len(shape) > 1 else 4
    return (1.5 * fan_in**-0.5 * rng.normal(size=shape)).astype(dtype)

  arrays = specs.leaf_arrays(shapes)
  return specs.from_leaf_arrays(
    {path: draw(path, array.shape) for path, array in arrays.items()}
  )
