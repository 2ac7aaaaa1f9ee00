# SPDX-License-Identifier: Apache-2.0
"""What an editor does on a split of networks: errors, weights, pictures."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from ng_jax import plots
from ng_jax import specs
from ng_jax.data import image_edits
from ng_jax.train import editor
from ng_jax.train import experiment as experiment_lib
from ng_jax.train import metrics
from ng_jax.train import reports
from ng_jax.train import state as state_lib

_ERRORS = ('mse', 'no_edit_mse')
_NUM_PANELS = 8


@dataclasses.dataclass(frozen=True)
class Edited:
  """What an editor does on a split.

  Attributes:
    means: {'mse', 'no_edit_mse'}: means over the networks of the squared error
      against the edited image, averaged over pixels, of the edited and of the
      unedited network; white is 1.
    errors: the same of each network, [num_networks] float32.
    weights: edited, leaves [num_networks, *leaf_shape], on the host.
  """

  means: dict[str, float]
  errors: dict[str, np.ndarray]
  weights: dict[str, Any]


def measure(
  experiment: experiment_lib.Experiment,
  state: state_lib.TrainState,
  split: str,
  *,
  keep_weights: bool,
) -> Edited:
  """Edits all networks of a split.

  Args:
    experiment: of an editing run.
    state: of the run.
    split: its name.
    keep_weights: whether to keep the edited weights.

  Returns:
    Exact means, whatever the batch size; without weights where they are not
    kept. Jit: no.
  """
  leaves = experiment.dataset.network.spec.leaves if keep_weights else ()
  paths = tuple(leaf.path for leaf in leaves)
  sums, results = experiment.measure(
    state,
    split,
    names=(*_ERRORS, *(editor.WEIGHTS + path for path in paths)),
  )
  return Edited(
    means=metrics.averages(sums),
    errors={name: results[name] for name in _ERRORS},
    weights=specs.from_leaf_arrays(
      {path: results[editor.WEIGHTS + path] for path in paths}
    ),
  )


def draw_panels(
  experiment: experiment_lib.Experiment,
  found: Edited,
  split: str,
  *,
  title: str,
) -> Any:
  """Draws networks before and after the edit, and between them the target.

  Args:
    experiment: of an editing run.
    found: of `measure`, with the weights.
    split: its name.
    title: begins the line above the figure.

  Returns:
    A matplotlib Figure; above each column the squared errors x 100 against the
    target, before and after. Jit: no.
  """
  part = experiment.splits[split]
  rows = reports.spread(part.labels, _NUM_PANELS)
  data = jax.tree.map(lambda x: x[part.first_row + rows], experiment.data)
  edited = jax.tree.map(lambda x: x[rows], found.weights)
  network, shape = experiment.dataset.network, data['target'].shape[1:3]
  return plots.edit_panels(
    np.asarray(network.render_pixels(data['weights'], shape)),
    np.asarray(data['target']) / image_edits.WHITE,
    np.asarray(network.render_pixels(edited, shape)),
    title=f'{title}: squared error x 100, before and after',
  )


def write_errors(
  path: pathlib.Path, experiment: experiment_lib.Experiment, found: Edited
) -> None:
  """Writes a line of CSV for each network of the test split.

  Args:
    path: of the file.
    experiment: of an editing run.
    found: of `measure` on the test split.
  """
  part, names = experiment.splits['test'], experiment.dataset.class_names
  columns = (part.image_index, part.labels, *found.errors.values())
  reports.write_table(
    path,
    ('example', 'image', 'label', *found.errors),
    [
      (number, image, names[label], *(f'{error:.6g}' for error in errors))
      for number, (image, label, *errors) in enumerate(
        zip(*columns, strict=True)
      )
    ],
  )
