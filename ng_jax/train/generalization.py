# SPDX-License-Identifier: Apache-2.0
"""CNN generalization: the test accuracy of a CNN from its weights (paper, 4.2).

`run` trains, selects on validation (Kendall's tau) and reports the test split
once; `evaluate`, `predict` and `export` use the best checkpoint of a working
directory. A notebook and the binary call the same functions.
"""

from collections.abc import Callable
import csv
import functools
import pathlib
from typing import Any

import ml_collections

from ng_jax import plots
from ng_jax import processes
from ng_jax.train import exporting
from ng_jax.train import generalization_config
from ng_jax.train import regression
from ng_jax.train import running
from ng_jax.train import state as state_lib
from ng_jax.train import zoo_experiment


def run(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  *,
  source: str = '',
) -> dict[str, float]:
  """Trains, or goes on training, and reports the test split.

  Called again with the same config and workdir it continues from the latest
  checkpoint and ends with the numbers of an uninterrupted run.

  Args:
    config: see `generalization_config.default_config`.
    workdir: gets config.json, metrics.jsonl, checkpoints/, pictures/ and,
      with tensorboardX, tensorboard/.
    source: how the config was asked for, noted in config.json.

  Returns:
    The last line of metrics.jsonl: metrics of the last step, 'best_step',
    'best_validation_tau', 'test_loss', 'test_tau' and 'test_r2' of the
    parameters with the best validation tau (the later of equals).

  Raises:
    ValueError: a bad config, bad data, a workdir of another run or model, a
      loss that is not finite.
  """
  return running.run(_TASK, config, workdir, source=source)


def evaluate(
  config: ml_collections.ConfigDict, workdir: str | pathlib.Path
) -> dict[str, float]:
  """Evaluates the best checkpoint on validation and test.

  Args:
    config: of the run, or with another zoo.
    workdir: of the run; gets evaluation.json.

  Returns:
    'step', and loss, tau and R2 of both splits.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another model.
  """
  return running.evaluate(_TASK, config, workdir)


def predict(
  config: ml_collections.ConfigDict, workdir: str | pathlib.Path
) -> pathlib.Path:
  """Predicts the accuracy of every network of the test split.

  Args:
    config: of the run, or with another zoo.
    workdir: of the run; gets predictions.csv.

  Returns:
    The file, with the columns network, accuracy, prediction.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another model.
  """
  experiment, state = running.restore_best(_TASK, config, workdir)
  path = pathlib.Path(workdir) / 'predictions.csv'
  with running.precision(config):
    found = experiment.evaluate(state, 'test')
  if processes.is_first():
    _write_predictions(path, experiment, found)
  return path


def export(
  config: ml_collections.ConfigDict, workdir: str | pathlib.Path
) -> pathlib.Path:
  """Saves the best checkpoint as a model that `ng_jax.load_pretrained` reads.

  Args:
    config: of the run.
    workdir: of the run; gets the folder model/.

  Returns:
    The folder.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another model.
  """
  return exporting.export(_TASK, config, workdir, describe=_describe)


def _describe(experiment: zoo_experiment.Experiment) -> exporting.Reader:
  largest = max(experiment.topologies, key=lambda t: t.num_edges)
  details = {
    'task': 'accuracy of CNNs',
    'data': experiment.zoo.name,
    'outputs': 'the logit of the accuracy; a sigmoid gives the accuracy',
  }
  return exporting.Reader(
    experiment.model, largest.spec, largest.kernel, details
  )


def _write_predictions(
  path: pathlib.Path,
  experiment: zoo_experiment.Experiment,
  found: regression.Quality,
) -> None:
  split = experiment.zoo.splits['test']
  temporary = path.with_name(f'.part-{path.name}')
  with temporary.open('w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow(['network', 'accuracy', 'prediction'])
    for name, accuracy, prediction in zip(
      split.names, split.accuracy, found.predictions, strict=True
    ):
      writer.writerow([name, f'{accuracy:.6g}', f'{prediction:.6g}'])
  temporary.replace(path)


def _validate(
  experiment: zoo_experiment.Experiment, state: state_lib.TrainState
) -> dict[str, float]:
  return experiment.evaluate(state, 'validation').scalars('validation')


def _test(
  experiment: zoo_experiment.Experiment, state: state_lib.TrainState
) -> tuple[dict[str, float], regression.Quality]:
  found = experiment.evaluate(state, 'test')
  return found.scalars('test'), found


def _draw(
  experiment: zoo_experiment.Experiment,
  found: regression.Quality,
  lines: list[dict[str, Any]],
) -> dict[str, Callable[[], Any]]:
  name = experiment.config.model.name
  title = f'{name} on {experiment.zoo.name}, test split: tau {found.tau:.3f}'
  curves = functools.partial(
    plots.learning_curves,
    lines,
    title=f'{name} on CNNs, {experiment.zoo.name}',
    quantity='tau',
  )
  scatter = functools.partial(
    plots.scatter,
    experiment.zoo.splits['test'].accuracy,
    found.predictions,
    title=title,
  )
  return {'learning_curves': curves, 'predictions': scatter}


_TASK = running.Task(
  check=generalization_config.check,
  prepare=zoo_experiment.prepare,
  average=regression.average,
  validate=_validate,
  test=_test,
  draw=_draw,
  metric='validation_tau',
  mode='max',
)
