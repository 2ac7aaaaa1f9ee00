# SPDX-License-Identifier: Apache-2.0
"""Turns a checkpoint of the official code into a saved model."""

from collections.abc import Mapping
import os
import pathlib
from typing import Any

from flax import linen as nn
import jax
import numpy as np

from ng_jax import graphs
from ng_jax import models
from ng_jax import specs
from ng_jax.files import texts
from ng_jax.models import official
from ng_jax.models.official import recordings
from ng_jax.models.official import reruns
from ng_jax.pretrained import arrays
from ng_jax.pretrained import bounds
from ng_jax.pretrained import folders


def convert_official(
  config_path: str | os.PathLike[str],
  state_path: str | os.PathLike[str],
  out_dir: str | os.PathLike[str],
) -> pathlib.Path:
  """Converts an official checkpoint and saves it for `load_pretrained`.

  The model is made in parity mode: it predicts what the official one does,
  quirks included (spec 8).

  Args:
    config_path: JSON with 'model' (the official Hydra node, resolved) and what
      the official code passes besides, such as 'layer_layout'.
    state_path: of the state_dict, see `arrays.read_state`.
    out_dir: folder to write.

  Returns:
    The folder. Jit: no.

  Raises:
    ValueError: a file that cannot be read, a class without counterpart, a state
      that does not fit, a folder of something else.
  """
  try:
    config = texts.read_json(config_path)
  except (OSError, ValueError) as error:
    raise ValueError(
      f'{config_path} must be a JSON file with the official config, but it '
      f'cannot be read: {error}.'
    ) from error
  state = arrays.read_state(state_path)
  try:
    name, model, spec, expected = _make(config)
  except Exception as error:  # A damaged config can raise nearly anything.
    raise ValueError(
      f'{config_path} must describe an official model, but no model can be '
      f'made of it: {error!r}.'
    ) from error
  variables = official.convert(name, state, expected)
  variables = jax.tree.map(np.asarray, variables)
  return folders.save_pretrained(out_dir, model, variables, spec=spec)


def _make(
  config: Mapping[str, Any],
) -> tuple[str, nn.Module, specs.NetworkSpec, dict[str, Any]]:
  """Name and model of a config, the network it reads, and its variables."""
  name, options = official.model_options(config)
  options |= recordings.patched_options(config)
  bounds.check_options(options)
  model = models.create(name, **options)
  spec = recordings.reader(config).spec(config)
  bounds.check_spec(spec, max_weights=bounds.MAX_MADE)
  weights = specs.from_leaf_arrays(
    {
      leaf.path: np.zeros((1, *spec.leaf_shape(leaf)), np.float32)
      for leaf in spec.leaves
    }
  )
  graph = graphs.encode(graphs.topology(spec), weights)
  return name, model, spec, reruns.expected_variables(model, graph)
