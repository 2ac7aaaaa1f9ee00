# SPDX-License-Identifier: Apache-2.0
"""Reads recordings of the official code: what went in, what it is called.

A recording is an .npz file with the official state (`param/<name>`), inputs
(`in/...`) and `config`, a JSON string. `READERS` says for each official class
how its inputs become what our model is applied to, and under which names its
outputs are recorded. Whatever else a file holds is not read.
"""

from collections.abc import Callable, Mapping
import os
import pathlib
import re
from typing import Any, NamedTuple

import jax
import numpy as np

from ng_jax import graphs
from ng_jax import specs
from ng_jax.files import arrays
from ng_jax.files import texts
from ng_jax.models.official import inputs_cnn
from ng_jax.models.official import statnn

Config = Mapping[str, Any]
Inputs = Mapping[str, np.ndarray]


class Recording(NamedTuple):
  """One recording, without its outputs.

  Attributes:
    name: of the file, without its ending.
    state: official names to arrays.
    inputs: arrays by name, without 'in/'.
    config: the official configuration.
  """

  name: str
  state: dict[str, np.ndarray]
  inputs: dict[str, np.ndarray]
  config: dict[str, Any]


class Reader(NamedTuple):
  """How recordings of one official class are read.

  Attributes:
    read: (inputs, config) -> what our model is applied to, in general a graph.
    name_outputs: model output -> {name without 'out/': array}; may be jitted.
    spec: config -> spec of one network (the largest) that the model reads.
  """

  read: Callable[[Inputs, Config], Any]
  name_outputs: Callable[[Any], dict[str, jax.Array]]
  spec: Callable[[Config], specs.NetworkSpec]


def read_inrs(inputs: Inputs, config: Config) -> Any:
  """Networks of one spec, recorded layer by layer.

  Args:
    inputs: 'weights_i' [num_graphs, in, out, 1], 'biases_i' [num_graphs, out,
      1].
    config: is not looked at.

  Returns:
    The graph of `graphs.encode`. Jit: no.
  """
  del config
  num_layers = sum(name.startswith('weights_') for name in inputs)
  kernels = [inputs[f'weights_{i}'][..., 0] for i in range(num_layers)]
  biases = [inputs[f'biases_{i}'][..., 0] for i in range(num_layers)]
  sizes = (kernels[0].shape[1], *(kernel.shape[2] for kernel in kernels))
  weights = {
    f'layer_{i + 1}': {'kernel': kernel, 'bias': bias}
    for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True))
  }
  return graphs.encode(graphs.topology(specs.mlp(sizes, 'sine')), weights)


def name_updates(update: Any) -> dict[str, jax.Array]:
  """Inverse of the inputs' layout, for a chain's weights tree.

  Args:
    update: {'layer_l': {'kernel': [B, in, out], 'bias': [B, out]}}.

  Returns:
    {'weights_i': [B, in, out, 1], ..., 'biases_i': [B, out, 1]}. Jit: yes.
  """
  layers = [update[f'layer_{i + 1}'] for i in range(len(update))]
  kernels = {f'weights_{i}': x['kernel'] for i, x in enumerate(layers)}
  biases = {f'biases_{i}': x['bias'] for i, x in enumerate(layers)}
  return {name: x[..., None] for name, x in (kernels | biases).items()}


def name_logits(logits: jax.Array) -> dict[str, jax.Array]:
  """Predictions of classifiers, {'logits': [B, classes]}. Jit: yes."""
  return {'logits': logits}


def name_predictions(pred: jax.Array) -> dict[str, jax.Array]:
  """Predictions on CNNs, {'pred': [B, num_outputs]}. Jit: yes."""
  return {'pred': pred}


def _inr_spec(config: Config) -> specs.NetworkSpec:
  return specs.mlp(tuple(config['layer_layout']), 'sine')


def _torch_spec(config: Config) -> specs.NetworkSpec:
  shapes = [tuple(shape) for shape in config['weight_shapes']]
  return inputs_cnn.torch_spec(
    {f'weights_{i}': shape for i, shape in enumerate(shapes)}
    | {f'biases_{i}': shape[:1] for i, shape in enumerate(shapes)}
  )


INR_CLASSIFIER = Reader(read_inrs, name_logits, _inr_spec)
INR_EDITOR = Reader(read_inrs, name_updates, _inr_spec)
CNN_PREDICTOR = Reader(
  inputs_cnn.read_stack, name_predictions, inputs_cnn.deepest_spec
)
ZOO_PREDICTOR = Reader(
  inputs_cnn.read_torch_layers, name_predictions, _torch_spec
)
# Official class -> how its recordings are read.
READERS: dict[str, Reader] = {
  'nn.dense_gnn.GNNParams': INR_EDITOR,
  'nn.dense_relational_transformer.RelationalTransformerParams': INR_EDITOR,
  'nn.dws.models.DWSModel': INR_EDITOR,
  'nn.dws.models.DWSModelForClassification': INR_CLASSIFIER,
  'nn.dynamic_gnn.GNNForGeneralization': CNN_PREDICTOR,
  'nn.dynamic_relational_transformer.DynamicRelationalTransformer': (
    CNN_PREDICTOR
  ),
  'nn.dynamic_stat_net.DynamicStatNet': Reader(
    statnn.read_features, name_predictions, statnn.deepest_spec
  ),
  'nn.gnn.GNNForClassification': INR_CLASSIFIER,
  'nn.nfn.models.InvariantNFN': INR_CLASSIFIER,
  'nn.nfn.models.TransferNet': INR_EDITOR,
  'nn.original_nfn.models.InvariantNFN': ZOO_PREDICTOR,
  'nn.original_nfn.models.StatNet': ZOO_PREDICTOR,
  'nn.relational_transformer.RelationalTransformer': INR_CLASSIFIER,
}
# Some recordings are of patched code; what `config['patch']` says of it, and
# the option that does the same here.
_PATCHES = (
  (r'bias updates read from the nodes.*', 'biases_from_start', False),
  (r'std aggregation set to 0.*', 'zero_small_std', True),
)


def reader(config: Config) -> Reader:
  """The reader of a configuration's class.

  Args:
    config: with 'model'.

  Returns:
    The entry of `READERS`. Jit: no.

  Raises:
    ValueError: a class that has none; the known ones are listed.
  """
  target = config.get('model', {}).get('_target_')
  if target not in READERS:
    raise ValueError(
      f'config names the official model {target!r}; can read inputs of '
      f'{sorted(READERS)}.'
    )
  return READERS[target]


def patched_options(config: Config) -> dict[str, Any]:
  """Options that follow from a patch of the official code.

  Args:
    config: with 'patch' if there was one.

  Returns:
    Options to override those of `official.model_options`. Jit: no.
  """
  patch = config.get('patch') or ''
  return {
    option: value
    for pattern, option, value in _PATCHES
    if re.fullmatch(pattern, patch)
  }


def read(path: str | os.PathLike[str]) -> Recording:
  """Reads a recording; its outputs are left in the file.

  Args:
    path: of an .npz file.

  Returns:
    The recording. Jit: no.

  Raises:
    ValueError: not an .npz file of arrays, or one without `config`.
  """
  path = pathlib.Path(path)
  parts: dict[str, dict[str, np.ndarray]] = {'param': {}, 'in': {}}
  try:
    found = arrays.read_npz(path)
    for key, value in found.items():
      kind, _, name = key.partition('/')
      if kind in parts:
        parts[kind][name] = value
    config = texts.parse_json(str(found['config']))
  except (OSError, KeyError, ValueError) as error:
    raise ValueError(
      f'{path} must be an .npz file of arrays with a JSON string config, but '
      f'it could not be read: {error!r}.'
    ) from error
  return Recording(path.stem, parts['param'], parts['in'], config)
