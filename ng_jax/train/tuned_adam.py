# SPDX-License-Identifier: Apache-2.0
"""Adam, tuned on one task and measured on others, beside learned optimizers."""

import dataclasses
import pathlib

from absl import logging
import ml_collections

from ng_jax import meta
from ng_jax import processes
from ng_jax.meta import measuring
from ng_jax.meta import tuning
from ng_jax.train import logging as logging_lib
from ng_jax.train import provenance


def run(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> dict[str, float]:
  """Tunes Adam on the hold-out of the first evaluation task.

  The best setting is used unchanged on all evaluation tasks, and so is Adam as
  it comes (rate 1e-3, no decay).

  Args:
    config: see `meta_config.default_config`; config.model holds the grid.
    workdir: existing folder; gets tuning.jsonl and records.jsonl, from which a
      killed run goes on, and metrics.jsonl with what is returned.

  Returns:
    For each evaluation task 'test_accuracy_<task>' and 'test_std_<task>' of the
    tuned Adam, and the same with 'untuned_'; 'test_accuracy' of the first task;
    'learning_rate' and 'weight_decay'.

  Raises:
    ValueError: bad settings, missing images.
  """
  settings = config.evaluation
  seeds = [101 + i for i in range(settings.num_seeds)]
  task, splits = _open(config, settings.tasks[0])
  provenance.note_ready(
    workdir, sizes=splits.sizes, num_steps=settings.num_steps
  )
  tuned = tuning.tune_adam(
    task,
    splits,
    workdir / 'tuning.jsonl',
    settings=tuning.make_grid(
      tuple(config.model.learning_rates), tuple(config.model.weight_decays)
    ),
    seeds=seeds,
    num_steps=settings.num_steps,
    test_every=settings.test_every,
  )
  chosen = {
    '': (tuning.TUNED, tuned.best),
    'untuned_': (tuning.UNTUNED, tuning.AdamSetting()),
  }
  found = {
    'learning_rate': tuned.best.learning_rate,
    'weight_decay': tuned.best.weight_decay,
  }
  for name in settings.tasks:
    task, splits = _open(config, name)
    for prefix, (label, setting) in chosen.items():
      record = measuring.measure(
        task,
        label,
        tuning.adam,
        setting.theta,
        splits,
        book=measuring.Book(workdir / 'records.jsonl'),
        seeds=seeds,
        num_steps=settings.num_steps,
        test_every=settings.test_every,
        identity={'optimizer': label, 'setting': dataclasses.asdict(setting)},
      )
      mean, std = measuring.final(record)
      logging.info('%s, %s: %.4f +- %.4f', label, name, mean, std)
      found |= {
        f'{prefix}test_accuracy_{name}': mean,
        f'{prefix}test_std_{name}': std,
      }
  first = settings.tasks[0]
  for prefix in chosen:
    found |= {
      f'{prefix}test_accuracy': found[f'{prefix}test_accuracy_{first}'],
    }
  if processes.is_first():
    writer = logging_lib.open_writer(workdir, first_step=0)
    writer.scalars(settings.num_steps, found)
  return found


def _open(
  config: ml_collections.ConfigDict, name: str
) -> tuple[meta.Task, meta.Splits]:
  task = dataclasses.replace(
    meta.create_task(name), batch_size=config.evaluation.batch_size
  )
  image_dir = config.data.image_dir or None
  return task, meta.read_pixels(task, image_dir=image_dir)
