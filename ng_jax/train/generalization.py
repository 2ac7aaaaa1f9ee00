# SPDX-License-Identifier: Apache-2.0
"""CNN generalization: the test accuracy of a CNN from its weights (paper, 4.2).

Or the class of a network, with config.loss 'cross_entropy'. `run` trains,
selects on validation (Kendall's tau, or the accuracy of classes) and reports
the test split once; `evaluate`, `predict` and `export` use the best checkpoint
of a working directory. A notebook and the binary call the same functions.
"""

from collections.abc import Callable, Sequence
import functools
import pathlib
from typing import Any

import ml_collections

from ng_jax import plots
from ng_jax import processes
from ng_jax.train import exporting
from ng_jax.train import generalization_config
from ng_jax.train import metrics
from ng_jax.train import regression
from ng_jax.train import reports
from ng_jax.train import run_config
from ng_jax.train import running
from ng_jax.train import state as state_lib
from ng_jax.train import targets
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
    parameters with the best validation tau (the later of equals); of classes
    'best_validation_accuracy', 'test_loss' and 'test_accuracy'.

  Raises:
    ValueError: a bad config, bad data, a workdir of another run or model, a
      loss that is not finite.
  """
  return running.run(_task(config), config, workdir, source=source)


def evaluate(
  config: ml_collections.ConfigDict, workdir: str | pathlib.Path
) -> dict[str, float]:
  """Evaluates the best checkpoint on validation and test.

  Args:
    config: of the run, or with another zoo, of the same classes if any.
    workdir: of the run; gets evaluation.json.

  Returns:
    'step', and loss, tau and R2 (of classes loss and accuracy) of both splits.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another model.
  """
  return running.evaluate(_task(config), config, workdir)


def predict(
  config: ml_collections.ConfigDict, workdir: str | pathlib.Path
) -> pathlib.Path:
  """Predicts the accuracy or class of every network of the test split.

  Args:
    config: of the run, or with another zoo, of the same classes if any.
    workdir: of the run; gets predictions.csv.

  Returns:
    The file, with the columns network, accuracy, prediction, or of classes
    network, label, prediction, confidence.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another model.
  """
  experiment, state = running.restore_best(_task(config), config, workdir)
  path = pathlib.Path(workdir) / 'predictions.csv'
  with running.precision(config):
    found = experiment.evaluate(state, 'test')
  if processes.is_first():
    reports.write_table(path, *_table(experiment, found))
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
  return exporting.export(_task(config), config, workdir, describe=_describe)


def _describe(experiment: zoo_experiment.Experiment) -> exporting.Reader:
  largest = max(experiment.topologies, key=lambda t: t.num_edges)
  details: dict[str, Any] = {
    'task': 'accuracy of CNNs',
    'data': experiment.zoo.name,
    'outputs': 'the logit of the accuracy; a sigmoid gives the accuracy',
  }
  if experiment.zoo.class_names:
    details |= {
      'task': 'classification of networks',
      'outputs': 'a logit for each class',
      'class_names': list(experiment.zoo.class_names),
    }
  return exporting.Reader(
    experiment.model, largest.spec, largest.kernel, details
  )


def _table(
  experiment: zoo_experiment.Experiment, found: targets.Quality
) -> tuple[Sequence[str], list[tuple[str, ...]]]:
  """Columns and rows of the predictions of the test split."""
  split, classes = experiment.zoo.splits['test'], experiment.zoo.class_names
  answers = zip(split.names, split.target, found.predictions, strict=True)
  if isinstance(found, regression.Quality):
    return ('network', 'accuracy', 'prediction'), [
      (name, f'{target:.6g}', f'{guess:.6g}') for name, target, guess in answers
    ]
  return ('network', 'label', 'prediction', 'confidence'), [
    (name, classes[target], classes[guess], f'{sure:.4f}')
    for (name, target, guess), sure in zip(
      answers, found.confidences, strict=True
    )
  ]


def _validate(
  experiment: zoo_experiment.Experiment, state: state_lib.TrainState
) -> dict[str, float]:
  return experiment.evaluate(state, 'validation').scalars('validation')


def _test(
  experiment: zoo_experiment.Experiment, state: state_lib.TrainState
) -> tuple[dict[str, float], targets.Quality]:
  found = experiment.evaluate(state, 'test')
  return found.scalars('test'), found


def _draw(
  experiment: zoo_experiment.Experiment,
  found: targets.Quality,
  lines: list[dict[str, Any]],
) -> dict[str, Callable[[], Any]]:
  name, zoo = experiment.config.model.name, experiment.zoo
  title = f'{name} on {zoo.name}, test split: '
  curves = functools.partial(
    plots.learning_curves, lines, title=f'{name} on CNNs, {zoo.name}'
  )
  if isinstance(found, regression.Quality):
    return {
      'learning_curves': functools.partial(curves, quantity='tau'),
      'predictions': functools.partial(
        plots.scatter,
        zoo.splits['test'].target,
        found.predictions,
        title=f'{title}tau {found.tau:.3f}',
      ),
    }
  return {
    'learning_curves': curves,
    'confusion_matrix': functools.partial(
      plots.confusion_matrix,
      found.confusion,
      class_names=zoo.class_names,
      title=f'{title}accuracy {found.accuracy:.3f}',
    ),
  }


def _task(config: ml_collections.ConfigDict) -> running.Task:
  """Of accuracies or of classes, by the loss."""
  of_classes = config.get('loss') == targets.CROSS_ENTROPY
  return running.Task(
    check=generalization_config.check,
    defaults=functools.partial(
      run_config.of_model, generalization_config.default_config
    ),
    prepare=zoo_experiment.prepare,
    average=metrics.means if of_classes else regression.average,
    validate=_validate,
    test=_test,
    draw=_draw,
    metric='validation_accuracy' if of_classes else 'validation_tau',
    mode='max',
  )
