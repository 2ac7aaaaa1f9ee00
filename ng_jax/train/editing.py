# SPDX-License-Identifier: Apache-2.0
"""Editing of INRs through their weights: the paper's section 4.1.

A model reads a network and writes an update of its weights, so that the network
draws an edited image: by default, the dilated one. `run` trains, selects on
validation and reports the test split once; `evaluate`, `edit` and `export` use
the best checkpoint of a working directory. A notebook and the binary call the
same functions.
"""

from collections.abc import Callable
import functools
import pathlib
from typing import Any

import ml_collections
import numpy as np

from ng_jax import plots
from ng_jax import processes
from ng_jax import specs
from ng_jax.data import image_edits
from ng_jax.data import shards
from ng_jax.train import editing_config
from ng_jax.train import editing_data
from ng_jax.train import editing_results
from ng_jax.train import editor
from ng_jax.train import experiment as experiment_lib
from ng_jax.train import exporting
from ng_jax.train import inr_sources
from ng_jax.train import metrics
from ng_jax.train import run_config
from ng_jax.train import running
from ng_jax.train import state as state_lib


def run(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  *,
  source: str = '',
  image_edit: image_edits.ImageEdit | None = None,
) -> dict[str, float]:
  """Trains, or goes on training, and reports the test split.

  Called again with the same config and workdir it continues from the latest
  checkpoint and ends with the numbers of an uninterrupted run; after the end
  it evaluates and draws again.

  Args:
    config: see `editing_config.default_config`.
    workdir: gets config.json, metrics.jsonl, checkpoints/, pictures/ and,
      with tensorboardX, tensorboard/.
    source: how the config was asked for, noted in config.json.
    image_edit: a function in place of config.edit, from an image [rows,
      columns, channels] uint8 to the same; white is 255.

  Returns:
    The last line of metrics.jsonl: metrics of the last step, 'best_step',
    'best_validation_mse', and of the parameters with the lowest validation
    error (the later of equals) 'test_mse' and 'no_edit_mse', the errors of the
    edited and unedited test networks; with config.out_of_domain.source also
    'out_of_domain_mse' and 'out_of_domain_no_edit_mse'. White is 1; papers
    report 100 times these numbers.

  Raises:
    ValueError: a bad config, bad data, a bad edit, a workdir of another run or
      model, a loss that is not finite.
  """
  config, task = _choose(config, image_edit)
  return running.run(task, config, workdir, source=source)


def evaluate(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  *,
  image_edit: image_edits.ImageEdit | None = None,
) -> dict[str, float]:
  """Evaluates the best checkpoint on validation, test and out of the domain.

  Args:
    config: of the run, or with other data for networks of the same spec.
    workdir: of the run; gets evaluation.json.
    image_edit: as for `run`.

  Returns:
    'step', 'validation_mse', 'validation_no_edit_mse' and the test metrics of
    `run`.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another model.
  """
  config, task = _choose(config, image_edit)
  return running.evaluate(task, config, workdir)


def edit(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  *,
  image_edit: image_edits.ImageEdit | None = None,
) -> pathlib.Path:
  """Edits every network of the test split with the best checkpoint.

  Args:
    config: of the run, or with other data for networks of the same spec.
    workdir: of the run; gets edited.safetensors, the edited weights under their
      leaf paths, [num_networks, *leaf_shape], and edited.csv, a line a network
      with the columns example, image, label, mse, no_edit_mse.
    image_edit: as for `run`.

  Returns:
    The path of edited.safetensors.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another model.
  """
  config, task = _choose(config, image_edit)
  experiment, state = running.restore_best(task, config, workdir)
  path = pathlib.Path(workdir) / 'edited.safetensors'
  with running.precision(config):
    found = editing_results.measure(
      experiment, state, 'test', keep_weights=True
    )
  if processes.is_first():
    shards.write(path, specs.leaf_arrays(found.weights))
    editing_results.write_errors(path.with_suffix('.csv'), experiment, found)
  return path


def export(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  *,
  image_edit: image_edits.ImageEdit | None = None,
) -> pathlib.Path:
  """Saves the best checkpoint as a model that `ng_jax.load_pretrained` reads.

  Args:
    config: of the run.
    workdir: of the run; gets the folder model/.
    image_edit: as for `run`.

  Returns:
    The folder.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another model.
  """
  config, task = _choose(config, image_edit)
  return exporting.export(task, config, workdir, describe=_describe)


def prepare(
  config: ml_collections.ConfigDict,
  *,
  image_edit: image_edits.ImageEdit | None = None,
) -> experiment_lib.Experiment:
  """Builds the experiment of a config.

  Args:
    config: with the fields of `editing_config.default_config`.
    image_edit: a function in place of config.edit.

  Returns:
    The experiment; making its data may take long the first time.

  Raises:
    ValueError: bad options, too few devices, weights that are not finite, a
      data set without images, an edit that changes their form.
  """
  image_edit = image_edit or image_edits.find(config.edit)
  inputs = editing_data.load(config, image_edit)
  weights, splits = experiment_lib.lay_out(inputs.parts)
  network = inputs.dataset.network
  model = experiment_lib.make_model(config, inputs.dataset)
  return experiment_lib.assemble(
    config,
    inputs.dataset,
    model=model,
    data={
      'weights': weights,
      'target': np.concatenate([inputs.targets[name] for name in splits]),
    },
    splits=splits,
    loss_function=editor.make_loss_function(model, network),
    metric_function=editor.make_metric_function(model, network),
  )


def _describe(experiment: experiment_lib.Experiment) -> exporting.Reader:
  details = {
    'task': f'editing of INRs: {experiment.config.edit}',
    'data': inr_sources.title(experiment.config.data),
    'outputs': 'an update of the weights, for models.apply_update',
  }
  spec = experiment.dataset.network.spec
  return exporting.Reader(experiment.model, spec, None, details)


def _choose(
  config: ml_collections.ConfigDict,
  image_edit: image_edits.ImageEdit | None,
) -> tuple[ml_collections.ConfigDict, running.Task]:
  """The config, which names the edit that is made, and the task."""
  if image_edit is not None:
    config = config.copy_and_resolve_references()
    config.edit = image_edits.name_of(image_edit)
  task = running.Task(
    check=functools.partial(editing_config.check, image_edit=image_edit),
    defaults=functools.partial(
      run_config.of_model, editing_config.default_config
    ),
    prepare=functools.partial(prepare, image_edit=image_edit),
    average=metrics.averages,
    validate=_validate,
    test=_test,
    draw=_draw,
    metric='validation_mse',
    mode='min',
  )
  return config, task


def _metrics(found: editing_results.Edited, split: str) -> dict[str, float]:
  """Metrics as runs report them: 'test_mse', but 'no_edit_mse'."""
  prefix = '' if split == 'test' else f'{split}_'
  return {
    f'{split}_mse': found.means['mse'],
    f'{prefix}no_edit_mse': found.means['no_edit_mse'],
  }


def _validate(
  experiment: experiment_lib.Experiment, state: state_lib.TrainState
) -> dict[str, float]:
  found = editing_results.measure(
    experiment, state, 'validation', keep_weights=False
  )
  return _metrics(found, 'validation')


def _test(
  experiment: experiment_lib.Experiment, state: state_lib.TrainState
) -> tuple[dict[str, float], dict[str, editing_results.Edited]]:
  """Measures the test split, and the one out of the domain if there is one."""
  found = {
    split: editing_results.measure(experiment, state, split, keep_weights=True)
    for split in ('test', editing_data.OUT_OF_DOMAIN)
    if split in experiment.splits
  }
  reported: dict[str, float] = {}
  for split, edited in found.items():
    reported |= _metrics(edited, split)
  return reported, found


def _draw(
  experiment: experiment_lib.Experiment,
  tested: dict[str, editing_results.Edited],
  lines: list[dict[str, Any]],
) -> dict[str, Callable[[], Any]]:
  config = experiment.config
  title = f'{config.model.name}, {config.edit}'
  panels = {
    'edited' if split == 'test' else f'edited_{split}': functools.partial(
      editing_results.draw_panels,
      experiment,
      found,
      split,
      title=f'{title}, {split} split',
    )
    for split, found in tested.items()
  }
  curves = functools.partial(plots.error_curves, lines, title=title)
  return {'learning_curves': curves, **panels}
