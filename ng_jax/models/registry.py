# SPDX-License-Identifier: Apache-2.0
"""Models by name."""

from collections.abc import Collection
import dataclasses
import difflib
from typing import Any

from flax import linen as nn

from ng_jax import specs
from ng_jax.models import editing
from ng_jax.models import gnn
from ng_jax.models import transformer
from ng_jax.models.baselines import dws
from ng_jax.models.baselines import mlp
from ng_jax.models.baselines import nfn
from ng_jax.models.baselines import probing
from ng_jax.models.baselines import statnn

MODELS: dict[str, type[nn.Module]] = {
  'dws': dws.WeightSpaceClassifier,
  'dws_edit': dws.WeightSpaceEditor,
  'mlp': mlp.FlatClassifier,
  'mlp_edit': mlp.FlatEditor,
  'nfn': nfn.NeuralFunctionalNetwork,
  'nfn_edit': nfn.NeuralFunctionalEditor,
  'ng_gnn': gnn.NeuralGraphGNN,
  'ng_gnn_edit': editing.GNNEditor,
  'ng_t': transformer.NeuralGraphTransformer,
  'ng_t_edit': editing.TransformerEditor,
  'probing': probing.Probing,
  'statnn': statnn.StatNN,
}


def create(
  name: str, *, spec: specs.NetworkSpec | None = None, **options: Any
) -> nn.Module:
  """Makes a model.

  Args:
    name: a key of `MODELS`, such as 'ng_gnn'.
    spec: of the (largest) network that will be read; fills in num_inputs,
      num_hidden_layers, num_output_nodes and num_weight_layers where the model
      has them and the options do not give them.
    **options: fields of the model.

  Returns:
    A Flax module: `model.init({'params': key}, graph)` and
    `model.apply(variables, graph, train=..., rngs={'dropout': key})`.
    Jit: static.

  Raises:
    ValueError: an unknown name or option; the known ones are listed.
  """
  if name not in MODELS:
    raise ValueError(
      f'unknown model {name!r}; expected one of {sorted(MODELS)}.'
    )
  known = [
    f.name
    for f in dataclasses.fields(MODELS[name])
    if f.name not in ('parent', 'name')
  ]
  check_options(f'model {name!r}', options, known)
  if spec is not None:
    sizes = {
      'num_inputs': spec.num_inputs,
      'num_hidden_layers': spec.num_hidden_sets,
      'num_output_nodes': spec.num_outputs,
      'num_weight_layers': sum(block.type != 'skip' for block in spec.blocks),
    }
    sizes = {field: size for field, size in sizes.items() if field in known}
    options = {**sizes, **options}
  return MODELS[name](**options)


def check_options(
  owner: str, options: Collection[str], known: Collection[str]
) -> None:
  """Refuses options that their owner does not have.

  Args:
    owner: what they are for, such as "model 'ng_gnn'".
    options: names that were given.
    known: names that there are.

  Raises:
    ValueError: an unknown name; the known ones are listed. Jit: static.
  """
  for option in options:
    if option not in known:
      close = difflib.get_close_matches(option, list(known), n=1)
      hint = f'; did you mean {close[0]!r}?' if close else ''
      raise ValueError(
        f'{owner} has no option {option!r}{hint} Known options: '
        f'{sorted(known)}.'
      )
