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
from ng_jax.pretrained import folders
from ng_jax.specs import bounds


def convert_official(
  config_path: str | os.PathLike[str],
  state_path: str | os.PathLike[str],
  out_dir: str | os.PathLike[str],
) -> pathlib.Path:
  """Converts an official checkpoint and saves it for `load_pretrained`.

  The model is made in parity mode: it predicts what the official one does,
  quirks included.

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
  name, model, spec = _read_config(config_path)
  try:
    expected = _expected(model, spec)
  except Exception as error:
    raise _no_model(config_path, error) from error
  variables = _read_variables(state_path, name, expected)
  return folders.save_pretrained(out_dir, model, variables, spec=spec)


def _read_config(
  path: str | os.PathLike[str],
) -> tuple[str, nn.Module, specs.NetworkSpec]:
  """Our name and model of a config, and the network that it reads."""
  try:
    config = texts.read_json(path)
  except (OSError, ValueError) as error:
    raise ValueError(
      f'{path} must be a JSON file with the official config, but it cannot be '
      f'read: {error}.'
    ) from error
  try:
    return _make(config)
  except Exception as error:
    raise _no_model(path, error) from error


def _no_model(path: str | os.PathLike[str], error: Exception) -> ValueError:
  """For whatever a damaged config raises, which can be nearly anything."""
  return ValueError(
    f'{path} must describe an official model, but no model can be made of it: '
    f'{error!r}.'
  )


def _read_variables(
  path: str | os.PathLike[str], name: str, expected: Mapping[str, Any]
) -> dict[str, Any]:
  variables = official.convert(name, arrays.read_state(path), expected)
  return jax.tree.map(np.asarray, variables)


def _make(
  config: Mapping[str, Any],
) -> tuple[str, nn.Module, specs.NetworkSpec]:
  name, options = official.model_options(config)
  options |= recordings.patched_options(config)
  bounds.check_options(options)
  model = models.create(name, **options)
  spec = recordings.reader(config).spec(config)
  bounds.check_spec(spec, max_weights=bounds.MAX_MADE)
  return name, model, spec


def _expected(model: nn.Module, spec: specs.NetworkSpec) -> dict[str, Any]:
  """Variables of the model."""
  weights = specs.from_leaf_arrays(
    {
      leaf.path: np.zeros((1, *spec.leaf_shape(leaf)), np.float32)
      for leaf in spec.leaves
    }
  )
  graph = graphs.encode(graphs.topology(spec), weights)
  return reruns.expected_variables(model, graph)
