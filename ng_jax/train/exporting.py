# SPDX-License-Identifier: Apache-2.0
"""From a run to a model that others load: its best checkpoint, in a folder.

The folder is what `ng_jax.load_pretrained` reads. Its details hold the config
without the places of files, and the measured scores.
"""

from collections.abc import Callable, Mapping
import pathlib
from typing import Any, NamedTuple

from flax import linen as nn
import ml_collections

from ng_jax import pretrained
from ng_jax import processes
from ng_jax import specs
from ng_jax.train import config as config_lib
from ng_jax.train import running

FOLDER = 'model'
# Fields that say where something lies on the machine of the run.
_PLACES = ('_source', 'data_dir', 'image_dir', 'path', 'split_file')


class Reader(NamedTuple):
  """What an experiment says of its model.

  Attributes:
    model: that is trained.
    spec: of one network (the largest) that it reads.
    kernel: to which the kernels of all networks are padded; None for the
      spec's own.
    details: what its outputs mean, as JSON.
  """

  model: nn.Module
  spec: specs.NetworkSpec
  kernel: tuple[int, int] | None
  details: dict[str, Any]


def export(
  task: running.Task,
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  *,
  describe: Callable[[Any], Reader],
) -> pathlib.Path:
  """Saves the best checkpoint of a run as a model that can be loaded.

  Args:
    task: of the experiment.
    config: of the run.
    workdir: of the run; gets the folder model/, see `pretrained.folders`.
    describe: of the experiment.

  Returns:
    The folder. Jit: no.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another model.
  """
  experiment, state, scores = running.measure_best(task, config, workdir)
  reader = describe(experiment)
  folder = pathlib.Path(workdir) / FOLDER
  if processes.is_first():
    pretrained.save_pretrained(
      folder,
      reader.model,
      state.variables,
      spec=reader.spec,
      kernel=reader.kernel,
      details={
        **reader.details,
        'scores': scores,
        'config': without_places(config_lib.to_json_types(config)),
      },
      overwrite=True,
    )
  return folder


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
  """A config without the fields that name files and folders.

  Args:
    config: nested, JSON types.

  Returns:
    The other fields. Jit: static.
  """
  return {
    name: without_places(value) if isinstance(value, Mapping) else value
    for name, value in config.items()
    if name not in _PLACES
  }
