# SPDX-License-Identifier: Apache-2.0
"""Classification of INRs: the paper's first experiment (section 4.1).

`run` trains, selects on validation and reports the test split once;
`evaluate`, `predict` and `export` use the best checkpoint of a working
directory. A notebook and the binary call the same functions.
"""

from collections.abc import Callable
import functools
import pathlib
from typing import Any

import ml_collections
import numpy as np

from ng_jax import graphs
from ng_jax import networks
from ng_jax import plots
from ng_jax import processes
from ng_jax.train import classification_config
from ng_jax.train import classifier
from ng_jax.train import evaluate as evaluate_lib
from ng_jax.train import experiment as experiment_lib
from ng_jax.train import exporting
from ng_jax.train import inr_sources
from ng_jax.train import metrics
from ng_jax.train import reports
from ng_jax.train import robustness
from ng_jax.train import run_config
from ng_jax.train import running
from ng_jax.train import state as state_lib
from ng_jax.weights import augment


def run(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  *,
  source: str = '',
) -> dict[str, float]:
  """Trains, or goes on training, and reports the test split.

  Called again with the same config and workdir it continues from the latest
  checkpoint and ends with the numbers of an uninterrupted run; after the end
  it evaluates and draws again.

  Args:
    config: see `classification_config.default_config`.
    workdir: gets config.json, metrics.jsonl, checkpoints/, pictures/ and,
      with tensorboardX, tensorboard/.
    source: how the config was asked for, noted in config.json.

  Returns:
    The last line of metrics.jsonl: metrics of the last step, 'best_step',
    'best_validation_accuracy', 'test_loss' and 'test_accuracy' of the
    parameters with the best validation accuracy (the later of equals).

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
    config: of the run, or with other data for networks of the same spec.
    workdir: of the run; gets evaluation.json.

  Returns:
    'step' and loss and accuracy of both splits.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another model.
  """
  return running.evaluate(_TASK, config, workdir)


def measure_robustness(
  config: ml_collections.ConfigDict, workdir: str | pathlib.Path
) -> dict[str, float]:
  """Classifies permuted, pruned and rounded test networks, beyond the paper.

  Args:
    config: of the run, or with other data for networks of the same spec.
    workdir: of the run; gets robustness.json.

  Returns:
    See `robustness.measure`. Jit: no.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another model.
  """
  experiment, state = running.restore_best(_TASK, config, workdir)
  with running.precision(config):
    found = robustness.measure(experiment, state)
  running.write_evaluation(workdir, found, name='robustness')
  return found


def predict(
  config: ml_collections.ConfigDict, workdir: str | pathlib.Path
) -> pathlib.Path:
  """Predicts the class of every network of the test split.

  Args:
    config: of the run, or with other data for networks of the same spec.
    workdir: of the run; gets predictions.csv.

  Returns:
    The file, with the columns example, image, label, prediction, confidence.

  Raises:
    ValueError: a bad config, no checkpoint, a checkpoint of another model.
  """
  experiment, state = running.restore_best(_TASK, config, workdir)
  path = pathlib.Path(workdir) / 'predictions.csv'
  with running.precision(config):
    found = _evaluate(experiment, state, 'test')
  if processes.is_first():
    reports.write_predictions(
      path,
      found,
      labels=experiment.splits['test'].labels,
      image_index=experiment.splits['test'].image_index,
      class_names=experiment.dataset.class_names,
    )
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


def prepare(config: ml_collections.ConfigDict) -> experiment_lib.Experiment:
  """Builds the experiment of a config.

  Args:
    config: with the fields of `classification_config.default_config`.

  Returns:
    The experiment; making its data may take long the first time.

  Raises:
    ValueError: bad options, too few devices, weights that are not finite.
  """
  dataset = inr_sources.load(config.data)
  weights, splits = experiment_lib.lay_out(dataset.splits)
  labels = np.concatenate([split.labels for split in splits.values()])
  topology = graphs.topology(dataset.network.spec)
  model = experiment_lib.make_model(
    config, dataset, num_outputs=len(dataset.class_names)
  )
  return experiment_lib.assemble(
    config,
    dataset,
    model=model,
    data={'weights': weights, 'label': labels},
    splits=splits,
    loss_function=classifier.make_loss_function(
      model, topology, augment=_augmentation(config, dataset.network)
    ),
    metric_function=classifier.make_metric_function(model, topology),
  )


def _describe(experiment: experiment_lib.Experiment) -> exporting.Reader:
  dataset = experiment.dataset
  details = {
    'task': 'classification of INRs',
    'data': inr_sources.title(experiment.config.data),
    'outputs': 'a logit for each class',
    'class_names': list(dataset.class_names),
  }
  return exporting.Reader(experiment.model, dataset.network.spec, None, details)


def _augmentation(
  config: ml_collections.ConfigDict, network: networks.Siren
) -> classifier.Augmentation | None:
  settings = config.augmentation.to_dict()
  if not settings.pop('enabled'):
    return None
  return functools.partial(
    augment.augment,
    spec=network.spec,
    settings=augment.Augmentation(**settings),
  )


def _evaluate(
  experiment: experiment_lib.Experiment,
  state: state_lib.TrainState,
  split: str,
) -> evaluate_lib.Evaluation:
  sums, results = experiment.measure(
    state, split, names=evaluate_lib.CLASSIFICATION
  )
  return evaluate_lib.classification(
    sums,
    results,
    labels=experiment.splits[split].labels,
    num_classes=len(experiment.dataset.class_names),
  )


def _validate(
  experiment: experiment_lib.Experiment, state: state_lib.TrainState
) -> dict[str, float]:
  return _evaluate(experiment, state, 'validation').scalars('validation')


def _test(
  experiment: experiment_lib.Experiment, state: state_lib.TrainState
) -> tuple[dict[str, float], evaluate_lib.Evaluation]:
  found = _evaluate(experiment, state, 'test')
  return found.scalars('test'), found


def _draw(
  experiment: experiment_lib.Experiment,
  test: evaluate_lib.Evaluation,
  lines: list[dict[str, Any]],
) -> dict[str, Callable[[], Any]]:
  dataset, name = experiment.dataset, experiment.config.model.name
  source = inr_sources.title(experiment.config.data)
  figures = {
    'learning_curves': lambda: plots.learning_curves(
      lines, title=f'{name} on INRs of {source}'
    ),
    'confusion_matrix': lambda: plots.confusion_matrix(
      test.confusion,
      class_names=dataset.class_names,
      title=f'{name} on the test split, accuracy {test.accuracy:.3f}',
    ),
  }
  if dataset.split('test').images is not None:
    figures['inr_renderings'] = lambda: reports.inr_renderings(
      dataset, split='test', num_images=8, title=f'{source}, test split'
    )
  return figures


_TASK = running.Task(
  check=classification_config.check,
  defaults=functools.partial(
    run_config.of_model, classification_config.default_config
  ),
  prepare=prepare,
  average=metrics.means,
  validate=_validate,
  test=_test,
  draw=_draw,
  metric='validation_accuracy',
  mode='max',
)
