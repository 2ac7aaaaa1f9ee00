# SPDX-License-Identifier: Apache-2.0
"""Trained optimizers side by side on tasks, with Adam beside them.

`run` measures what is missing and reports; `report` makes the same tables and
pictures from stored records alone.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import itertools
import pathlib
from typing import Any

from absl import logging
import ml_collections

from ng_jax import meta
from ng_jax import optimizers
from ng_jax import processes
from ng_jax.meta import evaluation
from ng_jax.meta import measuring
from ng_jax.meta import records
from ng_jax.meta import report_files
from ng_jax.meta import tuning
from ng_jax.optimizers import base
from ng_jax.train import comparison_config
from ng_jax.train import config as config_lib
from ng_jax.train import running
from ng_jax.train import workdirs

_FIRST_SEED = evaluation.SEEDS[0]
_ALONE = processes.Share(0, 1)


def run(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  *,
  source: str = '',
  share: processes.Share = _ALONE,
) -> list[pathlib.Path]:
  """Measures every optimizer on every task, then reports.

  Called again it goes on: what records.jsonl holds is not measured again.

  Args:
    config: see `comparison_config.default_config`.
    workdir: gets config.json, records.jsonl, tuning.jsonl where Adam is tuned,
      tables.md and pictures/.
    source: how the config was asked for, noted in config.json.
    share: of this process among several that see one workdir; each measures
      other optimizers and writes a file of its own, and the last one reports.

  Returns:
    Files of the report; none where other processes are still at work. Jit: no.

  Raises:
    ValueError: a bad config, missing images, unknown optimizers, a workdir that
      cannot be written.
  """
  comparison_config.check(config)
  names = _labels(config.optimizers)
  workdir = pathlib.Path(workdir)
  with workdirs.writing(workdir), running.precision(config):
    workdir.mkdir(parents=True, exist_ok=True)
    if share.index == 0:
      config_lib.write(config, workdir / 'config.json', source=source)
    name = f'records_{share.index}.jsonl' if share.index else 'records.jsonl'
    mine = dict(list(names.items())[share.index :: share.count])
    for task_name in config.tasks:
      comparison = _open(config, task_name, workdir, workdir / name)
      if share.index == 0:
        _measure_adam(comparison)
      for label, file in mine.items():
        _measure_trained(comparison, label, file)
    found = read(workdir)
    if not _wanted(config, names) <= {_key(record) for record in found}:
      return []
    return report_files.write(found, workdir)


def report(
  workdir: str | pathlib.Path, others: Sequence[str | pathlib.Path] = ()
) -> list[pathlib.Path]:
  """Writes tables and pictures of the records that are there.

  Args:
    workdir: with records, or to be made.
    others: further files of records, as those of `learned_optimizer.run`.

  Returns:
    Files of the report. Jit: no.

  Raises:
    ValueError: no records; a task without Adam; a file that is missing.
  """
  missing = [str(path) for path in others if not pathlib.Path(path).is_file()]
  if missing:
    raise ValueError(
      f'records must be files that exist, but {missing} do not; name the '
      'records.jsonl of workdirs.'
    )
  found = [record for path in others for record in records.read(path)]
  return report_files.write([*found, *read(workdir)], workdir)


def read(workdir: str | pathlib.Path) -> list[dict[str, Any]]:
  """Records of a workdir, of all processes.

  Args:
    workdir: of a comparison.

  Returns:
    The records, Adam's first. Jit: no.
  """
  paths = sorted(pathlib.Path(workdir).glob('records*.jsonl'))
  found = [record for path in paths for record in records.read(path)]
  adam = (tuning.TUNED, tuning.UNTUNED)
  return sorted(found, key=lambda record: record['optimizer'] not in adam)


@dataclasses.dataclass(frozen=True)
class _Comparison:
  """One task, its images, and where its records are kept."""

  config: ml_collections.ConfigDict
  task: meta.Task
  splits: meta.Splits
  workdir: pathlib.Path
  book: measuring.Book

  def measure(
    self,
    label: str,
    make_tx: evaluation.MakeTransformation,
    theta: Any,
    identity: Mapping[str, Any],
  ) -> None:
    """Trains from all seeds, unless there is a record."""
    record = measuring.measure(
      self.task,
      label,
      make_tx,
      theta,
      self.splits,
      book=self.book,
      identity={'optimizer': label, **identity},
      **_settings(self.config),
    )
    mean, std = measuring.final(record)
    logging.info('%s, %s: %.4f +- %.4f', self.task.name, label, mean, std)


def _open(
  config: ml_collections.ConfigDict,
  name: str,
  workdir: pathlib.Path,
  path: pathlib.Path,
) -> _Comparison:
  task = dataclasses.replace(
    meta.create_task(name), batch_size=config.batch_size
  )
  splits = meta.read_pixels(task, image_dir=config.data.image_dir or None)
  others = tuple(sorted({*workdir.glob('records*.jsonl')} - {path}))
  book = measuring.Book(path, others, shared=False)
  return _Comparison(config, task, splits, workdir, book)


def _measure_adam(comparison: _Comparison) -> None:
  """Adam as it comes and, where it is asked for, tuned."""
  settings = {tuning.UNTUNED: tuning.AdamSetting()}
  if comparison.config.adam.tuned_on:
    settings = {tuning.TUNED: _tune(comparison), **settings}
  for label, setting in settings.items():
    identity = {'setting': dataclasses.asdict(setting)}
    comparison.measure(label, tuning.adam, setting.theta, identity)


def _tune(comparison: _Comparison) -> tuning.AdamSetting:
  """The best Adam of the task that the config tunes it on."""
  config = comparison.config
  if config.adam.tuned_on not in (comparison_config.EACH, comparison.task.name):
    comparison = _open(
      config, config.adam.tuned_on, comparison.workdir, comparison.book.path
    )
  tuned = tuning.tune_adam(
    comparison.task,
    comparison.splits,
    comparison.workdir / 'tuning.jsonl',
    settings=tuning.make_grid(
      tuple(config.adam.learning_rates), tuple(config.adam.weight_decays)
    ),
    **_settings(config),
  )
  return tuned.best


def _measure_trained(comparison: _Comparison, label: str, file: str) -> None:
  trained = optimizers.read(file, comparison.task.network.spec)
  comparison.measure(
    label,
    trained.optimizer.transformation,
    trained.theta,
    {
      'options': base.settings(trained.optimizer),
      'theta': measuring.checksum(trained.theta),
    },
  )


def _settings(config: ml_collections.ConfigDict) -> dict[str, Any]:
  return {
    'seeds': [_FIRST_SEED + i for i in range(config.num_seeds)],
    'num_steps': config.num_steps,
    'test_every': config.test_every,
  }


def _labels(files: Sequence[str]) -> dict[str, str]:
  """{what tables call it: name or path}; theta.safetensors by its folder."""
  labels: dict[str, str] = {}
  for file in files:
    path = pathlib.Path(file)
    label = path.stem if path.suffix == '.safetensors' else str(file)
    label = path.parent.name if label == 'theta' else label
    if label in labels:
      raise ValueError(
        'config.optimizers must have different names, but '
        f'{labels[label]!r} and {str(file)!r} are both {label!r}; rename a '
        'file, or the folder of a theta.safetensors.'
      )
    labels[label] = str(file)
  return labels


def _wanted(
  config: ml_collections.ConfigDict, labels: Iterable[str]
) -> set[tuple[Any, ...]]:
  """Keys of the records that a comparison consists of."""
  adam = [tuning.UNTUNED, *([tuning.TUNED] if config.adam.tuned_on else [])]
  pairs = itertools.product(config.tasks, (*adam, *labels))
  return {(task, label, config.num_steps) for task, label in pairs}


def _key(record: Mapping[str, Any]) -> tuple[Any, ...]:
  return record['task'], record['optimizer'], record['num_steps']
