# SPDX-License-Identifier: Apache-2.0
"""Classification of INRs: the paper's first experiment (section 4.1).

`run` trains, selects on validation and reports the test split once;
`evaluate` and `predict` use the best checkpoint of a working directory. A
notebook and the binary call the same functions.
"""

import contextlib
import json
import pathlib
from typing import Any

from absl import logging
import jax
import ml_collections
import numpy as np

from ng_jax import plots
from ng_jax.train import checkpoints
from ng_jax.train import classification_config
from ng_jax.train import config as config_lib
from ng_jax.train import devices as devices_lib
from ng_jax.train import evaluate as evaluate_lib
from ng_jax.train import experiment as experiment_lib
from ng_jax.train import logging as logging_lib
from ng_jax.train import loop
from ng_jax.train import metrics
from ng_jax.train import reports
from ng_jax.train import sampler
from ng_jax.train import state as state_lib


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
  classification_config.check(config)
  workdir = pathlib.Path(workdir)
  with (
    checkpoints.CheckpointStore(workdir / 'checkpoints') as store,
    _precision(config),
  ):
    start = store.latest_step()
    if start is not None:
      config_lib.check_unchanged(
        config, store.config(start), workdir=str(workdir)
      )
    experiment = experiment_lib.prepare(config)
    if jax.process_index() == 0:
      config_lib.write(config, workdir / 'config.json', source=source)
    return _train_and_test(experiment, store, workdir, start)


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
  experiment, state = _restore_best(config, workdir)
  found: dict[str, float] = {'step': int(state.step)}
  with _precision(config):
    for split in ('validation', 'test'):
      result = experiment.evaluate(state, split)
      found[f'{split}_loss'] = result.loss
      found[f'{split}_accuracy'] = result.accuracy
  if jax.process_index() == 0:
    path = pathlib.Path(workdir) / 'evaluation.json'
    path.write_text(json.dumps(found) + '\n', encoding='utf-8')
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
  experiment, state = _restore_best(config, workdir)
  path = pathlib.Path(workdir) / 'predictions.csv'
  with _precision(config):
    found = experiment.evaluate(state, 'test')
  if jax.process_index() == 0:
    reports.write_predictions(
      path,
      found,
      labels=experiment.splits['test'].labels,
      image_index=experiment.splits['test'].image_index,
      class_names=experiment.dataset.class_names,
    )
  return path


def _train_and_test(
  experiment: experiment_lib.Experiment,
  store: checkpoints.CheckpointStore,
  workdir: pathlib.Path,
  start: int | None,
) -> dict[str, float]:
  """Restores, trains, selects, tests and draws; see `run`."""
  config = experiment.config
  batches = sampler.IndexSampler(
    num_examples=experiment.splits['train'].labels.size,
    batch_size=config.batch_size,
    seed=config.seed,
    multiple_of=experiment.multiple_of,
    first_row=experiment.splits['train'].first_row,
  )
  num_steps = experiment_lib.num_steps(config, batches.num_examples)
  known: dict[str, float] = {}
  if start is None:
    state = devices_lib.replicate(experiment.init(), experiment.devices)
  else:
    if start > num_steps:
      raise ValueError(
        f'the run in {workdir} is already at step {start}, beyond '
        f'{num_steps=}; raise num_epochs or num_steps, or choose another '
        'workdir.'
      )
    state = _restore(experiment, store, start)
    known = store.metrics(start)
  logging.info(
    '%s: %d parameters, %d training networks, %d steps',
    config.model.name,
    state_lib.num_parameters(state.params),
    batches.num_examples,
    num_steps,
  )
  writer: logging_lib.Writer = logging_lib.SilentWriter()
  if jax.process_index() == 0:
    writer = logging_lib.open_writer(workdir, first_step=start or 0)
  if start and start < num_steps:
    writer.scalars(start, known)
  saved = config_lib.to_json_types(config)
  state, last = loop.train(
    state,
    experiment.data,
    step=experiment.train_step,
    batches=batches,
    schedule=loop.Schedule(num_steps, config.log_every, config.eval_every),
    summarize=_summarize,
    evaluate=lambda state: _validate(experiment, state),
    save=lambda state, found: store.save(state, metrics=found, config=saved),
    writer=writer,
    last_checkpoint=f'step {start}' if start is not None else 'none yet',
  )
  best = store.best_step() or num_steps  # The last step is always saved.
  test = experiment.evaluate(_restore(experiment, store, best), 'test')
  final = {
    **(last or known),
    'best_step': best,
    'best_validation_accuracy': store.metrics(best)['validation_accuracy'],
    'test_loss': test.loss,
    'test_accuracy': test.accuracy,
  }
  writer.scalars(num_steps, final)
  if jax.process_index() == 0:
    _draw(experiment, test, workdir, writer, num_steps)
  return {'step': num_steps, **final}


def _restore_best(
  config: ml_collections.ConfigDict, workdir: str | pathlib.Path
) -> tuple[experiment_lib.Experiment, state_lib.TrainState]:
  classification_config.check(config)
  folder = pathlib.Path(workdir) / 'checkpoints'
  if not folder.is_dir():
    raise ValueError(
      f'{workdir} holds no checkpoints; train first (--mode=train), or name '
      'the workdir of a run.'
    )
  with checkpoints.CheckpointStore(folder) as store:
    best = store.best_step()
    if best is None:
      raise ValueError(
        f'{folder} holds no complete checkpoint; train first (--mode=train).'
      )
    experiment = experiment_lib.prepare(config)
    return experiment, _restore(experiment, store, best)


def _restore(
  experiment: experiment_lib.Experiment,
  store: checkpoints.CheckpointStore,
  step: int,
) -> state_lib.TrainState:
  """Reads a checkpoint onto the devices."""
  state = store.restore(jax.eval_shape(experiment.init), step=step)
  return devices_lib.replicate(state, experiment.devices)


def _summarize(sums: dict[str, np.ndarray]) -> dict[str, float]:
  """Exact means over a window of steps, and the mean gradient norm."""
  norms = np.asarray(sums['gradient_norm'], np.float64)
  counted = {name: sums[name] for name in ('loss', 'correct', 'count')}
  return {**metrics.means(counted), 'gradient_norm': float(norms.mean())}


def _validate(
  experiment: experiment_lib.Experiment, state: state_lib.TrainState
) -> dict[str, float]:
  found = experiment.evaluate(state, 'validation')
  return {
    'validation_loss': found.loss,
    'validation_accuracy': found.accuracy,
    'learning_rate': float(experiment.learning_rate(int(state.step) - 1)),
  }


def _draw(
  experiment: experiment_lib.Experiment,
  test: evaluate_lib.Evaluation,
  workdir: pathlib.Path,
  writer: logging_lib.Writer,
  step: int,
) -> None:
  dataset, name = experiment.dataset, experiment.config.model.name
  lines = logging_lib.read_metrics(workdir / 'metrics.jsonl')
  source = experiment.config.data.source
  reports.draw(
    workdir,
    writer,
    step=step,
    figures={
      'learning_curves': lambda: plots.learning_curves(
        lines, title=f'{name} on INRs of {source}'
      ),
      'confusion_matrix': lambda: plots.confusion_matrix(
        test.confusion,
        class_names=dataset.class_names,
        title=f'{name} on the test split, accuracy {test.accuracy:.3f}',
      ),
      'inr_renderings': lambda: reports.inr_renderings(
        dataset, split='test', num_images=8, title=f'{source}, test split'
      ),
    },
  )


def _precision(
  config: ml_collections.ConfigDict,
) -> contextlib.AbstractContextManager[Any]:
  if config.matmul_precision == 'default':
    return contextlib.nullcontext()
  return jax.default_matmul_precision(config.matmul_precision)
