# SPDX-License-Identifier: Apache-2.0
"""Saved models: a folder with params.safetensors and config.json.

The arrays are named '<collection>/<path>'. The config holds the registry name,
every option, the spec of one network that the model reads, the common kernel,
and what is known of its training; it is written last, so a folder without it is
not finished. Nothing is ever pickled.
"""

from collections.abc import Mapping
import dataclasses
import json
import os
import pathlib
from typing import Any

from flax import linen as nn
import jax
import numpy as np
from safetensors import numpy as safetensors_numpy

from ng_jax import graphs
from ng_jax import models
from ng_jax import specs
from ng_jax.files import limits
from ng_jax.files import texts
from ng_jax.pretrained import arrays
from ng_jax.pretrained import prediction
from ng_jax.pretrained import tagged
from ng_jax.specs import bounds

VERSION = 1
_CONFIG, _PARAMS = 'config.json', 'params.safetensors'
_FORMAT, _HUB = 'ng_jax.pretrained', 'hub:'


def save_pretrained(
  path: str | os.PathLike[str],
  model: nn.Module,
  variables: Mapping[str, Any],
  *,
  spec: specs.NetworkSpec,
  kernel: tuple[int, int] | None = None,
  details: Mapping[str, Any] | None = None,
  overwrite: bool = False,
) -> pathlib.Path:
  """Writes a model with its variables into a folder.

  Each file is written under a temporary name and renamed.

  Args:
    path: of the folder, made when needed.
    model: of `models.create`.
    variables: {'params': ..., 'constants': ...}, as `model.init` returns them.
    spec: of one network (the largest) that the model reads.
    kernel: (height, width) to which convolution kernels are padded; None for
      the largest of the spec.
    details: what JSON can hold, such as the config and measured scores.
    overwrite: replace a saved model with other options too; one with the same
      options is always replaced.

  Returns:
    The folder. Jit: no.

  Raises:
    ValueError: a model that is not in `models.MODELS`, an option that is not
      JSON, variables that do not fit the model, a folder of another model or of
      something else.
  """
  path = pathlib.Path(path)
  flat = {
    name: np.asarray(jax.device_get(value))
    for name, value in specs.leaf_arrays(variables).items()
  }
  kernel = graphs.topology(spec, kernel).kernel
  _check_arrays(flat, _expected(model, spec, kernel), where='variables')
  config = {
    'format': _FORMAT,
    'version': VERSION,
    'model': _registry_name(model),
    'options': {
      field.name: tagged.to_json(getattr(model, field.name), name=field.name)
      for field in dataclasses.fields(model)
      if field.name not in ('parent', 'name')
    },
    'spec': tagged.to_json(spec, name='spec'),
    'kernel': list(kernel),
    'details': dict(details or {}),
  }
  _check_folder(path, config, overwrite=overwrite)
  path.mkdir(parents=True, exist_ok=True)
  # Until the new config is there, the folder counts as unfinished.
  (path / _CONFIG).unlink(missing_ok=True)
  _write(path / _PARAMS, safetensors_numpy.save(_contiguous(flat)))
  _write(path / _CONFIG, (json.dumps(config, indent=2) + '\n').encode())
  return path


def load_pretrained(path: str | os.PathLike[str]) -> prediction.PretrainedModel:
  """Reads a model that `save_pretrained` wrote.

  Args:
    path: of the folder; 'hub:user/name' downloads one from the Hugging Face hub
      first, which needs huggingface_hub.

  Returns:
    The model with its variables. Jit: no.

  Raises:
    ValueError: a missing or damaged file, an unknown model or option, a newer
      version of the format, a pickled file; or lists every missing, unknown and
      misshapen array at once.
  """
  if str(path).startswith(_HUB):
    path = _download(str(path).removeprefix(_HUB))
  path = pathlib.Path(path)
  described = _read_model(path / _CONFIG)
  try:
    expected = _expected(described.model, described.spec, described.kernel)
  except Exception as error:
    raise _no_model(path / _CONFIG, error) from error
  variables = _read_variables(path / _PARAMS, expected)
  return dataclasses.replace(described, variables=variables)


def _read_model(path: pathlib.Path) -> prediction.PretrainedModel:
  """What the config says, without variables."""
  config = _read_config(path)
  try:
    options = {k: tagged.from_json(x) for k, x in config['options'].items()}
    spec = tagged.from_json(config['spec'])
    bounds.check_options(options)
    bounds.check_spec(spec)
    kernel = _read_kernel(config, spec)
    details = dict(config.get('details', {}))
    model = models.create(config['model'], **options)
    return prediction.PretrainedModel(model, {}, spec, kernel, details)
  except Exception as error:
    raise _no_model(path, error) from error


def _no_model(path: pathlib.Path, error: Exception) -> ValueError:
  """For whatever a damaged config raises, which can be nearly anything."""
  found = limits.told(error)
  return ValueError(f'{path} is no saved model: {found}; save it again.')


def _read_variables(
  path: pathlib.Path, expected: Mapping[str, Any]
) -> dict[str, Any]:
  flat = arrays.read_safetensors(path)
  _check_arrays(flat, expected, where=str(path))
  return jax.tree.map(jax.numpy.asarray, specs.from_leaf_arrays(flat))


def _registry_name(model: nn.Module) -> str:
  for name, kind in models.MODELS.items():
    if type(model) is kind:
      return name
  raise ValueError(
    f'model must be one of the registry, got {type(model).__name__}; make it '
    f'with models.create, known are {sorted(models.MODELS)}.'
  )


def _read_kernel(
  config: Mapping[str, Any], spec: specs.NetworkSpec
) -> tuple[int, int]:
  """The common kernel; folders of earlier versions do not name it."""
  if 'kernel' not in config:
    return graphs.topology(spec).kernel
  height, width = map(int, config['kernel'])
  bounds.check_kernel((height, width))
  return graphs.topology(spec, (height, width)).kernel


def _expected(
  model: nn.Module,
  spec: specs.NetworkSpec,
  kernel: tuple[int, int] | None,
) -> dict[str, Any]:
  """Shapes of the variables that the model has for networks of the spec."""
  weights = specs.from_leaf_arrays(
    {
      leaf.path: jax.ShapeDtypeStruct((1, *spec.leaf_shape(leaf)), np.float32)
      for leaf in spec.leaves
    }
  )

  def init(weights: Any) -> Any:
    graph = graphs.encode(graphs.topology(spec, kernel), weights)
    return model.init({'params': jax.random.key(0)}, graph)

  return specs.leaf_arrays(jax.eval_shape(init, weights))


def _check_arrays(
  found: Mapping[str, np.ndarray], wanted: Mapping[str, Any], *, where: str
) -> None:
  problems = [
    f'{name} {tuple(wanted[name].shape)} is missing'
    for name in wanted
    if name not in found
  ]
  problems += [f'{name} is unknown' for name in found if name not in wanted]
  problems += [
    f'{name} must have shape {tuple(wanted[name].shape)}, got '
    f'{found[name].shape}'
    for name in wanted
    if name in found and found[name].shape != tuple(wanted[name].shape)
  ]
  if problems:
    raise ValueError(
      f'{where} do not fit the model and its options: {"; ".join(problems)}.'
    )


def _check_folder(
  path: pathlib.Path, config: Mapping[str, Any], *, overwrite: bool
) -> None:
  if not path.exists() or (path.is_dir() and not any(path.iterdir())):
    return
  ours = path.is_dir() and (path / _PARAMS).exists()
  if not ours:
    raise ValueError(
      f'{path} must be a new or empty folder or one with a saved model, but '
      'holds something else; choose another path. Nothing was changed.'
    )
  try:
    saved = json.loads((path / _CONFIG).read_text(encoding='utf-8'))
  except (OSError, ValueError):
    saved = None
  if not overwrite and _without_details(saved) != _without_details(config):
    raise ValueError(
      f'{path} holds another model, one with other options, or one that was '
      'not finished; choose another path, or give overwrite=True. Nothing was '
      'changed.'
    )


def _without_details(config: Any) -> Any:
  """What decides whether two models are the same one, trained again."""
  if not isinstance(config, Mapping):
    return None
  return {name: x for name, x in config.items() if name != 'details'}


def _read_config(path: pathlib.Path) -> dict[str, Any]:
  if not path.is_file():
    raise ValueError(
      f'no file {path}; give the folder that save_pretrained wrote. A folder '
      'with params.safetensors only was not finished.'
    )
  try:
    config = texts.read_json(path)
    version = int(config['version'])
    if config['format'] != _FORMAT:
      raise ValueError(f'format {config["format"]!r}')
  except (LookupError, OverflowError, TypeError, ValueError) as error:
    raise ValueError(
      f'{path} must be the JSON that save_pretrained wrote, but it cannot be '
      f'read: {error!r}.'
    ) from error
  if version > VERSION:
    raise ValueError(
      f'{path} has format version {version}, this ng_jax reads up to {VERSION};'
      ' install a newer ng_jax.'
    )
  return config


def _write(path: pathlib.Path, content: bytes) -> None:
  partial = path.with_name(f'.{path.name}.{os.getpid()}.partial')
  partial.write_bytes(content)
  partial.replace(path)


def _contiguous(flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  # safetensors writes memory as it lies, whatever the strides.
  return {name: np.asarray(x, order='C') for name, x in flat.items()}


def _download(name: str) -> str:
  try:
    import huggingface_hub
  except ImportError as error:
    raise ValueError(
      f'{_HUB}{name} needs huggingface_hub, which is not installed; run pip '
      "install 'ng_jax[hub]', or download the folder and give its path."
    ) from error
  return huggingface_hub.snapshot_download(
    name, allow_patterns=[_CONFIG, _PARAMS]
  )
